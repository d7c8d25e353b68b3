//! Operators on texts of different lengths, and a whole encoder.

use super::*;
use crate::graph::{Pick, Unary};
use crate::ops::embed::lengths;
use crate::train::exec::{Dropout, ExecError};

const VOCABULARY: usize = 13;

/// Texts of these lengths in a batch with room for `room` tokens each.
fn texts(room: usize, lengths: &[usize]) -> Tensor {
    let id = |i: usize| ((i * 7 + i / 3) % VOCABULARY) as f32;
    let text = |(n, &len): (usize, &usize)| (0..room).map(move |i| if i < len { id(n * 5 + i) } else { -1.0 });
    Tensor::new([lengths.len(), room], lengths.iter().enumerate().flat_map(text).collect())
}

/// A graph that looks up ids: itself, its ids and what was found.
fn lookup(room: usize, width: usize, positions: bool) -> (Graph, ValueId, ValueId) {
    let mut graph = Graph::new("texts");
    let ids = graph.input("ids", [1, room]);
    let words = graph.add_param("words", tensor(&[VOCABULARY, width], 21));
    let places = graph.add_param("positions", tensor(&[room + 2, width], 22));
    let inputs = [ids, words, places];
    let x = graph.add("embedding", Op::Embedding, if positions { &inputs } else { &inputs[..2] }).unwrap();
    graph.outputs = vec![x];
    graph.remove_dead();
    let (ids, x) = (graph.inputs[0], graph.outputs[0]);
    (graph, ids, x)
}

fn linear(graph: &mut Graph, name: &str, x: ValueId, out: usize, seed: u64) -> ValueId {
    let width = *graph.shape(x).last().unwrap();
    let mut weight = tensor(&[out, width], seed);
    // So that attention is not all on one token.
    weight.data_mut().iter_mut().for_each(|w| *w /= (width as f32).sqrt());
    let weight = graph.add_param(format!("{name}.weight"), weight);
    if name.ends_with('k') {
        // What is added to all keys alike changes nothing, so its gradient is all rounding.
        return graph.add(name, Op::Linear, &[x, weight]).unwrap();
    }
    let bias = graph.add_param(format!("{name}.bias"), tensor(&[out], seed + 1));
    graph.add(name, Op::Linear, &[x, weight, bias]).unwrap()
}

/// A value with zeros behind the end of each text, if it has something for each token.
fn masked(value: &Tensor, ids: &Tensor) -> Tensor {
    let mut value = value.clone();
    let (n, room) = (ids.shape()[0], ids.shape()[1]);
    if value.shape().len() == 3 || value.shape() == ids.shape() {
        let item = value.len() / n;
        for (row, length) in value.data_mut().chunks_mut(item).zip(lengths(ids)) {
            row[length * (item / room)..].fill(0.0);
        }
    }
    value
}

/// Checks all values and all gradients of a graph.
#[track_caller]
fn check(graph: &Graph, ids: &Tensor, what: &str) {
    check_with(graph, ids, [1e-3, 0.0], what);
}

#[track_caller]
fn check_with(graph: &Graph, ids: &Tensor, step: [f32; 2], what: &str) {
    let batched = graph.with_batch(ids.shape()[0]).unwrap();
    let expected = reference::values(&batched, std::slice::from_ref(ids)).unwrap();
    let taps: Vec<ValueId> = graph.nodes.iter().map(|node| node.output).collect();
    for threads in [1, 2] {
        let mut infer = Infer::new(graph, threads).unwrap();
        for (id, found) in taps.iter().zip(&infer.run_taps(ids, &taps).unwrap()) {
            let expected = masked(expected[id.0 as usize].as_ref().unwrap(), ids);
            assert_near(found, &expected, 1e-5, &format!("{what}: {}", graph.value(*id).name));
        }
    }
    check_gradients_of(graph, ids, step, what, |graph, ids| {
        let output = masked(&reference::run(graph, std::slice::from_ref(ids)).unwrap()[0], ids);
        weigh(output.data(), &mut vec![0.0; output.len()])
    });
}

#[test]
fn tokens_are_looked_up() {
    for positions in [false, true] {
        for width in [1, 5, 16, 33] {
            let (graph, ..) = lookup(6, width, positions);
            check(&graph, &texts(6, &[6, 1, 3]), &format!("width {width}, positions {positions}"));
        }
    }
}

