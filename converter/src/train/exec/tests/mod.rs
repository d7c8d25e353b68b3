//! Every operator against the plain definitions, its gradients against finite differences, and whole networks.

mod networks;
mod operators;
mod texts;

use crate::graph::{Graph, Op, Tensor, ValueId};
use crate::ops::reference;
use crate::train::exec::{Infer, Trainable};

/// Numbers between -1 and 1 that differ from seed to seed.
fn noise(len: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    // The first numbers of near seeds are alike.
    (0..len + 8).map(|_| next()).skip(8).collect()
}

fn tensor(shape: &[usize], seed: u64) -> Tensor {
    Tensor::new(shape, noise(shape.iter().product(), seed))
}

/// A graph of a linear layer (so that gradients must go through what follows) and one operator.
fn graph_of(op: &Op, item: &[usize], stored: &[Tensor]) -> Graph {
    let mut graph = Graph::new("test");
    let x = graph.input("x", [&[1], item].concat());
    let width = item[item.len() - 1];
    let weight = graph.add_param("before.weight", tensor(&[width, width], 11));
    let before = graph.add("before", Op::Linear, &[x, weight]).unwrap();
    let mut inputs = vec![before];
    for (i, value) in stored.iter().enumerate() {
        inputs.push(graph.add_param(format!("stored{i}"), value.clone()));
    }
    let y = graph.add("node", op.clone(), &inputs).unwrap();
    graph.outputs = vec![y];
    graph
}

/// Asserts that two tensors agree to a relative error, measured against the largest value.
#[track_caller]
fn assert_near(found: &Tensor, expected: &Tensor, tolerance: f32, what: &str) {
    assert_eq!(found.shape(), expected.shape(), "{what}");
    let scale = expected.data().iter().fold(1e-3f32, |max, v| max.max(v.abs()));
    for (i, (f, e)) in found.data().iter().zip(expected.data()).enumerate() {
        assert!((f - e).abs() <= tolerance * scale, "{what}: element {i} is {f}, not {e} (scale {scale})");
    }
}

/// Runs `graph` on a batch and compares all its values with the plain definitions.
fn check_forward(graph: &Graph, batch: usize, what: &str) {
    let graph = graph.with_batch(batch).unwrap();
    let input = tensor(graph.shape(graph.inputs[0]), 5);
    let expected = reference::values(&graph, std::slice::from_ref(&input)).unwrap();
    for threads in [1, 2] {
        let mut infer = Infer::new(&graph, threads).unwrap();
        let outputs = infer.run(&input).unwrap();
        for (id, output) in graph.outputs.iter().zip(&outputs) {
            assert_near(output, expected[id.0 as usize].as_ref().unwrap(), 1e-5, what);
        }
        let taps: Vec<ValueId> = graph.nodes.iter().map(|node| node.output).collect();
        for (id, output) in taps.iter().zip(&infer.run_taps(&input, &taps).unwrap()) {
            assert_near(output, expected[id.0 as usize].as_ref().unwrap(), 1e-5, what);
        }
    }
}

/// The loss of the gradient tests, a weighted sum of all outputs, and its gradient.
fn weigh(outputs: &[f32], gradient: &mut [f32]) -> f64 {
    gradient.copy_from_slice(&noise(outputs.len(), 77));
    outputs.iter().zip(gradient).map(|(y, w)| f64::from(*y) * f64::from(*w)).sum()
}

/// Compares the gradients of a step with differences of `loss` when parameters move a little in some directions.
fn check_gradients(graph: &Graph, batch: usize, step: f32, what: &str, loss: impl Fn(&Graph, &Tensor) -> f64) {
    let shape = graph.with_batch(batch).unwrap().shape(graph.inputs[0]).to_vec();
    check_gradients_of(graph, &tensor(&shape, 5), [step, 0.0], what, loss);
}

/// The same for a given input, where rounding in the definitions may move a difference by so much.
fn check_gradients_of(
    graph: &Graph,
    input: &Tensor,
    [step, rounding]: [f32; 2],
    what: &str,
    loss: impl Fn(&Graph, &Tensor) -> f64,
) {
    let mut training = Trainable::new(graph, 2).unwrap();
    let batch = input.shape()[0];
    training.step(input.data(), batch, weigh).unwrap();
    let gradients: Vec<Vec<f32>> = training.params().iter().map(|param| param.grad.clone()).collect();
    for (index, gradient) in gradients.iter().enumerate() {
        let value = training.params()[index].value.clone();
        let norm = gradient.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
        for direction in 0..4 {
            let direction = if direction == 0 {
                gradient.iter().map(|g| *g / (norm as f32 + 1e-9) * (value.len() as f32).sqrt()).collect()
            } else {
                noise(value.len(), 100 + direction)
            };
            let mut moved = |by: f32| {
                let to = value.iter().zip(&direction).map(|(v, d)| v + by * d).collect();
                training.params_mut()[index].value = to;
                let loss = loss(&training.to_graph().with_batch(batch).unwrap(), input);
                training.params_mut()[index].value = value.clone();
                loss
            };
            let difference = (moved(step) - moved(-step)) / (2.0 * f64::from(step));
            let product: f64 = gradient.iter().zip(&direction).map(|(g, d)| f64::from(*g) * f64::from(*d)).sum();
            let scale = norm * (value.len() as f64).sqrt() + 1e-2;
            let name = &training.params()[index].name;
            assert!(
                (difference - product).abs() < 4e-3 * scale + f64::from(rounding),
                "{what}: {name} {product}, by differences {difference}"
            );
        }
    }
}

/// The loss by the plain definitions.
fn plain_loss(graph: &Graph, input: &Tensor) -> f64 {
    let output = reference::run(graph, std::slice::from_ref(input)).unwrap();
    weigh(output[0].data(), &mut vec![0.0; output[0].len()])
}
