//! Decides what each value of a graph becomes: tokens, 8 bits or 16, and which of 16 bits are read in 8 as well.
//!
//! Matrix products read and write 8 bits. What a transformer adds up from layer to layer keeps 16: sums on their way to a
//! normalization, the embeddings that they begin with, and normalizations that a later sum or a mean reads.

use super::steps::Step;
use crate::graph::{Graph, Node, Op, Pick, ValueId};
use limbeck_runtime::Element;
use std::collections::BTreeSet;

/// Which values get 8 bits though there is a form of 16 for them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Eight {
    /// None.
    #[default]
    None,
    /// These.
    Some(BTreeSet<ValueId>),
    /// All that have a form of 8.
    All,
}

impl Eight {
    fn has(&self, id: ValueId) -> bool {
        match self {
            Eight::None => false,
            Eight::Some(values) => values.contains(&id),
            Eight::All => true,
        }
    }
}

/// A tensor to be: a value, or the 8 bits of one that has 16.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Form {
    /// The value.
    pub value: ValueId,
    /// Whether these are the 8 bits of a value of 16.
    pub narrowed: bool,
}

/// What the name of a tensor ends with that is the 8 bits of a value of 16.
pub(super) const NARROWED: &str = ".int8";

/// What each value of a graph becomes.
#[derive(Clone, Debug)]
pub(super) struct Elements {
    of: Vec<Element>,
    sequence: Vec<bool>,
}

impl Elements {
    /// The elements of the values that `steps` make.
    pub(super) fn new(graph: &Graph, steps: &[Step], eight: &Eight) -> Elements {
        let n = graph.values.len();
        let mut found = Elements { of: vec![Element::Int8; n], sequence: vec![false; n] };
        for node in &graph.nodes {
            if node.op == Op::Embedding {
                found.of[index(node.inputs[0])] = Element::Token;
                found.sequence[index(node.inputs[0])] = true;
            }
            let is_one = operands(graph, node).any(|id| found.is_sequence(id)) && !matches!(node.op, Op::Pick(_));
            found.sequence[index(node.output)] = is_one;
        }
        // Whether a value should have 16 bits is said by those who read it, so from the end to the beginning.
        for step in steps.iter().rev().filter(|step| step.then.is_empty()) {
            if can_be_wide(graph, eight, step.output) && found.is_wanted_wide(graph, step.output) {
                found.of[index(step.output)] = Element::Int16;
            }
        }
        found
    }

    /// The values of 16 bits that could have 8: all but what embeddings make.
    pub(super) fn optional(&self, graph: &Graph) -> Vec<ValueId> {
        let made = graph.nodes.iter().filter(|node| node.op != Op::Embedding).map(|node| node.output);
        made.filter(|&id| self.is_wide(id)).collect()
    }

    /// What a form holds.
    pub(super) fn of(&self, form: Form) -> Element {
        if form.narrowed { Element::Int8 } else { self.of[index(form.value)] }
    }

    /// Whether a value has as many rows as a text has tokens.
    pub(super) fn is_sequence(&self, id: ValueId) -> bool {
        self.sequence[index(id)]
    }

    /// Whether the numbers of a value stand for reals, which calibration can look at.
    pub(super) fn is_observed(&self, id: ValueId) -> bool {
        self.of[index(id)] != Element::Token
    }

    /// The form of a value that one of its readers takes.
    pub(super) fn read(&self, node: &Node, value: ValueId) -> Form {
        let reads_wide = match node.op {
            Op::LayerNorm { .. } | Op::Pick(Pick::Mean) => true,
            Op::Add | Op::Pick(Pick::First) => self.is_wide(node.output),
            _ => false,
        };
        Form { value, narrowed: self.is_wide(value) && !reads_wide }
    }

    /// The form of a value that the graph returns.
    pub(super) fn returned(&self, value: ValueId) -> Form {
        Form { value, narrowed: self.is_wide(value) }
    }

    /// The forms in which a value that is made is needed, itself first.
    pub(super) fn forms(&self, graph: &Graph, value: ValueId) -> impl Iterator<Item = Form> {
        let mut readers = graph.consumers(value).into_iter().map(|i| self.read(&graph.nodes[i], value));
        let narrowed = readers.any(|form| form.narrowed) || graph.outputs.contains(&value) && self.is_wide(value);
        [Some(false), narrowed.then_some(true)].into_iter().flatten().map(move |narrowed| Form { value, narrowed })
    }

    fn is_wide(&self, id: ValueId) -> bool {
        self.of[index(id)] == Element::Int16
    }

    /// Whether 16 bits of a value are worth it for some reader; all of those are decided upon.
    fn is_wanted_wide(&self, graph: &Graph, id: ValueId) -> bool {
        let made_by = |op: fn(&Op) -> bool| graph.producer(id).is_some_and(|node| op(&node.op));
        let mut readers = graph.consumers(id).into_iter().map(|i| &graph.nodes[i]);
        made_by(|op| *op == Op::Embedding)
            || readers.any(|node| match node.op {
                // A normalization is rounded relative to what it makes; of what two of them make in a row 8 bits do.
                Op::LayerNorm { .. } => !made_by(|op| matches!(op, Op::LayerNorm { .. })),
                Op::Add | Op::Pick(Pick::First) => self.is_wide(node.output),
                Op::Pick(Pick::Mean) => true,
                _ => false,
            })
    }
}

/// Whether there is an operator that makes a value in 16 bits, and it shall not have 8. A sum in 16 bits needs an operand of as many.
fn can_be_wide(graph: &Graph, eight: &Eight, id: ValueId) -> bool {
    graph.producer(id).is_some_and(|node| match node.op {
        Op::Embedding => true,
        _ if eight.has(id) => false,
        Op::LayerNorm { .. } => true,
        Op::Pick(Pick::First) => can_be_wide(graph, eight, node.inputs[0]),
        Op::Add => {
            let alike = |id: &ValueId| graph.param(*id).is_none() && graph.shape(*id) == graph.shape(node.output);
            node.inputs.iter().all(alike) && node.inputs.iter().any(|&id| can_be_wide(graph, eight, id))
        }
        _ => false,
    })
}

/// The computed inputs of a node that its int8 form reads: a run knows by itself where its text ends.
pub(super) fn operands(graph: &Graph, node: &Node) -> impl Iterator<Item = ValueId> {
    let ids = matches!(node.op, Op::Attention { .. } | Op::Pick(_));
    let read = node.inputs.len() - usize::from(ids);
    node.inputs[..read].iter().copied().filter(move |&id| graph.param(id).is_none())
}

fn index(id: ValueId) -> usize {
    id.0 as usize
}