#[test]
fn attention_of_all_sizes() {
    for (heads, depth) in [(1, 1), (2, 3), (3, 16), (2, 17), (1, 64)] {
        let width = heads * depth;
        let (mut graph, ids, x) = lookup(19, width, true);
        let [q, k, v] = [("q", 31), ("k", 33), ("v", 35)].map(|(name, seed)| linear(&mut graph, name, x, width, seed));
        let y = graph.add("attention", Op::Attention { heads }, &[q, k, v, ids]).unwrap();
        graph.outputs = vec![y];
        check(&graph, &texts(19, &[5, 19, 1, 16, 17]), &format!("{heads} heads of {depth}"));
    }
}

#[test]
fn one_value_may_be_query_key_and_value() {
    let (mut graph, ids, x) = lookup(5, 8, true);
    let y = graph.add("attention", Op::Attention { heads: 2 }, &[x, x, x, ids]).unwrap();
    graph.outputs = vec![y];
    check(&graph, &texts(5, &[5, 2, 3]), "attention of one value");
}

#[test]
fn texts_become_one_vector() {
    for pick in [Pick::First, Pick::Mean] {
        let (mut graph, ids, x) = lookup(7, 10, true);
        let x = graph.add("pick", Op::Pick(pick), &[x, ids]).unwrap();
        let x = graph.add("normalize", Op::Normalize, &[x]).unwrap();
        graph.outputs = vec![x];
        check(&graph, &texts(7, &[7, 2, 1, 5]), &format!("{pick:?}"));
    }
}

/// Two layers of an encoder with a classifier.
fn encoder(room: usize, width: usize) -> Graph {
    let (mut graph, ids, x) = lookup(room, width, true);
    let norm = |graph: &mut Graph, name: String, x: ValueId| {
        let gamma = graph.add_param(format!("{name}.weight"), tensor(&[width], 40));
        let beta = graph.add_param(format!("{name}.bias"), tensor(&[width], 41));
        graph.add(name, Op::LayerNorm { eps: 1e-5 }, &[x, gamma, beta]).unwrap()
    };
    let mut x = norm(&mut graph, "norm".to_owned(), x);
    for layer in 0..2 {
        let name = |part: &str| format!("{layer}.{part}");
        let [q, k, v] = [("q", 50), ("k", 52), ("v", 54)]
            .map(|(part, seed)| linear(&mut graph, &name(part), x, width, seed + layer));
        let y = graph.add(name("attention"), Op::Attention { heads: 2 }, &[q, k, v, ids]).unwrap();
        let y = linear(&mut graph, &name("output"), y, width, 60 + layer);
        let y = graph.add(name("sum1"), Op::Add, &[y, x]).unwrap();
        x = norm(&mut graph, name("norm1"), y);
        let y = linear(&mut graph, &name("up"), x, 3 * width, 70 + layer);
        let y = graph.add(name("gelu"), Op::Unary(Unary::Gelu), &[y]).unwrap();
        let y = linear(&mut graph, &name("down"), y, width, 80 + layer);
        let y = graph.add(name("sum2"), Op::Add, &[y, x]).unwrap();
        x = norm(&mut graph, name("norm2"), y);
    }
    let pooled = graph.add("pooled", Op::Pick(Pick::First), &[x, ids]).unwrap();
    let logits = linear(&mut graph, "classifier", pooled, 3, 90);
    graph.outputs = vec![logits];
    graph
}

#[test]
fn an_encoder_learns_the_gradients_of_the_definitions() {
    // Rounding adds up through so many layers.
    check_with(&encoder(9, 16), &texts(9, &[9, 1, 4, 7, 3, 9, 2, 2, 6, 5, 8]), [1e-3, 2e-3], "an encoder");
}

