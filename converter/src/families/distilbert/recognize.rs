//! An encoder of which only the operators are known, as one from an ONNX file, becomes the network of its description.

use super::{DistilBert, Head};
use crate::graph::{Graph, Node, Op, ShapeError, Source, Unary, ValueId};

/// Why a graph is none of these encoders.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecognizeError {
    /// A part is not what stands in its place in all of them.
    #[error("`{node}` ({op}) stands where {expected} is expected")]
    Part {
        /// The node, or an input of the graph.
        node: String,
        /// Its operator and attributes.
        op: String,
        /// What the encoders have there.
        expected: String,
    },
    /// The parts do not fit together.
    #[error(transparent)]
    Shape(#[from] ShapeError),
}

/// The description of a graph, and the network that it describes, named `name`, with the graph's weights under their usual names.
///
/// # Errors
/// If the graph is not made exactly as [`DistilBert::build`] makes graphs, names aside, of one text.
pub fn recognize(graph: &Graph, name: &str) -> Result<(DistilBert, Graph), RecognizeError> {
    let mut reading = Reading { graph, found: Vec::new(), eps: None };
    let &[output] = &graph.outputs[..] else { return Err(reading.misfit(graph.outputs.first(), "the only output")) };
    let (head, mut x) = reading.head(output)?;
    let mut layers = Vec::new();
    while let Some(layer) = reading.layer(x)? {
        x = layer.begin;
        layers.push(layer);
    }
    let count = layers.len();
    let Some(&Layer { heads, activation, ffn, .. }) = layers.first() else {
        return Err(reading.misfit(Some(&x), "the sum behind a feed-forward part"));
    };
    for (number, layer) in layers.iter().rev().enumerate() {
        if (layer.heads, layer.activation, layer.ffn) != (heads, activation, ffn) {
            let expected = format!("a layer of {heads} heads and {ffn} values with {}", activation.name());
            return Err(reading.misfit(Some(&layer.end), &expected));
        }
        let named = |(part, id): &(String, Option<ValueId>)| (format!("transformer.layer.{number}.{part}"), *id);
        reading.found.extend(layer.found.iter().map(named));
    }
    let width = graph.shape(x).last().copied().unwrap_or(0);
    let (lookup, embedding) = reading.embeddings(x)?;
    let &[ids, words, ref positions @ ..] = &lookup.inputs[..] else {
        return Err(reading.misfit(Some(&lookup.output), "a lookup of words"));
    };
    reading.found.push(("embeddings.word_embeddings.weight".to_owned(), Some(words)));
    reading.found.push(("embeddings.position_embeddings.weight".to_owned(), positions.first().copied()));
    let (&[_, tokens], &[vocabulary, _]) = (graph.shape(ids), graph.shape(words)) else {
        return Err(reading.misfit(Some(&lookup.output), "a lookup of words in a table"));
    };
    let eps = reading.eps.unwrap_or(0.0);
    let net = DistilBert { vocabulary, tokens, width, layers: count, heads, ffn, embedding, activation, eps, head };
    let filled = reading.fill(net.build(name, None)?)?;
    Ok((net, filled))
}

/// A graph that is read from its end to its beginning.
struct Reading<'g> {
    graph: &'g Graph,
    /// Our names of its parameters. One that the graph has not is left as it is built, which changes nothing.
    found: Vec<(String, Option<ValueId>)>,
    /// Of the normalizations so far.
    eps: Option<f32>,
}

/// A layer of an encoder.
struct Layer {
    begin: ValueId,
    end: ValueId,
    heads: usize,
    activation: Unary,
    ffn: usize,
    /// Names within the layer.
    found: Vec<(String, Option<ValueId>)>,
}

impl<'g> Reading<'g> {
    fn misfit(&self, id: Option<&ValueId>, expected: &str) -> RecognizeError {
        let of = |id: &ValueId| match self.graph.producer(*id) {
            Some(node) => (node.name.clone(), node.op.to_string()),
            None => (self.graph.value(*id).name.clone(), "no operator".to_owned()),
        };
        let (node, op) = id.map_or_else(|| (self.graph.name.clone(), "the graph".to_owned()), of);
        RecognizeError::Part { node, op, expected: expected.to_owned() }
    }

