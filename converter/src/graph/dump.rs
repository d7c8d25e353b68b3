//! The text form of a graph, one node a line, made to be read and diffed.
//!
//! ```text
//! graph tiny (156 parameters)
//!   image [1, 8, 8, 3] = input
//!   conv1 [1, 4, 4, 4] = Conv2d(image, conv1.weight[4, 3, 3, 3], conv1.bias[4]) 3x3 stride 2 pad 1
//!   relu1 [1, 4, 4, 4] = Relu(conv1)
//!   output relu1
//! ```

use super::{Dim, Graph, Node, Op, Pads, Pair, Pick, Source, Unary, ValueId, Window};
use std::fmt;

impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "graph {} ({} parameters)", self.name, self.param_count())?;
        for &id in &self.inputs {
            writeln!(f, "  {} {:?} = input", self.value(id).name, self.shape(id))?;
        }
        for node in &self.nodes {
            self.write_node(f, node)?;
        }
        for &id in &self.outputs {
            writeln!(f, "  output {}", self.value(id).name)?;
        }
        Ok(())
    }
}

impl Graph {
    fn write_node(&self, f: &mut fmt::Formatter<'_>, node: &Node) -> fmt::Result {
        let value = self.value(node.output);
        write!(f, "  {} {:?} = {}(", value.name, value.shape, node.op.label())?;
        for (i, &id) in node.inputs.iter().enumerate() {
            self.write_operand(f, i, id)?;
        }
        write!(f, "){}", Attributes(&node.op))?;
        if node.name != value.name {
            write!(f, " @ {}", node.name)?;
        }
        writeln!(f)
    }

    fn write_operand(&self, f: &mut fmt::Formatter<'_>, index: usize, id: ValueId) -> fmt::Result {
        let comma = if index == 0 { "" } else { ", " };
        let value = self.value(id);
        match value.source {
            Source::Param(_) => write!(f, "{comma}{}{:?}", value.name, value.shape),
            _ => write!(f, "{comma}{}", value.name),
        }
    }
}

impl Op {
    /// What the operator is called in a dump: unary functions by their own names.
    fn label(&self) -> &'static str {
        match self {
            Op::Unary(unary) => unary.name(),
            op => op.name(),
        }
    }
}

/// An operator as `name attributes`, as in `Conv2d 3x3 stride 2 pad 1`.
impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.label(), Attributes(self))
    }
}

/// The attributes of an operator that differ from the usual, each with a space before it.
struct Attributes<'a>(&'a Op);

impl fmt::Display for Attributes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Op::Conv2d { window, groups } => {
                write!(f, " {window}")?;
                if *groups > 1 {
                    write!(f, " groups {groups}")?;
                }
                Ok(())
            }
            Op::BatchNorm { eps } | Op::LayerNorm { eps } => write!(f, " eps {eps:e}"),
            Op::Unary(Unary::Clip { min, max }) => write!(f, " {min} to {max}"),
            Op::Unary(Unary::LeakyRelu { alpha }) => write!(f, " {alpha}"),
            Op::Unary(Unary::HardSigmoid { alpha, beta }) => write!(f, " {alpha} {beta}"),
            Op::Unary(Unary::Round { scale, least, most, counts }) => {
                write!(f, " {scale:e} from {least} to {most} as {counts:e}")
            }
            Op::Attention { heads } => write!(f, " heads {heads}"),
            Op::Pick(Pick::First) => f.write_str(" first"),
            Op::Pick(Pick::Mean) => f.write_str(" mean"),
            Op::MaxPool(window) => write!(f, " {window}"),
            Op::AvgPool { window, count_pad } => {
                write!(f, " {window}{}", if *count_pad { " counted" } else { "" })
            }
            Op::Softmax { axis } | Op::Concat { axis } => write!(f, " axis {axis}"),
            Op::Pad { pads, value } => write!(f, " {pads:?} with {value}"),
            Op::Slice { axis, start, step, len } => write!(f, " axis {axis}: {len} from {start} step {step}"),
            Op::Reshape(dims) => {
                for (i, dim) in dims.iter().enumerate() {
                    write!(f, "{}{dim}", if i == 0 { " [" } else { ", " })?;
                }
                f.write_str(if dims.is_empty() { " []" } else { "]" })
            }
            Op::Transpose(perm) => write!(f, " {perm:?}"),
            Op::Linear
            | Op::MatMul
            | Op::Embedding
            | Op::Normalize
            | Op::Unary(_)
            | Op::Add
            | Op::Mul
            | Op::GlobalAvgPool => Ok(()),
        }
    }
}

