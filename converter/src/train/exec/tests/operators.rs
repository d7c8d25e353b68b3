//! Each operator alone, in all forms and at sizes round the edges of tiles.

use super::*;
use crate::graph::{Dim, Pads, Unary, Window};

/// Checks an operator behind a linear layer; `stored` are its further operands.
fn check(op: Op, item: &[usize], stored: &[Tensor]) {
    let what = format!("{op:?} of {item:?} with {:?}", stored.iter().map(Tensor::shape).collect::<Vec<_>>());
    let graph = graph_of(&op, item, stored);
    check_forward(&graph, 3, &what);
    check_gradients(&graph, 3, 1e-3, &what, plain_loss);
}

fn check_conv(window: Window, groups: usize, image: [usize; 3], out: usize) {
    let [kh, kw] = window.kernel;
    let weight = tensor(&[out, kh, kw, image[2] / groups], 3);
    check(Op::Conv2d { window, groups }, &image, &[weight, tensor(&[out], 4)]);
}

#[test]
fn convolutions_of_all_widths() {
    for channels in [1, 3, 5, 16, 17, 40] {
        for out in [1, 3, 16, 17, 40, 80] {
            check_conv(Window::square(3, 1, 1), 1, [5, 6, channels], out);
        }
    }
}

#[test]
fn convolutions_of_all_windows() {
    for kernel in [1, 2, 3, 5] {
        for stride in [1, 2, 3] {
            for pad in 0..kernel {
                check_conv(Window::square(kernel, stride, pad), 1, [7, 6, 3], 5);
            }
        }
    }
}

#[test]
fn convolutions_with_uneven_windows() {
    let window = Window {
        kernel: [3, 2],
        stride: [2, 1],
        dilation: [1, 2],
        pads: Pads { top: 0, left: 2, bottom: 1, right: 1 },
    };
    check_conv(window, 1, [8, 7, 5], 17);
    let dilated = Window { kernel: [3, 3], stride: [1, 1], dilation: [2, 2], pads: Pads::all(2) };
    check_conv(dilated, 1, [7, 7, 3], 4);
    let both = Window { kernel: [3, 3], stride: [2, 2], dilation: [2, 3], pads: Pads::all(3) };
    check_conv(both, 1, [9, 10, 2], 3);
    let even_dilation = Window { kernel: [2, 3], stride: [3, 2], dilation: [3, 2], pads: Pads::all(1) };
    check_conv(even_dilation, 1, [9, 9, 2], 3);
}

#[test]
fn a_window_far_beyond_the_image_leaves_pixels_unseen() {
    // The last two rows and columns are read by no output.
    check_conv(Window::square(1, 4, 0), 1, [6, 6, 3], 4);
    check_conv(Window::square(3, 1, 2), 1, [1, 1, 3], 4);
}

#[test]
fn grouped_and_depthwise_convolutions() {
    let dilated = Window { dilation: [2, 1], ..Window::square(3, 1, 2) };
    for window in [Window::square(3, 1, 1), Window::square(3, 2, 1), Window::square(5, 2, 2), dilated] {
        check_conv(window, 2, [7, 7, 6], 4);
        check_conv(window, 3, [7, 7, 6], 9);
        check_conv(window, 6, [7, 7, 6], 6);
        check_conv(window, 6, [7, 7, 6], 12);
        check_conv(window, 17, [7, 7, 17], 17);
    }
}

#[test]
fn depthwise_convolutions_padded_as_by_tensorflow() {
    // Even images of stride 2 have an odd pixel below and to the right.
    for (kernel, pads) in
        [(3, Pads { top: 0, left: 0, bottom: 1, right: 1 }), (5, Pads { top: 1, left: 1, bottom: 2, right: 2 })]
    {
        let window = Window { pads, ..Window::square(kernel, 2, 0) };
        check_conv(window, 1, [8, 6, 3], 16);
        for channels in [16, 17, 40] {
            check_conv(window, channels, [8, 6, channels], channels);
        }
    }
}

#[test]
fn linear_layers() {
    for (input, output) in [(1, 1), (3, 10), (64, 10), (17, 40), (40, 100)] {
        check(Op::Linear, &[input], &[tensor(&[output, input], 3), tensor(&[output], 4)]);
        check(Op::Linear, &[5, input], &[tensor(&[output, input], 3)]);
    }
}

