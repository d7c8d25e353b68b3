//! The integers that the runtime's operators take, from the reals of an int8 graph.

use super::error::PackError;
use crate::quantize::{Affine, Clamp, FixedPoint, QuantGraph, QuantNode, QuantOp, Weights, fixed_points, fold_bias};
use limbeck_runtime::Layout;
use limbeck_runtime::Shape;
use limbeck_runtime::ops;
use limbeck_runtime::quant::{Channels, MIN_MULTIPLIER, Output};

/// Weights of a layer in a layout's order, and the numbers of each output channel, padded to whole panels.
#[derive(Clone, Debug, Default)]
pub(crate) struct Layer {
    /// The weights.
    pub weights: Vec<i8>,
    /// Bias with zero point and input offset folded in.
    pub bias: Vec<i32>,
    /// See [`limbeck_runtime::quant::rescale`].
    pub multiplier: Vec<i32>,
    /// See [`limbeck_runtime::quant::rescale`].
    pub shift: Vec<u8>,
}

impl Layer {
    /// The packed form of a convolution's or linear layer's weights; `rows` kernel rows of equal length.
    ///
    /// # Errors
    /// If an accumulator could leave 32 bits with this layout.
    pub(crate) fn panels(
        graph: &QuantGraph,
        node: &QuantNode,
        weights: &Weights,
        layout: Layout,
    ) -> Result<Layer, PackError> {
        let rows = kernel_rows(&node.op);
        let row_len = weights.depth() / rows;
        let out = weights.bias.len();
        let mut layer = Layer {
            weights: vec![0; layout.weight_bytes(out, rows, row_len)],
            ..Layer::channels(graph, node, weights, layout.input_offset, layout.padded_channels(out))?
        };
        for (o, channel) in weights.rows().enumerate() {
            for (i, &w) in channel.iter().enumerate() {
                layout.put(&mut layer.weights, [rows, row_len], [o, i / row_len, i % row_len], w);
            }
        }
        Ok(layer)
    }

    /// The packed form of a depthwise convolution's weights: tap after tap, the channels of each together.
    ///
    /// # Errors
    /// If an accumulator could leave 32 bits.
    pub(crate) fn taps(
        graph: &QuantGraph,
        node: &QuantNode,
        weights: &Weights,
        layout: Layout,
    ) -> Result<Layer, PackError> {
        let out = weights.bias.len();
        let taps = weights.depth();
        let weights_by_tap = (0..taps * out).map(|i| weights.data[i % out * taps + i / out]).collect();
        let layer = Layer::channels(graph, node, weights, 0, layout.padded_channels(out))?;
        Ok(Layer { weights: weights_by_tap, ..layer })
    }

    fn channels(
        graph: &QuantGraph,
        node: &QuantNode,
        weights: &Weights,
        offset: u8,
        padded: usize,
    ) -> Result<Layer, PackError> {
        let (input, output) = (affine(graph, node, 0), graph.tensor(node.output).affine);
        let fixed = fixed_points(&node.name, weights, input, output)?;
        let left: Vec<u8> = fixed.iter().map(|f| f.left).collect();
        let mut bias = fold_bias(&node.name, weights, input.zero_point, i32::from(offset), &left)?;
        let mut multiplier: Vec<i32> = fixed.iter().map(|f| f.multiplier).collect();
        let mut shift: Vec<u8> = fixed.iter().map(|f| f.shift_byte()).collect();
        bias.resize(padded, 0);
        multiplier.resize(padded, MIN_MULTIPLIER);
        shift.resize(padded, 1);
        Ok(Layer { weights: Vec::new(), bias, multiplier, shift })
    }

    fn view(&self) -> Channels<'_> {
        Channels { bias: &self.bias, multiplier: &self.multiplier, shift: &self.shift }
    }
}

/// Rows into which a layer's products fall.
fn kernel_rows(op: &QuantOp) -> usize {
    if let QuantOp::Conv2d { window, .. } = op { window.kernel[0] } else { 1 }
}

fn affine(graph: &QuantGraph, node: &QuantNode, input: usize) -> Affine {
    graph.tensor(node.inputs[input]).affine
}

fn shape(graph: &QuantGraph, id: crate::quantize::TensorId) -> Shape {
    let [height, width, channels] = graph.tensor(id).shape;
    Shape { height, width, channels }
}

fn window(window: &crate::graph::Window) -> ops::Window {
    let crate::graph::Window { kernel, stride, dilation, pads } = *window;
    ops::Window { kernel, stride, dilation, pad: [pads.top, pads.left] }
}

/// Zero point and clamp of what a node writes.
pub(crate) fn output(graph: &QuantGraph, node: &QuantNode) -> Output {
    let Clamp { lo, hi } = node.op.clamp();
    Output { zero: graph.tensor(node.output).affine.zero_point, lo, hi }
}

