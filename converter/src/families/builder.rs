//! What networks for images are made of: layers with freshly drawn weights.

use crate::data::random::{Purpose, stream};
use crate::graph::{Dim, Graph, Op, ShapeError, Tensor, Unary, ValueId, Window};
use rand::RngExt;

/// A graph being built, with the seed of its weights.
pub(super) struct Builder {
    pub(super) graph: Graph,
    /// Of every normalization.
    eps: f32,
    seed: u64,
}

impl Builder {
    pub(super) fn new(name: &str, eps: f32, seed: u64) -> Self {
        Builder { graph: Graph::new(name), eps, seed }
    }

    pub(super) fn channels(&self, x: ValueId) -> usize {
        self.graph.shape(x).last().copied().unwrap_or(0)
    }

    /// A convolution without bias, and a normalization; the names are theirs.
    pub(super) fn conv_bn(
        &mut self,
        names: [&str; 2],
        x: ValueId,
        out: usize,
        window: Window,
    ) -> Result<ValueId, ShapeError> {
        self.convolution(names, x, out, (window, 1))
    }

    /// As [`Builder::conv_bn`], each channel by itself.
    pub(super) fn depthwise_bn(&mut self, names: [&str; 2], x: ValueId, window: Window) -> Result<ValueId, ShapeError> {
        let channels = self.channels(x);
        self.convolution(names, x, channels, (window, channels))
    }

    pub(super) fn unary(&mut self, name: &str, function: Unary, x: ValueId) -> Result<ValueId, ShapeError> {
        self.graph.add(name, Op::Unary(function), &[x])
    }

    /// The mean over the image, a linear layer of this name, and the end of the graph.
    pub(super) fn classifier(mut self, name: &str, x: ValueId, classes: usize) -> Result<Graph, ShapeError> {
        let pooled = self.graph.add("avgpool", Op::GlobalAvgPool, &[x])?;
        let flat = self.graph.add("flatten", Op::Reshape(vec![Dim::Same(0), Dim::Rest]), &[pooled])?;
        let weight = self.draw(&format!("{name}.weight"), vec![classes, self.channels(flat)], 1.0 / 3.0);
        let bias = self.graph.add_param(format!("{name}.bias"), Tensor::zeros([classes]));
        let logits = self.graph.add(name, Op::Linear, &[flat, weight, bias])?;
        self.graph.outputs = vec![logits];
        Ok(self.graph)
    }

    /// Uniform numbers of variance `gain / fan_in`, the same on every machine (no transcendental function is involved).
    fn draw(&mut self, name: &str, shape: Vec<usize>, gain: f32) -> ValueId {
        let fan_in: usize = shape[1..].iter().product();
        let bound = (3.0 * gain / fan_in as f32).sqrt();
        let mut rng = stream(self.seed, Purpose::Weights, self.graph.values.len() as u64, 0);
        let data = (0..shape.iter().product()).map(|_| bound * (2.0 * rng.random::<f32>() - 1.0)).collect();
        self.graph.add_param(name, Tensor::new(shape, data))
    }

    fn convolution(
        &mut self,
        [conv, bn]: [&str; 2],
        x: ValueId,
        out: usize,
        (window, groups): (Window, usize),
    ) -> Result<ValueId, ShapeError> {
        let [rows, columns] = window.kernel;
        // He's rule (He et al. 2015b): variance 2 / fan_in keeps the scale of activations through a ReLU.
        let weight =
            self.draw(&format!("{conv}.weight"), vec![out, rows, columns, self.channels(x) / groups.max(1)], 2.0);
        let y = self.graph.add(conv, Op::Conv2d { window, groups }, &[x, weight])?;
        let [gamma, beta, mean, variance] =
            [("weight", 1.0), ("bias", 0.0), ("running_mean", 0.0), ("running_var", 1.0)]
                .map(|(field, value)| self.graph.add_param(format!("{bn}.{field}"), Tensor::full([out], value)));
        self.graph.add(bn, Op::BatchNorm { eps: self.eps }, &[y, gamma, beta, mean, variance])
    }
}