    /// The node that makes a value, if it is of the expected kind.
    fn expect(&self, id: ValueId, expected: &str, fits: impl Fn(&Op) -> bool) -> Result<&'g Node, RecognizeError> {
        self.graph.producer(id).filter(|node| fits(&node.op)).ok_or_else(|| self.misfit(Some(&id), expected))
    }

    /// What a linear layer reads; its weights get a name.
    fn linear(
        &self,
        id: ValueId,
        found: &mut Vec<(String, Option<ValueId>)>,
        name: &str,
    ) -> Result<ValueId, RecognizeError> {
        let layer = self.expect(id, &format!("a linear layer (`{name}`)"), |op| *op == Op::Linear)?;
        found.push((format!("{name}.weight"), layer.inputs.get(1).copied()));
        found.push((format!("{name}.bias"), layer.inputs.get(2).copied()));
        Ok(layer.inputs[0])
    }

    /// What a normalization reads; its weights get a name.
    fn norm(
        &mut self,
        id: ValueId,
        found: &mut Vec<(String, Option<ValueId>)>,
        name: &str,
    ) -> Result<ValueId, RecognizeError> {
        let expected = format!("a layer normalization (`{name}`)");
        let norm = self.expect(id, &expected, |op| matches!(op, Op::LayerNorm { .. }))?;
        if let Op::LayerNorm { eps } = norm.op
            && *self.eps.get_or_insert(eps) != eps
        {
            return Err(self.misfit(Some(&id), "a layer normalization with the epsilon of all others"));
        }
        found.push((format!("{name}.weight"), norm.inputs.get(1).copied()));
        found.push((format!("{name}.bias"), norm.inputs.get(2).copied()));
        Ok(norm.inputs[0])
    }

    /// The head that ends in a value, and the tokens that it reads.
    fn head(&mut self, output: ValueId) -> Result<(Head, ValueId), RecognizeError> {
        let expected = "the end of a classifier, of a text's vector or of a layer";
        let picked = |id: ValueId| match self.graph.producer(id).map(|node| (&node.op, &node.inputs[..])) {
            Some((Op::Pick(pick), &[x, _])) => Some((*pick, x)),
            _ => None,
        };
        let mut found = Vec::new();
        let last = self.graph.producer(output).ok_or_else(|| self.misfit(Some(&output), expected))?;
        let (head, x) = match last.op {
            Op::LayerNorm { .. } => (Head::Hidden, output),
            Op::Pick(pick) => (Head::Embed { pick, normalize: false }, last.inputs[0]),
            Op::Normalize => {
                let (pick, x) =
                    picked(last.inputs[0]).ok_or_else(|| self.misfit(last.inputs.first(), "the vector of a text"))?;
                (Head::Embed { pick, normalize: true }, x)
            }
            Op::Linear => {
                let x = self.linear(output, &mut found, "classifier")?;
                let classes = self.graph.shape(output).last().copied().unwrap_or(0);
                if self.graph.shape(x).len() == 3 {
                    (Head::Tokens { classes }, x)
                } else {
                    let (dense, (pick, x)) = match (picked(x), self.graph.producer(x).map(|node| (&node.op, node))) {
                        (Some(picked), _) => (None, picked),
                        (None, Some((Op::Unary(function), node))) => {
                            let x = self.linear(node.inputs[0], &mut found, "pre_classifier")?;
                            (Some(*function), picked(x).ok_or_else(|| self.misfit(Some(&x), "the vector of a text"))?)
                        }
                        _ => return Err(self.misfit(Some(&x), "the vector of a text, or one dense layer behind it")),
                    };
                    (Head::Classify { classes, pick, dense }, x)
                }
            }
            _ => return Err(self.misfit(Some(&output), expected)),
        };
        self.found = found;
        Ok((head, x))
    }

    /// The layer that ends in a value; `None` in front of the first.
    fn layer(&mut self, end: ValueId) -> Result<Option<Layer>, RecognizeError> {
        let is_sum = |id: ValueId| self.graph.producer(id).is_some_and(|node| node.op == Op::Add);
        if !self.graph.producer(end).is_some_and(|norm| is_sum(norm.inputs[0])) {
            return Ok(None);
        }
        let mut found = Vec::new();
        let sum = self.norm(end, &mut found, "output_layer_norm")?;
        let (y, middle) = self.residual(sum)?;
        let y = self.linear(y, &mut found, "ffn.lin2")?;
        let ffn = self.graph.shape(y).last().copied().unwrap_or(0);
        let act = self.expect(y, "the function of a feed-forward part", |op| matches!(op, Op::Unary(_)))?;
        let Op::Unary(activation) = act.op else { return Err(self.misfit(Some(&y), "a function")) };
        let from = self.linear(act.inputs[0], &mut found, "ffn.lin1")?;
        self.same(from, middle, act.inputs[0])?;
        let sum = self.norm(middle, &mut found, "sa_layer_norm")?;
        let (y, begin) = self.residual(sum)?;
        let y = self.linear(y, &mut found, "attention.out_lin")?;
        let attention = self.expect(y, "attention", |op| matches!(op, Op::Attention { .. }))?;
        let Op::Attention { heads } = attention.op else { return Err(self.misfit(Some(&y), "attention")) };
        for (part, &id) in ["q_lin", "k_lin", "v_lin"].into_iter().zip(&attention.inputs) {
            let from = self.linear(id, &mut found, &format!("attention.{part}"))?;
            self.same(from, begin, id)?;
        }
        Ok(Some(Layer { begin, end, heads, activation, ffn, found }))
    }

    /// The operands of a residual sum: what a linear layer makes, and what goes past it.
    fn residual(&self, sum: ValueId) -> Result<(ValueId, ValueId), RecognizeError> {
        let node = self.expect(sum, "the sum of a part and what it reads", |op| *op == Op::Add)?;
        let is_linear = |id: ValueId| self.graph.producer(id).is_some_and(|node| node.op == Op::Linear);
        match node.inputs[..] {
            [a, b] if is_linear(a) => Ok((a, b)),
            [a, b] if is_linear(b) => Ok((b, a)),
            _ => Err(self.misfit(Some(&sum), "the sum of a linear layer and what goes past it")),
        }
    }

    /// Refuses a node that reads something else than it should.
    fn same(&self, found: ValueId, wanted: ValueId, reader: ValueId) -> Result<(), RecognizeError> {
        let name = &self.graph.value(wanted).name;
        if found == wanted { Ok(()) } else { Err(self.misfit(Some(&reader), &format!("what reads `{name}`"))) }
    }

    /// The lookup that ends in a value, and the width of its tables if that is not that of the layers.
    fn embeddings(&mut self, end: ValueId) -> Result<(&'g Node, Option<usize>), RecognizeError> {
        let mut found = Vec::new();
        let is_widened = self.graph.producer(end).is_some_and(|node| node.op == Op::Linear);
        let x = if is_widened { self.linear(end, &mut found, "embeddings_project")? } else { end };
        let x = self.norm(x, &mut found, "embeddings.LayerNorm")?;
        self.found.append(&mut found);
        let lookup =
            self.expect(x, "the sum of what is looked up for words and positions", |op| *op == Op::Embedding)?;
        Ok((lookup, self.graph.shape(x).last().copied().filter(|_| is_widened)))
    }

    /// A built network with the parameters that were found.
    fn fill(&self, mut net: Graph) -> Result<Graph, RecognizeError> {
        for (name, id) in &self.found {
            let (Some(own), Some(id)) = (net.find(name), *id) else { continue };
            let tensor = self.graph.param(id).filter(|tensor| tensor.shape() == net.shape(own));
            let expected = || self.misfit(Some(&id), &format!("a stored `{name}` {:?}", net.shape(own)));
            let tensor = tensor.cloned().ok_or_else(expected)?;
            net.value_mut(own).source = Source::Param(tensor);
        }
        Ok(net)
    }
}

