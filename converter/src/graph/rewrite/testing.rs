//! What the tests of the rules share: random numbers, and the check that a rule changes the text but not the results.

use super::{Rule, run};
use crate::graph::{Graph, Tensor, ValueId};
use crate::ops::reference;

/// Numbers in [-1, 1), the same for the same seed.
pub(crate) fn random(shape: impl Into<Vec<usize>>, seed: u32) -> Tensor {
    let shape = shape.into();
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    let len = shape.iter().product();
    Tensor::new(shape, (0..len).map(|_| next()).collect())
}

/// Adds a parameter of random numbers.
pub(crate) fn random_param(graph: &mut Graph, name: &str, shape: impl Into<Vec<usize>>) -> ValueId {
    let tensor = random(shape, name.bytes().map(u32::from).sum());
    graph.add_param(name, tensor)
}

/// The graph's outputs for random inputs.
pub(crate) fn outputs(graph: &Graph) -> Vec<Tensor> {
    let inputs: Vec<Tensor> =
        graph.inputs.iter().enumerate().map(|(i, &id)| random(graph.shape(id), i as u32)).collect();
    reference::run(graph, &inputs).unwrap()
}

/// Panics if some element differs by more than float rounding explains.
pub(crate) fn assert_close(found: &[Tensor], expected: &[Tensor]) {
    assert_eq!(found.len(), expected.len());
    for (a, b) in found.iter().zip(expected) {
        assert_eq!(a.shape(), b.shape());
        let size = b.data().iter().fold(1.0_f32, |m, v| m.max(v.abs()));
        for (i, (x, y)) in a.data().iter().zip(b.data()).enumerate() {
            assert!((x - y).abs() <= 1e-5 * size, "element {i}: {x}, not {y}");
        }
    }
}

/// Lets `rules` work on a graph and compares its text before and after (but for the first line) and its results.
#[track_caller]
pub(crate) fn assert_rewrites(graph: &Graph, rules: &[Rule], before: &str, after: &str) {
    let body = |graph: &Graph| graph.to_string().lines().skip(1).map(str::trim).collect::<Vec<_>>().join("\n");
    let trimmed = |text: &str| text.lines().map(str::trim).filter(|l| !l.is_empty()).collect::<Vec<_>>().join("\n");
    assert_eq!(body(graph), trimmed(before), "before");
    let mut rewritten = graph.clone();
    run(&mut rewritten, rules);
    assert_eq!(body(&rewritten), trimmed(after), "after");
    assert_close(&outputs(&rewritten), &outputs(graph));
}