#[test]
fn matrix_products() {
    check(Op::MatMul, &[4, 6], &[tensor(&[6, 5], 3)]);
    check(Op::MatMul, &[2, 4, 6], &[tensor(&[2, 6, 5], 3)]);
    check(Op::MatMul, &[2, 4, 6], &[tensor(&[6, 17], 3)]);
    let mut graph = graph_of(&Op::Unary(Unary::Tanh), &[3, 4, 5], &[]);
    let left = graph.outputs[0];
    let right = graph.add("turned", Op::Transpose(vec![0, 1, 3, 2]), &[left]).unwrap();
    let product = graph.add("product", Op::MatMul, &[left, right]).unwrap();
    graph.outputs = vec![product];
    check_forward(&graph, 3, "a product of two computed tensors");
    check_gradients(&graph, 3, 1e-3, "a product of two computed tensors", plain_loss);
}

#[test]
fn functions_of_one_value() {
    let functions = [
        Unary::Relu,
        Unary::Clip { min: -0.3, max: 0.4 },
        Unary::LeakyRelu { alpha: 0.1 },
        Unary::HardSwish,
        Unary::HardSigmoid { alpha: 0.9, beta: 0.4 },
        Unary::Sigmoid,
        Unary::Tanh,
        Unary::Gelu,
        Unary::GeluTanh,
    ];
    for function in functions {
        let graph = graph_of(&Op::Unary(function), &[3, 5, 7], &[]);
        check_forward(&graph, 3, &format!("{function:?}"));
        // A small step, since most of these have corners.
        check_gradients(&graph, 3, 1e-4, &format!("{function:?}"), plain_loss);
    }
}

#[test]
fn sums_and_products_broadcast() {
    for op in [Op::Add, Op::Mul] {
        check(op.clone(), &[4, 5, 6], &[tensor(&[6], 3)]);
        check(op.clone(), &[4, 5, 6], &[tensor(&[5, 1], 3)]);
        check(op.clone(), &[4, 1, 6], &[tensor(&[1, 4, 5, 6], 3)]);
        check(op.clone(), &[4, 5, 6], &[tensor(&[], 3)]);
        let mut graph = graph_of(&Op::Unary(Unary::Tanh), &[4, 4, 6], &[]);
        let x = graph.outputs[0];
        let mean = graph.add("mean", Op::GlobalAvgPool, &[x]).unwrap();
        let gated = graph.add("gated", op.clone(), &[x, mean]).unwrap();
        let twice = graph.add("twice", op, &[gated, gated]).unwrap();
        graph.outputs = vec![twice];
        check_forward(&graph, 3, "a gate");
        check_gradients(&graph, 3, 1e-3, "a gate", plain_loss);
    }
}

#[test]
fn pools() {
    let uneven = Window {
        kernel: [2, 3],
        stride: [1, 2],
        dilation: [2, 1],
        pads: Pads { top: 1, left: 0, bottom: 0, right: 1 },
    };
    for window in [Window::square(2, 2, 0), Window::square(3, 2, 1), uneven] {
        check(Op::MaxPool(window), &[7, 6, 5], &[]);
        check(Op::AvgPool { window, count_pad: true }, &[7, 6, 5], &[]);
        check(Op::AvgPool { window, count_pad: false }, &[7, 6, 5], &[]);
    }
    check(Op::GlobalAvgPool, &[4, 3, 17], &[]);
}

#[test]
fn softmaxes() {
    check(Op::Softmax { axis: 2 }, &[3, 7], &[]);
    check(Op::Softmax { axis: 1 }, &[3, 7], &[]);
}

#[test]
fn rows_are_normalized() {
    for width in [1, 7, 16, 33, 64] {
        let (gamma, beta) = (tensor(&[width], 3), tensor(&[width], 4));
        check(Op::LayerNorm { eps: 0.1 }, &[3, width], &[gamma, beta]);
        check(Op::Normalize, &[3, width], &[]);
    }
}