#[cfg(test)]
mod tests {
    use super::super::named;
    use super::*;
    use crate::graph::{Pick, Tensor};

    fn net(head: Head, embedding: Option<usize>) -> DistilBert {
        DistilBert { head, embedding, ..named("distilbert-l3-h8-a2-f12", 10, 5, 3).unwrap() }
    }

    /// The network of a description, with names that say nothing and parameters in no known order.
    fn nameless(net: &DistilBert) -> Graph {
        let mut graph = net.build("net", Some(3)).unwrap();
        for (number, value) in graph.values.iter_mut().enumerate() {
            value.name = format!("v{number}");
            if let (Source::Param(tensor), [_]) = (&value.source, &value.shape[..]) {
                let numbers = (0..tensor.len()).map(|i| (i + number) as f32);
                value.source = Source::Param(Tensor::new(tensor.shape(), numbers.collect()).into());
            }
        }
        graph.nodes.iter_mut().enumerate().for_each(|(number, node)| node.name = format!("n{number}"));
        graph
    }

    #[test]
    fn every_description_is_known_by_its_network() {
        let heads = [
            Head::Classify { classes: 3, pick: Pick::First, dense: Some(Unary::Tanh) },
            Head::Classify { classes: 3, pick: Pick::Mean, dense: None },
            Head::Tokens { classes: 4 },
            Head::Embed { pick: Pick::Mean, normalize: true },
            Head::Embed { pick: Pick::First, normalize: false },
            Head::Hidden,
        ];
        for head in heads {
            for embedding in [None, Some(6)] {
                let net = net(head, embedding);
                let graph = nameless(&net);
                let (found, filled) = recognize(&graph, "known").unwrap();
                assert_eq!(found, net);
                let named = net.build("known", None).unwrap();
                let names = |graph: &Graph| graph.values.iter().map(|value| value.name.clone()).collect::<Vec<_>>();
                assert_eq!((names(&filled), &filled.nodes), (names(&named), &named.nodes));
                assert!(filled.params().map(|(_, tensor)| tensor).eq(graph.params().map(|(_, tensor)| tensor)));
            }
        }
    }

