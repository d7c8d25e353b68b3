//! Whole networks: normalization by batches, residual sums, determinism, and learning itself.

use super::*;
use crate::families::{self, Task};
use crate::graph::{Unary, Window};
use crate::train::exec::ParamKind;

/// A small residual network with all that fuses: normalization with ReLU, with a sum, with both and alone.
fn residual() -> Graph {
    let mut graph = Graph::new("residual");
    let x = graph.input("x", [1, 6, 6, 3]);
    let stem = block(&mut graph, "stem", x, 5, 1);
    let stem = graph.add("stem.relu", Op::Unary(Unary::Relu), &[stem]).unwrap();
    let a = block(&mut graph, "a", stem, 5, 1);
    let sum = graph.add("a.add", Op::Add, &[stem, a]).unwrap();
    let sum = graph.add("a.relu", Op::Unary(Unary::Relu), &[sum]).unwrap();
    let b = block(&mut graph, "b", sum, 8, 2);
    let shortcut = block(&mut graph, "shortcut", sum, 8, 2);
    let sum = graph.add("b.add", Op::Add, &[b, shortcut]).unwrap();
    let pooled = graph.add("pool", Op::GlobalAvgPool, &[sum]).unwrap();
    graph.outputs = vec![pooled];
    graph
}

fn block(graph: &mut Graph, name: &str, x: ValueId, out: usize, stride: usize) -> ValueId {
    let channels = graph.shape(x)[3];
    let seed = name.len() as u64;
    let weight = graph.add_param(format!("{name}.weight"), tensor(&[out, 3, 3, channels], seed));
    let op = Op::Conv2d { window: Window::square(3, stride, 1), groups: 1 };
    let conv = graph.add(format!("{name}.conv"), op, &[x, weight]).unwrap();
    let mut inputs = vec![conv];
    for (i, field) in ["gamma", "beta", "mean", "variance"].into_iter().enumerate() {
        let positive = tensor(&[out], seed + 7 + i as u64).data().iter().map(|v| v.abs() + 0.5).collect();
        inputs.push(graph.add_param(format!("{name}.{field}"), Tensor::new([out], positive)));
    }
    graph.add(format!("{name}.bn"), Op::BatchNorm { eps: 1e-3 }, &inputs).unwrap()
}

/// Of a channel of a normalization: the node, the mean, and the variance of the sample.
type Statistic = (String, f64, f64);

/// The values of a graph in training mode by plain loops: normalization by the statistics of the batch.
fn plain_training(graph: &Graph, input: &Tensor) -> (Vec<Option<Tensor>>, Vec<Statistic>) {
    let mut values: Vec<Option<Tensor>> = vec![None; graph.values.len()];
    graph.params().for_each(|(id, tensor)| values[id.0 as usize] = Some(tensor.as_ref().clone()));
    values[graph.inputs[0].0 as usize] = Some(input.clone());
    let mut statistics = Vec::new();
    for node in &graph.nodes {
        let mut operands: Vec<Tensor> = node.inputs.iter().map(|id| values[id.0 as usize].clone().unwrap()).collect();
        if let Op::BatchNorm { .. } = node.op {
            let channels = operands[1].len();
            for channel in 0..channels {
                let of: Vec<f64> =
                    operands[0].data().iter().skip(channel).step_by(channels).map(|v| f64::from(*v)).collect();
                let mean = of.iter().sum::<f64>() / of.len() as f64;
                let variance = of.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / of.len() as f64;
                operands[3].data_mut()[channel] = mean as f32;
                operands[4].data_mut()[channel] = variance as f32;
                let sample = variance * of.len() as f64 / (of.len() - 1) as f64;
                statistics.push((node.name.clone(), mean, sample));
            }
        }
        let operands: Vec<&Tensor> = operands.iter().collect();
        values[node.output.0 as usize] = Some(reference::eval(&node.op, &operands, graph.shape(node.output)));
    }
    (values, statistics)
}