/// A convolution with its packed weights; the planner, which asks only for shapes, gives an empty layer.
pub(crate) fn conv2d<'a>(
    graph: &QuantGraph,
    node: &QuantNode,
    layer: &'a Layer,
    layout: Layout,
    residual: Option<ops::Add>,
) -> ops::Conv2d<'a> {
    ops::Conv2d {
        input: shape(graph, node.inputs[0]),
        output: shape(graph, node.output),
        window: any_window(&node.op),
        input_zero: affine(graph, node, 0).zero_point,
        layout,
        weights: &layer.weights,
        channels: layer.view(),
        range: output(graph, node),
        residual,
    }
}

/// A depthwise convolution with its packed weights.
pub(crate) fn depthwise<'a>(graph: &QuantGraph, node: &QuantNode, layer: &'a Layer) -> ops::Depthwise<'a> {
    ops::Depthwise {
        input: shape(graph, node.inputs[0]),
        output: shape(graph, node.output),
        window: any_window(&node.op),
        input_zero: affine(graph, node, 0).zero_point,
        weights: &layer.weights,
        channels: layer.view(),
        range: output(graph, node),
    }
}

/// A linear layer with its packed weights.
pub(crate) fn linear<'a>(graph: &QuantGraph, node: &QuantNode, layer: &'a Layer, layout: Layout) -> ops::Linear<'a> {
    let (input, out) = (shape(graph, node.inputs[0]), shape(graph, node.output));
    ops::Linear {
        rows: input.pixels(),
        inputs: input.channels,
        outputs: out.channels,
        layout,
        weights: &layer.weights,
        channels: layer.view(),
        range: output(graph, node),
    }
}

fn any_window(op: &QuantOp) -> ops::Window {
    match op {
        QuantOp::Conv2d { window: w, .. }
        | QuantOp::Depthwise { window: w, .. }
        | QuantOp::MaxPool { window: w }
        | QuantOp::AvgPool { window: w, .. } => window(w),
        _ => ops::Window::UNIT,
    }
}

/// A sum, whose operands are numbered as the runtime does: first the one that is read, then the one in the output buffer.
pub(crate) fn add(graph: &QuantGraph, node: &QuantNode, read: usize) -> Result<ops::Add, PackError> {
    let out = graph.tensor(node.output).affine;
    let operands = [read, 1 - read].map(|i| affine(graph, node, i));
    let ratios = operands.map(|a| f64::from(a.scale) / f64::from(out.scale));
    let largest = ratios[0].max(ratios[1]);
    let multiplier = |ratio: f64, shift: u8| (ratio * f64::exp2(f64::from(shift))).round();
    let Some(shift) = (1..=22u8).rev().find(|&shift| multiplier(largest, shift) <= 32_767.0) else {
        return Err(PackError::Range { node: node.name.clone(), problem: format!("scales differ by {largest:e}") });
    };
    let multipliers = ratios.map(|r| multiplier(r, shift) as i16);
    let zeros: i32 = operands.iter().zip(multipliers).map(|(a, m)| i32::from(a.zero_point) * i32::from(m)).sum();
    let bias = (i32::from(out.zero_point) << shift) + (1 << (shift - 1)) - zeros;
    let Clamp { lo, hi } = node.op.clamp();
    Ok(ops::Add { multipliers, bias, shift, lo, hi })
}

/// A product, whose operands are numbered like those of a sum.
pub(crate) fn mul(graph: &QuantGraph, node: &QuantNode, read: usize) -> Result<ops::Mul, PackError> {
    let operands = [read, 1 - read].map(|i| affine(graph, node, i));
    let out = graph.tensor(node.output).affine;
    let factor = operands.iter().map(|a| f64::from(a.scale)).product::<f64>() / f64::from(out.scale);
    let fixed = fixed(node, factor)?;
    Ok(ops::Mul {
        zeros: operands.map(|a| a.zero_point),
        multiplier: fixed.multiplier,
        shift: fixed.shift_byte(),
        range: output(graph, node),
    })
}

fn fixed(node: &QuantNode, factor: f64) -> Result<FixedPoint, PackError> {
    FixedPoint::nearest(factor)
        .ok_or_else(|| PackError::Range { node: node.name.clone(), problem: format!("no multiplier for {factor:e}") })
}

/// A max pool.
pub(crate) fn max_pool(graph: &QuantGraph, node: &QuantNode) -> ops::MaxPool {
    ops::MaxPool {
        input: shape(graph, node.inputs[0]),
        output: shape(graph, node.output),
        window: any_window(&node.op),
    }
}