#[test]
fn padding_threads_and_neighbours_change_no_bit() {
    let lengths = [9, 1, 4, 7, 3, 9, 2, 2, 6, 5, 8];
    let (short, long) = (encoder(9, 16), encoder(12, 16));
    let alone = |length: usize, n: usize| {
        let all = texts(9, &lengths);
        Tensor::new([1, 9], all.data()[n * 9..(n + 1) * 9].to_vec()).reshape([1, 9]).data()[..length].to_vec()
    };
    let together = Infer::new(&short, 2).unwrap().run(&texts(9, &lengths)).unwrap().remove(0);
    for (n, &length) in lengths.iter().enumerate() {
        let mut ids = alone(length, n);
        ids.resize(12, -1.0);
        let mut graph = long.clone();
        let positions = short.find("positions").unwrap();
        // The same positions, with rows behind them that no text reaches.
        let mut rows = short.param(positions).unwrap().data().to_vec();
        rows.resize(14 * 16, 9.0);
        graph.value_mut(positions).source = crate::graph::Source::Param(Tensor::new([14, 16], rows).into());
        let one = Infer::new(&graph, 1).unwrap().run(&Tensor::new([1, 12], ids)).unwrap().remove(0);
        assert_eq!(one.data(), &together.data()[n * 3..][..3], "text {n}");
    }
    let step = |threads| {
        let mut training = Trainable::new(&short, threads).unwrap();
        training.step(texts(9, &lengths).data(), lengths.len(), weigh).unwrap();
        training.params().iter().map(|p| p.grad.clone()).collect::<Vec<_>>()
    };
    assert_eq!(step(1), step(2));
}

#[test]
fn several_outputs_have_their_own_gradients() {
    let mut graph = encoder(5, 8);
    let hidden = graph.find("0.norm2").unwrap();
    graph.outputs.push(hidden);
    let ids = texts(5, &[5, 2, 4]);
    let run = |graph: &Graph, weights: [f32; 2]| {
        let mut training = Trainable::new(graph, 1).unwrap();
        let weigh = |outputs: &[Vec<f32>], grads: &mut [Vec<f32>]| {
            for ((grads, outputs), weight) in grads.iter_mut().zip(outputs).zip(weights) {
                grads.iter_mut().zip(noise(outputs.len(), 3)).for_each(|(to, from)| *to = weight * from);
            }
        };
        training.step_all(ids.data(), 3, weigh).unwrap();
        training.params().iter().map(|p| p.grad.clone()).collect::<Vec<_>>()
    };
    let (both, first, second) = (run(&graph, [1.0, 1.0]), run(&graph, [1.0, 0.0]), run(&graph, [0.0, 1.0]));
    for ((both, first), second) in both.iter().zip(&first).zip(&second) {
        for ((both, first), second) in both.iter().zip(first).zip(second) {
            assert!((both - first - second).abs() <= 1e-4 * both.abs().max(1.0));
        }
    }
    assert!(second.iter().flatten().any(|v| *v != 0.0));
}

#[test]
fn frozen_tables_get_no_gradient() {
    let graph = encoder(5, 8);
    let mut training = Trainable::new(&graph, 1).unwrap();
    training.params_mut().iter_mut().filter(|p| p.name == "words").for_each(|p| p.trainable = false);
    training.step(texts(5, &[5, 2, 4]).data(), 3, weigh).unwrap();
    let moved = |name: &str| training.params().iter().find(|p| p.name == name).unwrap().grad.iter().any(|g| *g != 0.0);
    assert!(!moved("words") && moved("positions") && moved("0.q.weight"));
}

#[test]
fn ids_that_are_none_are_told() {
    let graph = encoder(3, 8);
    let mut infer = Infer::new(&graph, 1).unwrap();
    let rows: [([f32; 3], &str); 5] = [
        ([-1.0, -1.0, -1.0], "no tokens in text 1"),
        ([13.0, 1.0, -1.0], "the id 13"),
        ([1.5, 1.0, -1.0], "the id 1.5"),
        ([1.0, -1.0, 2.0], "the id 2"),
        ([1.0, f32::NAN, -1.0], "the id NaN"),
    ];
    for (wrong, problem) in rows {
        let ids = Tensor::new([2, 3], [&[1.0, 2.0, -1.0], &wrong[..]].concat());
        let error = infer.run(&ids).unwrap_err().to_string();
        assert!(error.contains(problem) && error.contains("below 13"), "{error}");
        let mut training = Trainable::new(&graph, 1).unwrap();
        assert!(matches!(training.step(ids.data(), 2, weigh), Err(ExecError::Input { .. })));
    }
}