#[test]
fn layouts() {
    check(Op::Pad { pads: vec![(0, 0), (1, 2), (0, 0), (3, 0)], value: 0.5 }, &[4, 5, 6], &[]);
    check(Op::Slice { axis: 1, start: 1, step: 2, len: 2 }, &[5, 4], &[]);
    check(Op::Slice { axis: 2, start: 3, step: 1, len: 1 }, &[5, 4], &[]);
    check(Op::Reshape(vec![Dim::Same(0), Dim::Rest]), &[5, 4], &[]);
    check(Op::Transpose(vec![0, 3, 1, 2]), &[3, 4, 5], &[]);
    let concat = |axis: usize| {
        let mut graph = graph_of(&Op::Unary(Unary::Tanh), &[3, 4], &[]);
        let (x, before) = (graph.outputs[0], graph.nodes[0].output);
        let joined = graph.add("joined", Op::Concat { axis }, &[x, before, x]).unwrap();
        graph.outputs = vec![joined];
        graph
    };
    for axis in [1, 2] {
        check_forward(&concat(axis), 3, "concat");
        check_gradients(&concat(axis), 3, 1e-3, "concat", plain_loss);
    }
}

#[test]
fn graphs_that_mix_their_batch_run_as_a_whole() {
    for op in [
        Op::Softmax { axis: 0 },
        Op::Transpose(vec![1, 0, 2]),
        Op::Reshape(vec![Dim::Rest, Dim::Size(2)]),
        Op::Slice { axis: 0, start: 1, step: 1, len: 1 },
    ] {
        let mut graph = Graph::new("mixes");
        let x = graph.input("x", [3, 4, 5]);
        let square = graph.add("square", Op::Mul, &[x, x]).unwrap();
        let y = graph.add("node", op.clone(), &[square]).unwrap_or(square);
        graph.outputs = vec![y];
        check_forward(&graph, 3, &format!("{op:?}"));
        check_forward(&graph, 2, &format!("{op:?}"));
    }
    let mut graph = Graph::new("mixes");
    let x = graph.input("x", [3, 4]);
    let y = graph.add("node", Op::Concat { axis: 0 }, &[x, x]).unwrap();
    graph.outputs = vec![y];
    check_forward(&graph, 3, "concat of batches");
    let error = Trainable::new(&graph, 1).map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("first axis"), "{error}");
}

#[test]
fn nodes_without_inputs_of_the_graph_are_folded() {
    let mut graph = Graph::new("constants");
    let x = graph.input("x", [1, 6]);
    let turned = graph.add_param("turned", tensor(&[6, 4], 3));
    let weight = graph.add("weight", Op::Transpose(vec![1, 0]), &[turned]).unwrap();
    let scale = graph.add_param("scale", tensor(&[1], 4));
    let weight = graph.add("scaled", Op::Mul, &[weight, scale]).unwrap();
    let y = graph.add("linear", Op::Linear, &[x, weight]).unwrap();
    graph.outputs = vec![y];
    check_forward(&graph, 2, "folded weights");
    check_gradients(&graph, 2, 1e-3, "folded weights", plain_loss);
}

#[test]
fn computed_weights_are_told() {
    let mut graph = Graph::new("computed");
    let x = graph.input("x", [4, 4]);
    let y = graph.add("dense", Op::Linear, &[x, x]).unwrap();
    graph.outputs = vec![y];
    let error = Infer::new(&graph, 1).map(|_| ()).unwrap_err();
    assert_eq!(error.to_string(), "node `dense` (Linear): operand 1 must be stored, not computed");
}

#[test]
fn inputs_that_do_not_fit_are_told() {
    let graph = graph_of(&Op::Unary(Unary::Relu), &[3, 4], &[]);
    let mut infer = Infer::new(&graph, 1).unwrap();
    assert!(infer.run(&tensor(&[5, 3, 4], 1)).is_ok());
    for shape in [&[5usize, 3, 5] as &[usize], &[0, 3, 4], &[3, 4]] {
        assert!(matches!(infer.run(&tensor(shape, 1)), Err(super::super::ExecError::Input { .. })), "{shape:?}");
    }
    assert!(infer.run_taps(&tensor(&[5, 3, 4], 1), &[ValueId(99)]).is_err());
    let mut training = Trainable::new(&graph, 1).unwrap();
    assert!(training.step(&[0.0; 12], 1, weigh).is_ok());
    assert!(training.step(&[0.0; 13], 1, weigh).is_err());
    assert!(training.step(&[], 0, weigh).is_err());
}
