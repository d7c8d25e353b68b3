//! Writes a float graph as an ONNX model that any other tool can run: channels-first, opset 17.
//!
//! Every computed value of four axes is `[batch, channels, height, width]` in the file; all others are as in the graph.

use super::error::ExportError;
use super::proto;
use crate::artifact::write_whole;
use crate::graph::{Dim, Graph, Node, Op, Pads, Tensor, Unary, ValueId, Window};
use prost::Message;
use std::collections::HashMap;
use std::path::Path;
use tract_onnx::pb;

/// The operator set that is written.
const OPSET: i64 = 17;

/// Makes channels-first of channels-last; also, where axis `i` of the first is found in the second.
const TO_FIRST: [usize; 4] = [0, 3, 1, 2];
/// The reverse.
const TO_LAST: [usize; 4] = [0, 2, 3, 1];

/// Writes a graph as an ONNX file, with an open batch where the graph allows it.
///
/// # Errors
/// If a node has no ONNX form or the file cannot be written; then no file is left behind.
pub fn export(graph: &Graph, path: &Path) -> Result<(), ExportError> {
    Ok(write_whole(path, &model(graph)?.encode_to_vec())?)
}

fn model(graph: &Graph) -> Result<pb::ModelProto, ExportError> {
    let mut writer = Writer { graph, onnx: pb::GraphProto::default(), stored: HashMap::new() };
    for node in &graph.nodes {
        writer.node(node)?;
    }
    let batch = graph.inputs.first().and_then(|&id| graph.shape(id).first()).copied().unwrap_or(1);
    let larger = graph.with_batch(batch + 1).ok();
    let value = |&id: &ValueId| {
        let order =
            |shape: &[usize]| if shape.len() == 4 { TO_FIRST.map(|i| shape[i]).to_vec() } else { shape.to_vec() };
        let sizes = order(graph.shape(id));
        let other = larger.as_ref().map_or_else(|| sizes.clone(), |graph| order(graph.shape(id)));
        let shape: Vec<_> = sizes.iter().zip(other).map(|(&n, m)| (n == m).then_some(n)).collect();
        proto::value(&graph.value(id).name, &shape)
    };
    let mut onnx = writer.onnx;
    onnx.name = graph.name.clone();
    onnx.input = graph.inputs.iter().map(value).collect();
    onnx.output = graph.outputs.iter().map(value).collect();
    Ok(proto::model(onnx, OPSET))
}

struct Writer<'g> {
    graph: &'g Graph,
    onnx: pb::GraphProto,
    /// Names of the parameters that are written already, by the form they have in the file.
    stored: HashMap<(ValueId, &'static str), String>,
}