#[test]
fn operators_that_would_see_padding_are_told() {
    let (mut graph, _, x) = lookup(4, 6, true);
    let turned = graph.add("turned", Op::Transpose(vec![0, 2, 1]), &[x]).unwrap();
    graph.outputs = vec![turned];
    let error = Infer::new(&graph, 1).map(|_| ()).unwrap_err().to_string();
    assert!(error.starts_with("node `turned` (Transpose): it is not for texts"), "{error}");
    let mut graph = Graph::new("no ids");
    let [x, ids] = [graph.input("x", [1, 4, 6]), graph.input("ids", [1, 4])];
    let y = graph.add("pick", Op::Pick(Pick::Mean), &[x, ids]).unwrap();
    graph.outputs = vec![y];
    let error = Infer::new(&graph, 1).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("needs an Embedding"), "{error}");
}

#[test]
fn what_is_dropped_follows_from_seed_and_step_and_has_its_gradient() {
    let (graph, lengths) = (encoder(9, 16), [9, 1, 4, 7, 3, 9, 2, 2, 6, 5, 8]);
    let ids = texts(9, &lengths);
    let of = |threads: usize, dropout: Option<Dropout>| {
        let mut training = Trainable::new(&graph, threads).unwrap();
        training.set_dropout(dropout);
        let loss = training.step(ids.data(), lengths.len(), weigh).unwrap();
        (training, loss)
    };
    let dropout = Dropout { share: 0.2, seed: 1, step: 5 };
    let (mut training, loss) = of(1, Some(dropout));
    assert_eq!(of(2, Some(dropout)).1, loss);
    for other in [None, Some(Dropout { step: 6, ..dropout }), Some(Dropout { seed: 2, ..dropout })] {
        assert_ne!(of(1, other).1, loss, "{other:?}");
    }
    assert_eq!(of(1, Some(Dropout { share: 0.0, ..dropout })).1, of(1, None).1);
    for index in 0..training.params().len() {
        let (value, gradient) = (training.params()[index].value.clone(), training.params()[index].grad.clone());
        let direction = noise(value.len(), 9);
        let mut moved = |by: f32| {
            training.params_mut()[index].value = value.iter().zip(&direction).map(|(v, d)| v + by * d).collect();
            let loss = training.step(ids.data(), lengths.len(), weigh).unwrap();
            training.params_mut()[index].value = value.clone();
            loss
        };
        let slope = (moved(1e-3) - moved(-1e-3)) / 2e-3;
        moved(0.0);
        let product: f64 = gradient.iter().zip(&direction).map(|(g, d)| f64::from(*g) * f64::from(*d)).sum();
        let norm: f64 = gradient.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
        let name = &training.params()[index].name;
        assert!(
            (slope - product).abs() < 1e-2 * norm * (value.len() as f64).sqrt() + 2e-2,
            "{name}: {slope}, {product}"
        );
    }
}

#[test]
fn tables_say_which_rows_were_looked_up() {
    let (graph, ids) = (encoder(5, 8), texts(5, &[5, 2, 4]));
    let mut training = Trainable::new(&graph, 1).unwrap();
    training.step(texts(5, &[5, 5, 5, 5, 5, 5, 5]).data(), 7, weigh).unwrap();
    training.step(ids.data(), 3, weigh).unwrap();
    let mut expected: Vec<u32> = ids.data().iter().filter(|id| **id >= 0.0).map(|id| *id as u32).collect();
    expected.sort_unstable();
    expected.dedup();
    let fresh = {
        let mut training = Trainable::new(&graph, 1).unwrap();
        training.step(ids.data(), 3, weigh).unwrap();
        training
    };
    for (param, fresh) in training.params().iter().zip(fresh.params()) {
        assert_eq!(param.grad, fresh.grad, "{}: nothing of a former step is left", param.name);
        match param.name.as_str() {
            "words" => assert_eq!(param.rows.as_ref().unwrap().numbers, expected),
            "positions" => assert_eq!(param.rows.as_ref().unwrap().numbers, [0, 1, 2, 3, 4]),
            _ => assert_eq!(param.rows, None),
        }
    }
}
