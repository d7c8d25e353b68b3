//! Rules that change a graph without changing what it computes, one rule a file.
//!
//! A [`Rule`] is a pure function: it looks at one node and says what should stand there instead. [`run`] tries rules on
//! every node until none applies. That ends, since every rule takes something away for good: a node, an
//! operator of a richer kind, or a step of the way from a transpose or reshape to the end of the graph.

mod cancel_transpose;
mod flatten_to_linear;
mod fold_batchnorm;
mod fold_constants;
mod fold_pad;
mod fold_scale;
mod join_attention;
mod join_hard_swish;
mod join_pick;
mod join_positions;
mod matmul_to_linear;
mod merge_reshape;
mod merge_scale;
mod normalize_to_norm;
mod patch;
mod pool_to_global;
mod raise_pick;
mod remove_identity;
mod scale_to_conv;
mod sink_reshape;
mod sink_transpose;
mod slice_pad_to_conv;
mod transpose_to_reshape;

pub use patch::{Edit, Patch};

use super::{Graph, Node};

/// What should stand in the place of a node; `None` where the rule does not apply.
pub type Rule = fn(&Graph, &Node) -> Option<Edit>;

/// Rules that find the operators of encoders in what exporters write them out in; they come before [`LAYOUT`], which moves the
/// transposes and reshapes that attention is known by.
pub const ENCODERS: &[Rule] = &[
    fold_constants::rule,
    remove_identity::rule,
    merge_scale::rule,
    join_positions::rule,
    join_attention::rule,
    join_pick::rule,
];

/// Rules that bring an imported graph into channels-last order and drop detours.
pub const LAYOUT: &[Rule] = &[
    fold_constants::rule,
    remove_identity::rule,
    merge_reshape::rule,
    cancel_transpose::rule,
    sink_transpose::rule,
    sink_reshape::rule,
    matmul_to_linear::rule,
    flatten_to_linear::rule,
    join_hard_swish::rule,
];

/// Rules that leave fewer and simpler operators, for graphs in channels-last order.
pub const SIMPLIFY: &[Rule] = &[
    transpose_to_reshape::rule,
    fold_batchnorm::rule,
    fold_scale::rule,
    scale_to_conv::rule,
    slice_pad_to_conv::rule,
    fold_pad::rule,
    pool_to_global::rule,
];

/// Rules that make networks for texts cheaper, or possible, in integers.
pub const TEXTS: &[Rule] = &[raise_pick::rule, normalize_to_norm::rule];

/// The normal form of a graph for inference: channels-last, batch norms folded away, no detours.
///
/// Inputs and outputs keep their names, order and shapes.
pub fn canonicalize(mut graph: Graph) -> Graph {
    graph.remove_dead();
    run(&mut graph, LAYOUT);
    run(&mut graph, &[LAYOUT, SIMPLIFY].concat());
    graph
}

/// Applies `rules` until none of them applies to any node. Earlier rules go first.
pub fn run(graph: &mut Graph, rules: &[Rule]) {
    let mut changed = true;
    while changed {
        changed = false;
        let mut index = 0;
        while let Some(node) = graph.nodes.get(index) {
            match rules.iter().find_map(|rule| rule(graph, node)) {
                None => index += 1,
                Some(edit) => {
                    index = edit.apply(graph, index);
                    changed = true;
                }
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod testing;