    #[test]
    fn operands_of_sums_may_change_places() {
        let net = net(Head::Hidden, None);
        let mut graph = nameless(&net);
        graph.nodes.iter_mut().filter(|node| node.op == Op::Add).for_each(|node| node.inputs.swap(0, 1));
        assert_eq!(recognize(&graph, "known").unwrap().0, net);
    }

    #[test]
    fn misfits_name_the_node_and_what_should_be_there() {
        type Change = fn(&mut Graph);
        let rows: [(Change, &str); 6] = [
            (
                |g| g.nodes.iter_mut().filter(|n| n.op == Op::Unary(Unary::Gelu)).for_each(|n| n.op = Op::Normalize),
                "(Normalize) stands where the function of a feed-forward part is expected",
            ),
            (
                |g| g.nodes.last_mut().unwrap().op = Op::LayerNorm { eps: 0.5 },
                "with the epsilon of all others is expected",
            ),
            (
                |g| {
                    g.nodes.iter_mut().find(|n| n.op == Op::Attention { heads: 2 }).unwrap().op =
                        Op::Attention { heads: 4 }
                },
                "stands where a layer of 2 heads and 12 values with Gelu is expected",
            ),
            (
                |g| {
                    let norm = g.nodes[1].output;
                    let last =
                        g.nodes.iter_mut().rev().find(|n| matches!(n.op, Op::Attention { .. })).unwrap().inputs[1];
                    g.nodes.iter_mut().find(|n| n.output == last).unwrap().inputs[0] = norm;
                },
                "(Linear) stands where what reads `v",
            ),
            (
                |g| g.outputs[0] = g.nodes[1].output,
                "`n1` (LayerNorm eps 1e-12) stands where the sum behind a feed-forward part",
            ),
            (|g| g.outputs[0] = g.inputs[0], "`v0` (no operator) stands where the end of a classifier"),
        ];
        for (change, part) in rows {
            let mut graph = nameless(&net(Head::Hidden, None));
            change(&mut graph);
            let error = recognize(&graph, "known").unwrap_err().to_string();
            assert!(error.contains(part), "{error} lacks {part}");
        }
    }
}
