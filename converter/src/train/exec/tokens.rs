//! Texts of different lengths in one batch: which values there are for each token, and where those of a text are.
//!
//! Nothing is computed for padding. Behind the input the tokens of all texts of a block stand one after another, so that a
//! linear layer is one product over exactly the tokens there are; only attention and pooling look at where texts begin.

use super::ExecError;
use crate::graph::{Graph, Node, Op, ValueId};
use std::ops::Range;

/// What a value has one of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Unit {
    /// For each item of the batch.
    #[default]
    Item,
    /// For each token of each item.
    Token,
}

/// Some items of a batch, one after another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Items<'a> {
    /// The first.
    pub(super) first: usize,
    /// Number of items.
    pub(super) n: usize,
    /// Where the tokens of each item begin, and behind them where those of the last end; empty if items have no tokens.
    pub(super) tokens: &'a [usize],
}

impl<'a> Items<'a> {
    /// The first and the number of what a value has for these items.
    pub(super) fn count(self, unit: Unit) -> (usize, usize) {
        match (unit, self.tokens) {
            (Unit::Token, [first, .., end]) => (*first, end - first),
            (Unit::Token, _) => (0, 0),
            (Unit::Item, _) => (self.first, self.n),
        }
    }

    /// The tokens of each text, counted from the first of all.
    pub(super) fn texts(self) -> impl Iterator<Item = Range<usize>> + use<'a> {
        let first = self.tokens.first().copied().unwrap_or(0);
        self.tokens.array_windows().map(move |&[begin, end]| begin - first..end - first)
    }
}

/// A graph that reads texts.
#[derive(Clone, Debug)]
pub(super) struct Texts {
    /// Its input.
    pub(super) ids: ValueId,
    /// Tokens that an item has room for.
    pub(super) length: usize,
    /// Rows of the smallest table that ids are looked up in.
    vocabulary: usize,
    /// What each value has one of, by value.
    pub(super) units: Vec<Unit>,
}

impl Texts {
    /// What is to be known of a graph that looks up ids; `None` for any other graph.
    ///
    /// # Errors
    /// If the graph has another input, or a node treats tokens in a way that depends on padding.
    pub(super) fn of(graph: &Graph) -> Result<Option<Texts>, ExecError> {
        let lookups = || graph.nodes.iter().filter(|node| node.op == Op::Embedding);
        let Some(node) = lookups().next() else {
            let sees_texts = |node: &&Node| matches!(node.op, Op::Attention { .. } | Op::Pick(_));
            return match graph.nodes.iter().find(sees_texts) {
                Some(node) => Err(unsupported(node, "it needs an Embedding of the graph's ids in front of it")),
                None => Ok(None),
            };
        };
        let &[ids] = &graph.inputs[..] else {
            let problem = "a network for texts takes their ids and nothing else".to_owned();
            return Err(ExecError::Graph { graph: graph.name.clone(), problem });
        };
        if node.inputs[0] != ids {
            return Err(unsupported(node, "it looks up what is not the graph's input"));
        }
        let mut units = vec![Unit::Item; graph.values.len()];
        units[ids.0 as usize] = Unit::Token;
        for node in &graph.nodes {
            units[node.output.0 as usize] = unit(graph, node, &units)?;
        }
        let rows = |node: &Node| graph.shape(node.inputs[1])[0];
        let vocabulary = lookups().map(rows).min().unwrap_or(0);
        Ok(Some(Texts { ids, length: graph.shape(ids)[1], vocabulary, units }))
    }

    /// The number of tokens of each text.
    ///
    /// # Errors
    /// If a text has none, or an id is not the number of a row, or stands behind the end.
    pub(super) fn lengths(&self, ids: &[f32]) -> Result<Vec<usize>, ExecError> {
        let whole = |id: f32| id >= 0.0 && id.fract() == 0.0 && (id as usize) < self.vocabulary;
        let mut lengths = Vec::with_capacity(ids.len() / self.length.max(1));
        for (text, ids) in ids.chunks_exact(self.length.max(1)).enumerate() {
            let length = ids.iter().position(|&id| id == -1.0).unwrap_or(ids.len());
            let (tokens, rest) = ids.split_at(length);
            let wrong = tokens.iter().find(|id| !whole(**id)).or(rest.iter().find(|id| **id != -1.0));
            if wrong.is_some() || length == 0 {
                let expected = format!("one or more ids below {}, then -1 up to {}", self.vocabulary, self.length);
                let found = wrong.map_or("no tokens".to_owned(), |id| format!("the id {id}"));
                return Err(ExecError::Input { expected, found: format!("{found} in text {text} of the batch") });
            }
            lengths.push(length);
        }
        Ok(lengths)
    }

    /// The same graph for texts of one token: its shapes are those of one item or of one token.
    pub(super) fn of_one_token(&self, graph: &Graph) -> Result<Graph, ExecError> {
        let mut graph = graph.clone();
        graph.value_mut(self.ids).shape = vec![1, 1];
        graph.infer_shapes()?;
        Ok(graph)
    }
}

/// The offsets of the tokens of texts of these lengths, and of their end.
pub(super) fn offsets(lengths: &[usize]) -> Vec<usize> {
    let ends = lengths.iter().scan(0, |end, length| {
        *end += length;
        Some(*end)
    });
    std::iter::once(0).chain(ends).collect()
}

/// What the output of a node has one of.
fn unit(graph: &Graph, node: &Node, units: &[Unit]) -> Result<Unit, ExecError> {
    let stored = |id: &ValueId| graph.param(*id).is_some();
    let of = |id: &ValueId| units[id.0 as usize];
    let computed = || node.inputs.iter().filter(|id| !stored(id));
    if computed().all(|id| of(id) == Unit::Item) {
        return Ok(Unit::Item);
    }
    if !computed().all(|id| of(id) == Unit::Token) {
        return Err(unsupported(node, "it joins what there is for each token with what there is for each text"));
    }
    let rank = graph.shape(node.output).len();
    match node.op {
        Op::Embedding | Op::Linear | Op::LayerNorm { .. } | Op::Normalize | Op::Attention { .. } | Op::Unary(_) => {
            Ok(Unit::Token)
        }
        Op::Softmax { axis } if axis + 1 == rank => Ok(Unit::Token),
        Op::Add | Op::Mul if node.inputs.iter().all(|id| !stored(id) || graph.shape(*id).len() <= 1) => Ok(Unit::Token),
        Op::Pick(_) => Ok(Unit::Item),
        _ => Err(unsupported(node, "it is not for texts of different lengths: use Linear, LayerNorm, Attention, Pick")),
    }
}

fn unsupported(node: &Node, problem: &str) -> ExecError {
    ExecError::Unsupported { node: node.name.clone(), op: node.op.name(), problem: problem.to_owned() }
}
