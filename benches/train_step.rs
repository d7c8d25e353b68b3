//! Images and tokens per second and multiplications per second of training steps and of teacher inference.
//!
//! `cargo bench -p limbeck-benches --bench train_step [-- THREADS..]`; for each network the best of several repetitions.

use limbeck::families::{self, Task, distilbert};
use limbeck::graph::{Graph, Op, Tensor};
use limbeck::train::exec::{Infer, Trainable};
use std::time::Instant;

/// Multiplications of one item's forward pass in convolutions and linear layers; of a text those of all its tokens.
fn multiplications(graph: &Graph) -> usize {
    let of = |node: &limbeck::graph::Node| match node.op {
        Op::Conv2d { .. } | Op::Linear => {
            graph.shape(node.output).iter().product::<usize>()
                * graph.shape(node.inputs[1])[1..].iter().product::<usize>()
        }
        _ => 0,
    };
    graph.nodes.iter().map(of).sum()
}

/// The shortest time of `run`, in seconds.
fn best(mut run: impl FnMut()) -> f64 {
    let mut shortest = f64::INFINITY;
    let begin = Instant::now();
    while begin.elapsed().as_secs_f64() < 4.0 {
        let start = Instant::now();
        run();
        shortest = shortest.min(start.elapsed().as_secs_f64());
    }
    shortest
}

/// Items are images or tokens; `products` are the multiplications of all of them.
fn report(what: &str, threads: usize, (count, items): (usize, &str), products: usize, seconds: f64) {
    let rate = products as f64 * 1e-9 / seconds;
    println!(
        "{what:<24} threads {threads}  {:>8.0} {items}/s  {rate:>6.1} GMAC/s  {:>5.1} per thread",
        count as f64 / seconds,
        rate / threads as f64
    );
}

/// Steps and inference of encoders on texts of 1 to `room` tokens.
fn texts(name: &str, threads: usize, room: usize, batch: usize) {
    let net = distilbert::named(name, 30522, room, 2).expect("the encoder has a name");
    let graph = net.build(name, Some(1)).expect("its heads divide its width");
    let length = |text: usize| 1 + text * 7 % room;
    let id = |text: usize, place: usize| if place < length(text) { (text * 31 + place * 17) as f32 } else { -1.0 };
    let ids = (0..batch).flat_map(|text| (0..room).map(move |place| id(text, place))).collect();
    let ids = Tensor::new([batch, room], ids);
    let tokens: usize = (0..batch).map(length).sum();
    // All but the classifier is done for each token.
    let products = multiplications(&graph) / room * tokens;
    let mut training = Trainable::new(&graph, threads).expect("a network of the family can be trained");
    let seconds = best(|| {
        let loss =
            |logits: &[f32], gradient: &mut [f32]| gradient.iter_mut().zip(logits).for_each(|(g, y)| *g = y / 1e3);
        training.step(ids.data(), batch, loss).expect("the input fits");
    });
    report(&format!("{name} step"), threads, (tokens, "tokens"), 3 * products, seconds);
    let mut infer = Infer::new(&graph, threads).expect("a network of the family can be run");
    let seconds = best(|| {
        infer.run(&ids).expect("the input fits");
    });
    report(&format!("{name} inference"), threads, (tokens, "tokens"), products, seconds);
}

fn main() {
    let mut threads: Vec<usize> = std::env::args().filter_map(|arg| arg.parse().ok()).collect();
    if threads.is_empty() {
        threads = vec![1, 2];
    }
    let batch = 128;
    let input = Tensor::new(
        [batch, 32, 32, 3],
        (0..batch * 3072).map(|i| (i * 37 % 101) as f32 / 50.0 - 1.0).collect::<Vec<_>>(),
    );
    let task = Task::of_images([32, 32, 3], 10);
    let build = |name: &str| families::build(name, &task, 1).unwrap_or_else(|error| panic!("{name}: {error}"));
    for &threads in &threads {
        for name in ["resnet8", "resnet8-40"] {
            let graph = build(name);
            let mut training = Trainable::new(&graph, threads).expect("a network of the family can be trained");
            let seconds = best(|| {
                let loss = |logits: &[f32], gradient: &mut [f32]| {
                    gradient.iter_mut().zip(logits).for_each(|(g, y)| *g = y / 1e3)
                };
                training.step(input.data(), batch, loss).expect("the input fits");
            });
            report(&format!("{name} step"), threads, (batch, "images"), 3 * batch * multiplications(&graph), seconds);
        }
        for name in ["resnet8", "resnet56"] {
            let graph = build(name);
            let mut infer = Infer::new(&graph, threads).expect("a network of the family can be run");
            let seconds = best(|| {
                infer.run(&input).expect("the input fits");
            });
            report(&format!("{name} inference"), threads, (batch, "images"), batch * multiplications(&graph), seconds);
        }
        for (name, room, batch) in [("bert-tiny", 32, 64), ("minilm-6", 64, 32)] {
            texts(name, threads, room, batch);
        }
    }
}
