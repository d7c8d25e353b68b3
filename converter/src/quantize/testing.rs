//! Small random networks for tests of the stages from quantizing on.

use super::Samples;
use crate::data::text::Tokenized;
use crate::families::distilbert::{DistilBert, named};
use crate::graph::{Dim, Graph, Op, Source, Tensor, Unary, ValueId, Window};

/// Near-normal numbers: the sum of uniform ones from a small generator.
pub(crate) struct Bell(pub(crate) u64);

impl Bell {
    fn uniform(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f32 / (1 << 24) as f32
    }

    pub(crate) fn tensor(&mut self, shape: &[usize], spread: f32) -> Tensor {
        let len = shape.iter().product();
        let data = (0..len).map(|_| spread * ((0..12).map(|_| self.uniform()).sum::<f32>() - 6.0)).collect();
        Tensor::new(shape, data)
    }
}

pub(crate) struct Net {
    pub(crate) graph: Graph,
    bell: Bell,
}

impl Net {
    pub(crate) fn new(seed: u64, shape: [usize; 4]) -> (Self, ValueId) {
        let mut net = Net { graph: Graph::new("net"), bell: Bell(seed) };
        let x = net.graph.input("x", shape);
        (net, x)
    }

    pub(crate) fn add(&mut self, op: Op, inputs: &[ValueId]) -> ValueId {
        let name = format!("{}{}", op.name().to_lowercase(), self.graph.nodes.len());
        self.graph.add(name, op, inputs).unwrap()
    }

    pub(crate) fn conv(&mut self, x: ValueId, out: usize, kernel: usize, stride: usize, groups: usize) -> ValueId {
        let depth = self.graph.shape(x)[3] / groups;
        let spread = (2.0 / (kernel * kernel * depth) as f32).sqrt();
        let n = self.graph.values.len();
        let weight = self.bell.tensor(&[out, kernel, kernel, depth], spread);
        let bias = self.bell.tensor(&[out], 0.3);
        let weight = self.graph.add_param(format!("w{n}"), weight);
        let bias = self.graph.add_param(format!("b{n}"), bias);
        self.add(Op::Conv2d { window: Window::square(kernel, stride, kernel / 2), groups }, &[x, weight, bias])
    }

    pub(crate) fn relu(&mut self, x: ValueId) -> ValueId {
        self.add(Op::Unary(Unary::Relu), &[x])
    }

    pub(crate) fn linear(&mut self, x: ValueId, out: usize) -> ValueId {
        let depth = *self.graph.shape(x).last().unwrap();
        let n = self.graph.values.len();
        let weight = self.bell.tensor(&[out, depth], (1.0 / depth as f32).sqrt());
        let weight = self.graph.add_param(format!("w{n}"), weight);
        self.add(Op::Linear, &[x, weight])
    }

    pub(crate) fn finish(mut self, y: ValueId) -> (Graph, Samples) {
        self.graph.outputs.push(y);
        let shape = [&[24], &self.graph.shape(self.graph.inputs[0])[1..]].concat();
        let samples = Samples::new(vec![self.bell.tensor(&shape, 1.0)]).unwrap();
        (self.graph, samples)
    }
}

/// A residual block, a depthwise one with ReLU6, a concatenation, both pools, tables and a head.
pub(crate) fn everything(seed: u64) -> (Graph, Samples) {
    let (mut net, x) = Net::new(seed, [1, 9, 8, 3]);
    let a = net.conv(x, 8, 3, 1, 1);
    let a = net.relu(a);
    let b = net.conv(a, 8, 3, 1, 1);
    let b = net.add(Op::Add, &[b, a]);
    let b = net.relu(b);
    let c = net.conv(b, 8, 3, 2, 8);
    let c = net.add(Op::Unary(Unary::Clip { min: 0.0, max: 6.0 }), &[c]);
    let d = net.conv(b, 12, 1, 2, 1);
    let d = net.add(Op::Unary(Unary::HardSwish), &[d]);
    let e = net.add(Op::Concat { axis: 3 }, &[c, d]);
    let e = net.add(Op::MaxPool(Window::square(3, 1, 1)), &[e]);
    let gate = net.add(Op::GlobalAvgPool, &[e]);
    let gate = net.conv(gate, 20, 1, 1, 1);
    let gate = net.add(Op::Unary(Unary::Sigmoid), &[gate]);
    let e = net.add(Op::Mul, &[gate, e]);
    let e = net.conv(e, 20, 3, 1, 5);
    let e = net.add(Op::AvgPool { window: Window::square(3, 2, 1), count_pad: false }, &[e]);
    let f = net.add(Op::Reshape(vec![Dim::Same(0), Dim::Rest]), &[e]);
    let y = net.linear(f, 10);
    net.finish(y)
}

/// Words of [`encoder`] and of [`texts`], and the longest of them.
pub(crate) const WORDS: usize = 40;
pub(crate) const ROOM: usize = 12;

/// A small encoder of texts with random weights, changed by `change`; its normalizations are as unlike as trained ones.
pub(crate) fn encoder(name: &str, change: impl FnOnce(&mut DistilBert)) -> Graph {
    let mut net = named(name, WORDS, ROOM, 3).unwrap();
    change(&mut net);
    let mut graph = net.build("encoder", Some(11)).unwrap();
    let mut bell = Bell(3);
    for id in 0..graph.values.len() {
        let value = &mut graph.values[id];
        let spread = if value.name.contains("orm.weight") { 0.3 } else { 0.1 };
        if let Source::Param(tensor) = &mut value.source
            && tensor.shape().len() == 1
        {
            let noise = bell.tensor(&[tensor.len()], spread);
            let sum = tensor.data().iter().zip(noise.data()).map(|(a, b)| a + b).collect();
            *tensor = Tensor::new(tensor.shape(), sum).into();
        }
    }
    graph
}

/// Texts of all lengths.
pub(crate) fn texts(count: usize) -> Tokenized {
    let mut bell = Bell(8);
    let mut texts = Tokenized {
        ids: Vec::new(),
        begins: vec![0],
        labels: vec![0; count],
        classes: vec!["any".into()],
        truncated: 0,
    };
    for i in 0..count {
        texts.ids.extend((0..i * 5 % ROOM + 1).map(|_| (bell.uniform() * WORDS as f32) as u16));
        texts.begins.push(texts.ids.len());
    }
    texts
}