#[test]
fn normalization_by_batches_is_as_defined() {
    let graph = residual();
    for batch in [1, 2, 9, 17] {
        let input = tensor(&[batch, 6, 6, 3], 5);
        let (values, statistics) = plain_training(&graph.with_batch(batch).unwrap(), &input);
        let expected = values[graph.outputs[0].0 as usize].as_ref().unwrap();
        let mut training = Trainable::new(&graph, 2).unwrap();
        let before: Vec<Vec<f32>> = training.state().iter().map(|state| state.value.clone()).collect();
        let outputs = training.step(input.data(), batch, |outputs, _| outputs.to_vec()).unwrap();
        assert_near(&Tensor::new(expected.shape(), outputs), expected, 1e-5, &format!("batch {batch}"));
        let mut followed = Vec::new();
        for pair in training.state().chunks(2).zip(before.chunks(2)) {
            for channel in 0..pair.0[0].value.len() {
                let target = |i: usize| pair.1[i][channel] + (pair.0[i].value[channel] - pair.1[i][channel]) / 0.1;
                followed.push((target(0), target(1)));
            }
        }
        for ((name, mean, variance), (found_mean, found_variance)) in statistics.iter().zip(followed) {
            assert!((mean - f64::from(found_mean)).abs() < 1e-4, "{name}: {mean} {found_mean}");
            assert!((variance / f64::from(found_variance) - 1.0).abs() < 1e-3, "{name}: {variance} {found_variance}");
        }
    }
}

#[test]
fn gradients_go_through_batch_statistics() {
    let loss = |graph: &Graph, input: &Tensor| {
        let output = plain_training(graph, input).0[graph.outputs[0].0 as usize].take().unwrap();
        weigh(output.data(), &mut vec![0.0; output.len()])
    };
    check_gradients(&residual(), 11, 2e-4, "residual network", loss);
}

#[test]
fn stored_statistics_are_used_when_run() {
    check_forward(&residual(), 5, "residual network");
}

fn resnet8() -> Graph {
    families::build("resnet8", &Task::of_images([16, 16, 3], 10), 3).unwrap()
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let input = tensor(&[13, 16, 16, 3], 1);
    let run = |threads| {
        let mut training = Trainable::new(&resnet8(), threads).unwrap();
        for _ in 0..2 {
            training.step(input.data(), 13, weigh).unwrap();
        }
        let gradients: Vec<Vec<f32>> = training.params().iter().map(|param| param.grad.clone()).collect();
        let graph = training.to_graph();
        (gradients, graph.clone(), Infer::new(&graph, threads).unwrap().run(&input).unwrap())
    };
    let one = run(1);
    for threads in [2, 3, 16] {
        assert!(run(threads) == one, "gradients, statistics and outputs must be equal to the bit on {threads} threads");
    }
}

#[test]
fn frozen_parameters_get_no_gradient_and_the_others_the_same() {
    let input = tensor(&[6, 16, 16, 3], 1);
    let mut all = Trainable::new(&resnet8(), 1).unwrap();
    let mut head = Trainable::new(&resnet8(), 1).unwrap();
    head.params_mut().iter_mut().for_each(|param| param.trainable = param.name.starts_with("linear"));
    all.step(input.data(), 6, weigh).unwrap();
    head.step(input.data(), 6, weigh).unwrap();
    for (all, head) in all.params().iter().zip(head.params()) {
        if head.trainable {
            assert_eq!(all.grad, head.grad, "{}", head.name);
        } else {
            assert!(all.grad.iter().any(|g| *g != 0.0), "{}", all.name);
            assert!(head.grad.iter().all(|g| *g == 0.0), "{}", head.name);
        }
    }
}

#[test]
fn parameters_keep_their_names_and_kinds() {
    let training = Trainable::new(&resnet8(), 1).unwrap();
    let kind = |name: &str| training.params().iter().find(|param| param.name == name).map(|param| param.kind);
    assert_eq!(kind("conv1.weight"), Some(ParamKind::Weight));
    assert_eq!(kind("bn1.weight"), Some(ParamKind::NormScale));
    assert_eq!(kind("bn1.bias"), Some(ParamKind::NormShift));
    assert_eq!(kind("linear.bias"), Some(ParamKind::Bias));
    assert_eq!(training.state()[0].name, "bn1.running_mean");
    assert_eq!(training.params().iter().map(|param| param.value.len()).sum::<usize>(), 78_042);
    assert_eq!(training.to_graph(), resnet8());
}

#[test]
fn descent_lowers_the_loss() {
    let (input, targets) = (tensor(&[16, 16, 16, 3], 1), noise(160, 9));
    let mut training = Trainable::new(&resnet8(), 2).unwrap();
    let mut losses = Vec::new();
    for _ in 0..30 {
        let loss = training.step(input.data(), 16, |outputs, gradient| {
            let mut sum = 0.0;
            for ((y, t), g) in outputs.iter().zip(&targets).zip(gradient) {
                *g = (y - t) / 160.0;
                sum += (y - t).powi(2) / 320.0;
            }
            sum
        });
        losses.push(loss.unwrap());
        for param in training.params_mut() {
            param.value.iter_mut().zip(&param.grad).for_each(|(v, g)| *v -= 0.5 * g);
        }
    }
    assert!(losses[29] < 0.1 * losses[0], "{losses:?}");
}