impl Writer<'_> {
    fn name(&self, id: ValueId) -> String {
        self.graph.value(id).name.clone()
    }

    fn rank(&self, id: ValueId) -> usize {
        self.graph.shape(id).len()
    }

    /// Writes an ONNX node that makes the output of a graph's node.
    fn emit(&mut self, node: &Node, op: &str, inputs: &[String], attributes: Vec<pb::AttributeProto>) {
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        let output = self.name(node.output);
        self.onnx.node.push(proto::node(&node.name, op, &inputs, &output, attributes));
    }

    /// Writes an ONNX node that makes something on the way, and returns its name.
    fn step(
        &mut self,
        node: &Node,
        part: &str,
        op: &str,
        inputs: &[&str],
        attributes: Vec<pb::AttributeProto>,
    ) -> String {
        let name = format!("{}.{part}", node.name);
        self.onnx.node.push(proto::node(&name, op, inputs, &name, attributes));
        name
    }

    /// Stores a vector of integers that a node takes as an input.
    fn vector(&mut self, node: &Node, part: &str, values: &[i64]) -> String {
        let name = format!("{}.{part}", node.name);
        self.onnx.initializer.push(proto::vector(&name, values));
        name
    }

    fn scalar(&mut self, node: &Node, part: &str, value: f32) -> String {
        let name = format!("{}.{part}", node.name);
        self.onnx.initializer.push(proto::floats(&name, &[], &[value]));
        name
    }

    /// Stores a parameter in the form that `make` gives it; `None` for values that are no parameters.
    ///
    /// It is stored once for each form, the first time under its own name.
    fn param(&mut self, id: ValueId, form: &'static str, make: impl Fn(&Tensor) -> Tensor) -> Option<String> {
        let tensor = self.graph.param(id)?;
        if let Some(name) = self.stored.get(&(id, form)) {
            return Some(name.clone());
        }
        let own = self.name(id);
        let name = if self.stored.keys().any(|(other, _)| *other == id) { format!("{own}.{form}") } else { own };
        let tensor = make(tensor);
        self.onnx.initializer.push(proto::floats(&name, tensor.shape(), tensor.data()));
        self.stored.insert((id, form), name.clone());
        Some(name)
    }

    /// A value in the file's order of axes; parameters of four axes are images too.
    fn operand(&mut self, id: ValueId) -> String {
        let image = self.rank(id) == 4;
        let form = if image { "nchw" } else { "" };
        let stored = self.param(id, form, |t| if image { t.transpose(&TO_FIRST) } else { t.clone() });
        stored.unwrap_or_else(|| self.name(id))
    }

    /// A value in the graph's order of axes.
    fn channels_last(&mut self, node: &Node, part: &str, id: ValueId) -> String {
        if let Some(stored) = self.param(id, "nhwc", Tensor::clone) {
            return stored;
        }
        let name = self.name(id);
        if self.rank(id) != 4 {
            return name;
        }
        self.step(node, part, "Transpose", &[&name], vec![proto::ints("perm", &TO_LAST)])
    }

    fn node(&mut self, node: &Node) -> Result<(), ExportError> {
        let unsupported = |problem: &str| ExportError::Unsupported {
            node: node.name.clone(),
            op: node.op.to_string(),
            problem: problem.to_owned(),
        };
        let x = node.inputs[0];
        let is_image = self.rank(x) == 4;
        // Axis `a` of a channels-last image is axis `TO_LAST[a]` of a channels-first one.
        let axis_of = |axis: usize| if is_image { TO_LAST[axis] } else { axis };
        match &node.op {
            Op::Conv2d { window, groups } => {
                let weight = self.param(node.inputs[1], "oihw", |t| t.transpose(&TO_FIRST));
                let weight = weight.ok_or_else(|| unsupported("its weight is computed"))?;
                let mut inputs = vec![self.operand(x), weight];
                inputs.extend(node.inputs.get(2).map(|&bias| self.operand(bias)));
                let mut attributes = window_attributes(window, true);
                attributes.push(proto::int("group", *groups as i64));
                self.emit(node, "Conv", &inputs, attributes);
            }
            Op::Linear => self.linear(node).ok_or_else(|| unsupported("its weight is computed"))?,
            Op::MatMul => {
                let inputs = [self.channels_last(node, "a", x), self.channels_last(node, "b", node.inputs[1])];
                self.emit_channels_last(node, "MatMul", &inputs, Vec::new());
            }
            Op::BatchNorm { eps } if matches!(self.rank(x), 2 | 4) => {
                let inputs: Vec<_> = node.inputs.iter().map(|&id| self.operand(id)).collect();
                self.emit(node, "BatchNormalization", &inputs, vec![proto::float("epsilon", *eps)]);
            }
            Op::BatchNorm { .. } => return Err(unsupported("only images and rows of features are normalized")),
            Op::Embedding | Op::LayerNorm { .. } | Op::Normalize | Op::Attention { .. } | Op::Pick(_) => {
                return Err(unsupported("networks for texts are not written as ONNX"));
            }
            Op::Unary(Unary::Round { .. }) => return Err(unsupported("it stands for int8, which a model file holds")),
            Op::Unary(Unary::Gelu | Unary::GeluTanh) => return Err(unsupported("opset 17 has no such function")),
            Op::Unary(f) => self.unary(node, *f),
            Op::Add | Op::Mul => {
                let inputs = [self.broadcast(node, 0), self.broadcast(node, 1)];
                self.emit(node, node.op.name(), &inputs, Vec::new());
            }
            Op::MaxPool(window) => {
                let inputs = [self.operand(x)];
                self.emit(node, "MaxPool", &inputs, window_attributes(window, true));
            }
            Op::AvgPool { window, .. } if window.dilation != [1, 1] => {
                return Err(unsupported("opset 17 has no dilated means"));
            }
            Op::AvgPool { window, count_pad } => {
                let inputs = [self.operand(x)];
                let mut attributes = window_attributes(window, false);
                attributes.push(proto::int("count_include_pad", i64::from(*count_pad)));
                self.emit(node, "AveragePool", &inputs, attributes);
            }
            Op::GlobalAvgPool => {
                let inputs = [self.operand(x)];
                self.emit(node, "GlobalAveragePool", &inputs, Vec::new());
            }
            Op::Softmax { axis } => {
                let inputs = [self.operand(x)];
                self.emit(node, "Softmax", &inputs, vec![proto::int("axis", axis_of(*axis) as i64)]);
            }
            Op::Concat { axis } => {
                let inputs: Vec<_> = node.inputs.iter().map(|&id| self.operand(id)).collect();
                self.emit(node, "Concat", &inputs, vec![proto::int("axis", axis_of(*axis) as i64)]);
            }
            Op::Pad { pads, value } => {
                let pads: Vec<_> = if is_image { TO_FIRST.map(|i| pads[i]).to_vec() } else { pads.clone() };
                let sizes: Vec<i64> =
                    pads.iter().map(|p| p.0).chain(pads.iter().map(|p| p.1)).map(|n| n as i64).collect();
                let inputs = [self.operand(x), self.vector(node, "pads", &sizes), self.scalar(node, "value", *value)];
                self.emit(node, "Pad", &inputs, Vec::new());
            }
            Op::Slice { axis, start, step, len } => {
                let numbers = [*start, start + (len - 1) * step + 1, axis_of(*axis), *step];
                let mut inputs = vec![self.operand(x)];
                for (part, number) in ["starts", "ends", "axes", "steps"].into_iter().zip(numbers) {
                    inputs.push(self.vector(node, part, &[number as i64]));
                }
                self.emit(node, "Slice", &inputs, Vec::new());
            }
            Op::Reshape(dims) => self.reshape(node, dims),
            Op::Transpose(perm) => {
                let perm: Vec<usize> =
                    if is_image { TO_FIRST.map(|i| TO_LAST[perm[i]]).to_vec() } else { perm.clone() };
                let inputs = [self.operand(x)];
                self.emit(node, "Transpose", &inputs, vec![proto::ints("perm", &perm)]);
            }
        }
        Ok(())
    }

    /// Emits a node whose result is in the graph's order of axes.
    fn emit_channels_last(&mut self, node: &Node, op: &str, inputs: &[String], attributes: Vec<pb::AttributeProto>) {
        if self.rank(node.output) != 4 {
            return self.emit(node, op, inputs, attributes);
        }
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        let last = self.step(node, "nhwc", op, &inputs, attributes);
        self.emit(node, "Transpose", &[last], vec![proto::ints("perm", &TO_FIRST)]);
    }

    /// Gemm for rows of features, a matrix product for anything else; `None` if the weight is computed.
    fn linear(&mut self, node: &Node) -> Option<()> {
        let x = self.channels_last(node, "x", node.inputs[0]);
        let bias = node.inputs.get(2).map(|&id| self.operand(id));
        if self.rank(node.inputs[0]) == 2 {
            let weight = self.param(node.inputs[1], "", Tensor::clone)?;
            let inputs: Vec<_> = [x, weight].into_iter().chain(bias).collect();
            self.emit(node, "Gemm", &inputs, vec![proto::int("transB", 1)]);
            return Some(());
        }
        let weight = self.param(node.inputs[1], "transposed", |t| t.transpose(&[1, 0]))?;
        match bias {
            None => self.emit_channels_last(node, "MatMul", &[x, weight], Vec::new()),
            Some(bias) => {
                let product = self.step(node, "product", "MatMul", &[&x, &weight], Vec::new());
                self.emit_channels_last(node, "Add", &[product, bias], Vec::new());
            }
        }
        Some(())
    }

    fn unary(&mut self, node: &Node, f: Unary) {
        let mut inputs = vec![self.operand(node.inputs[0])];
        let attributes = match f {
            Unary::Clip { min, max } => {
                for (part, bound) in [("min", min), ("max", max)] {
                    inputs.push(if bound.is_finite() { self.scalar(node, part, bound) } else { String::new() });
                }
                Vec::new()
            }
            Unary::LeakyRelu { alpha } => vec![proto::float("alpha", alpha)],
            Unary::HardSigmoid { alpha, beta } => vec![proto::float("alpha", alpha), proto::float("beta", beta)],
            Unary::Relu
            | Unary::HardSwish
            | Unary::Sigmoid
            | Unary::Tanh
            | Unary::Gelu
            | Unary::GeluTanh
            | Unary::Round { .. } => Vec::new(),
        };
        self.emit(node, f.name(), &inputs, attributes);
    }

    /// An operand of a sum or product, whose axes line up with those of the result from the last one on.
    fn broadcast(&mut self, node: &Node, index: usize) -> String {
        let id = node.inputs[index];
        let missing = self.rank(node.output) - self.rank(id);
        if self.rank(node.output) != 4 || missing == 0 {
            return self.operand(id);
        }
        let widen = |t: &Tensor| {
            let shape = [&vec![1; missing], t.shape()].concat();
            t.clone().reshape(shape).transpose(&TO_FIRST)
        };
        if let Some(stored) = self.param(id, "nchw", widen) {
            return stored;
        }
        let name = self.name(id);
        let axes: Vec<i64> = (0..missing as i64).collect();
        let axes = self.vector(node, &format!("axes{index}"), &axes);
        let wide = self.step(node, &format!("wide{index}"), "Unsqueeze", &[&name, &axes], Vec::new());
        self.step(node, &format!("nchw{index}"), "Transpose", &[&wide], vec![proto::ints("perm", &TO_FIRST)])
    }

    fn reshape(&mut self, node: &Node, dims: &[Dim]) {
        // Images of one pixel have the same elements in the same order either way.
        let pixel = |id: ValueId| matches!(self.graph.shape(id), [_, 1, 1, _]);
        let (from_pixel, to_pixel) = (pixel(node.inputs[0]), pixel(node.output));
        let shape = self.graph.shape(node.output);
        let mut open = !dims.contains(&Dim::Rest);
        let size = |(i, dim): (usize, &Dim)| match dim {
            // 0 stands for the input's size on the same axis.
            Dim::Same(axis) if *axis == i && (i == 0 || !(from_pixel || to_pixel)) => 0,
            Dim::Same(0) if std::mem::take(&mut open) => -1,
            Dim::Rest => -1,
            Dim::Same(_) | Dim::Size(_) => shape[i] as i64,
        };
        let mut sizes: Vec<i64> = dims.iter().enumerate().map(size).collect();
        if to_pixel {
            sizes = TO_FIRST.map(|i| sizes[i]).to_vec();
        }
        let x = node.inputs[0];
        let x = if from_pixel { self.operand(x) } else { self.channels_last(node, "nhwc.in", x) };
        let inputs = [x, self.vector(node, "shape", &sizes)];
        if to_pixel {
            self.emit(node, "Reshape", &inputs, Vec::new());
        } else {
            self.emit_channels_last(node, "Reshape", &inputs, Vec::new());
        }
    }
}

fn window_attributes(window: &Window, dilated: bool) -> Vec<pb::AttributeProto> {
    let Pads { top, left, bottom, right } = window.pads;
    let mut attributes = vec![
        proto::ints("kernel_shape", &window.kernel),
        proto::ints("strides", &window.stride),
        proto::ints("pads", &[top, left, bottom, right]),
    ];
    if dilated {
        attributes.push(proto::ints("dilations", &window.dilation));
    }
    attributes
}