/// A size as it stands in a reshape: a number, `=axis` or `*`.
impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Dim::Size(n) => write!(f, "{n}"),
            Dim::Same(axis) => write!(f, "={axis}"),
            Dim::Rest => f.write_str("*"),
        }
    }
}

/// A window as `3x3 stride 2 dilation 2 pad 1`; what is 1 or nothing is left out.
impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Window { kernel: [rows, columns], stride, dilation, pads } = self;
        write!(f, "{rows}x{columns}")?;
        write_pair(f, "stride", *stride)?;
        write_pair(f, "dilation", *dilation)?;
        let Pads { top, left, bottom, right } = *pads;
        match top == left && left == bottom && bottom == right {
            true if top == 0 => Ok(()),
            true => write!(f, " pad {top}"),
            false => write!(f, " pad [{top}, {left}, {bottom}, {right}]"),
        }
    }
}

fn write_pair(f: &mut fmt::Formatter<'_>, name: &str, [rows, columns]: Pair) -> fmt::Result {
    match rows == columns {
        true if rows == 1 => Ok(()),
        true => write!(f, " {name} {rows}"),
        false => write!(f, " {name} {rows}x{columns}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Tensor;

    #[test]
    fn every_operator_has_a_short_text() {
        let strided =
            Window { stride: [2, 1], pads: Pads { top: 0, left: 0, bottom: 1, right: 1 }, ..Window::square(3, 1, 0) };
        let rows: &[(Op, &str)] = &[
            (Op::Conv2d { window: Window::square(3, 1, 1), groups: 1 }, "Conv2d 3x3 pad 1"),
            (Op::Conv2d { window: strided, groups: 8 }, "Conv2d 3x3 stride 2x1 pad [0, 0, 1, 1] groups 8"),
            (Op::Linear, "Linear"),
            (Op::LayerNorm { eps: 1e-12 }, "LayerNorm eps 1e-12"),
            (Op::Attention { heads: 12 }, "Attention heads 12"),
            (Op::Pick(Pick::First), "Pick first"),
            (Op::Unary(Unary::Gelu), "Gelu"),
            (Op::BatchNorm { eps: 1e-5 }, "BatchNorm eps 1e-5"),
            (Op::Unary(Unary::Clip { min: 0.0, max: 6.0 }), "Clip 0 to 6"),
            (Op::AvgPool { window: Window::square(2, 2, 0), count_pad: true }, "AvgPool 2x2 stride 2 counted"),
            (Op::Slice { axis: 1, start: 0, step: 2, len: 4 }, "Slice axis 1: 4 from 0 step 2"),
            (Op::Pad { pads: vec![(0, 0), (1, 2)], value: 0.0 }, "Pad [(0, 0), (1, 2)] with 0"),
            (Op::Reshape(vec![Dim::Same(0), Dim::Size(3), Dim::Rest]), "Reshape [=0, 3, *]"),
            (Op::Transpose(vec![0, 2, 1]), "Transpose [0, 2, 1]"),
        ];
        for (op, text) in rows {
            assert_eq!(op.to_string(), *text);
        }
    }

    #[test]
    fn a_graph_is_one_node_a_line() {
        let mut graph = Graph::new("tiny");
        let x = graph.input("image", [1, 8, 8, 3]);
        let w = graph.add_param("conv1.weight", Tensor::zeros([4, 3, 3, 3]));
        let conv = Op::Conv2d { window: Window::square(3, 2, 1), groups: 1 };
        let y = graph.add("conv1", conv, &[x, w]).unwrap();
        let y = graph.add("relu1", Op::Unary(Unary::Relu), &[y]).unwrap();
        graph.value_mut(y).name = "features".into();
        graph.outputs.push(y);
        let text = "graph tiny (108 parameters)
  image [1, 8, 8, 3] = input
  conv1 [1, 4, 4, 4] = Conv2d(image, conv1.weight[4, 3, 3, 3]) 3x3 stride 2 pad 1
  features [1, 4, 4, 4] = Relu(conv1) @ relu1
  output features
";
        assert_eq!(graph.to_string(), text);
    }
}