/// Multipliers and shifts of a mean: one where every window counts the same number of taps, else one for each number.
///
/// # Errors
/// If a factor has no multiplier.
pub(crate) fn means(graph: &QuantGraph, node: &QuantNode, count_pad: bool) -> Result<(Vec<i32>, Vec<u8>), PackError> {
    let pool = max_pool(graph, node);
    let full = |axis: usize, outputs: usize, size: usize| {
        (0..outputs).all(|o| pool.window.inside(axis, o, size).len() == pool.window.kernel[axis])
    };
    let [taps, rows, columns] = [pool.window.taps(), pool.output.height, pool.output.width];
    let same = count_pad || (full(0, rows, pool.input.height) && full(1, columns, pool.input.width));
    let scale = f64::from(affine(graph, node, 0).scale) / f64::from(graph.tensor(node.output).affine.scale);
    let counts = if same { taps..=taps } else { 1..=taps };
    let fixed = counts.map(|n| fixed(node, scale / n as f64)).collect::<Result<Vec<_>, _>>()?;
    Ok(fixed.iter().map(|f| (f.multiplier, f.shift_byte())).unzip())
}

/// A mean with its multipliers and shifts.
pub(crate) fn avg_pool<'a>(
    graph: &QuantGraph,
    node: &QuantNode,
    multipliers: &'a [i32],
    shifts: &'a [u8],
) -> ops::AvgPool<'a> {
    let input_zero = affine(graph, node, 0).zero_point;
    ops::AvgPool { pool: max_pool(graph, node), input_zero, multipliers, shifts, range: output(graph, node) }
}

/// Attention as the planner wants it: shapes, and no multipliers.
pub(crate) fn attention_shape(graph: &QuantGraph, node: &QuantNode, heads: usize) -> ops::Attention {
    let [rows, _, width] = graph.tensor(node.output).shape;
    let size = width / heads.max(1);
    ops::Attention { rows, heads, size, score: (0, 0), value: (0, 0), range: output(graph, node) }
}

/// A softmax.
pub(crate) fn softmax(graph: &QuantGraph, node: &QuantNode) -> ops::Softmax {
    let scale = f64::from(affine(graph, node, 0).scale);
    // Beyond the bound every smaller value already has probability 0.
    let step = (scale * std::f64::consts::LOG2_E * f64::exp2(16.0)).round().min(f64::exp2(24.0)) as u32;
    ops::Softmax { len: shape(graph, node.inputs[0]).channels, step }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(op: QuantOp, scales: [(f32, i8); 3]) -> QuantGraph {
        let mut graph = QuantGraph::default();
        let affines = scales.map(|(scale, zero_point)| Affine { scale, zero_point });
        let ids = ["a", "b", "y"].iter().zip(affines).map(|(n, affine)| graph.add_tensor(*n, [1, 1, 4], affine));
        let ids: Vec<_> = ids.collect();
        graph.nodes.push(QuantNode { name: "n".into(), op, inputs: vec![ids[0], ids[1]], output: ids[2] });
        graph
    }

    #[test]
    fn sums_are_within_a_rounding_of_the_reals() {
        let g = graph(QuantOp::Add { clamp: Clamp { lo: -20, hi: 127 } }, [(0.1, 3), (0.03, -7), (0.11, -20)]);
        for read in 0..2 {
            let add = add(&g, &g.nodes[0], read).unwrap();
            for (a, b) in [(0, 0), (3, -7), (100, 50), (-128, -128), (127, 127), (50, -60)] {
                let real = 0.1 * (f64::from(a) - 3.0) + 0.03 * (f64::from(b) + 7.0);
                let expected = (real / 0.11 - 20.0).clamp(-20.0, 127.0);
                let found = if read == 0 { add.apply(a, b) } else { add.apply(b, a) };
                assert!((f64::from(found) - expected).abs() < 0.51, "{a} + {b}: {found}, {expected}");
            }
        }
    }

    #[test]
    fn products_are_within_a_rounding_of_the_reals() {
        let g = graph(QuantOp::Mul { clamp: Clamp::NONE }, [(0.1, 3), (0.03, -7), (0.2, 5)]);
        let mul = mul(&g, &g.nodes[0], 0).unwrap();
        for (a, b) in [(0, 0), (3, -7), (100, 50), (-128, 127), (50, -60)] {
            let real = 0.1 * (f64::from(a) - 3.0) * 0.03 * (f64::from(b) + 7.0);
            let expected = (real / 0.2 + 5.0).clamp(-128.0, 127.0);
            assert!((f64::from(mul.apply(a, b)) - expected).abs() < 0.51, "{a} * {b}");
        }
    }

    #[test]
    fn means_know_how_many_taps_are_inside() {
        let window = crate::graph::Window::square(3, 1, 1);
        let mut g = graph(QuantOp::AvgPool { window, count_pad: false, clamp: Clamp::NONE }, [(0.5, 0); 3]);
        for t in &mut g.tensors {
            t.shape = [3, 3, 2];
        }
        let (multipliers, _) = means(&g, &g.nodes[0], false).unwrap();
        assert_eq!(multipliers.len(), 9);
        assert_eq!(means(&g, &g.nodes[0], true).unwrap().0, multipliers[8..]);
    }
}
