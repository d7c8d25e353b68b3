//! Encoders of texts: BERT (Devlin et al. 2018) in the form of DistilBERT (Sanh et al. 2019), of any size.
//!
//! One description serves teachers and students. Parameters bear DistilBERT's names, whatever file they came from.
//! The table of token types is not among them: a text is of one type, whose row an import adds to all positions.

mod inherit;
mod narrow;
mod recognize;

pub use inherit::{InheritError, Inherited, inherit};
pub use recognize::{RecognizeError, recognize};

use super::{Family, Input, Task};
use crate::data::Kind;
use crate::data::random::{Purpose, stream};
use crate::graph::{Graph, Op, Pick, ShapeError, Tensor, Unary, ValueId};
use rand::RngExt;

/// The description of an encoder.
#[derive(Clone, Debug, PartialEq)]
pub struct DistilBert {
    /// Rows of the table of tokens.
    pub vocabulary: usize,
    /// The longest text, in tokens.
    pub tokens: usize,
    /// Values of a token between layers.
    pub width: usize,
    /// Attention, feed-forward, each with a residual sum and a normalization behind it.
    pub layers: usize,
    /// Groups of channels in attention; they divide the width.
    pub heads: usize,
    /// Values of a token inside of a feed-forward part.
    pub ffn: usize,
    /// Columns of the tables, if they are narrower than the width and widened by a linear layer (ALBERT, ELECTRA).
    pub embedding: Option<usize>,
    /// The function inside of a feed-forward part.
    pub activation: Unary,
    /// Epsilon of every normalization.
    pub eps: f32,
    /// What is made of the tokens.
    pub head: Head,
}

/// What an encoder makes of its tokens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Head {
    /// One row of logits for a text.
    Classify {
        /// Number of classes.
        classes: usize,
        /// Which vector stands for the text.
        pick: Pick,
        /// The function behind a linear layer in front of the classifier, if there is one.
        dense: Option<Unary>,
    },
    /// A row of logits for each token.
    Tokens {
        /// Number of classes.
        classes: usize,
    },
    /// A vector for a text, to be compared with others.
    Embed {
        /// Which vector stands for the text.
        pick: Pick,
        /// Whether it is scaled to length 1.
        normalize: bool,
    },
    /// The tokens as they are.
    Hidden,
}

/// Sizes with a name: name, what it is, width, layers, heads; inside of the feed-forward part it is four times as wide.
const NAMED: &[(&str, &str, usize, usize, usize)] = &[
    ("bert-pico", "half of BERT-tiny's width: 2 layers of 64", 64, 2, 2),
    ("bert-tiny", "2 layers of 128 (Turc et al. 2019)", 128, 2, 2),
    ("bert-mini", "4 layers of 256 (Turc et al. 2019)", 256, 4, 4),
    ("bert-small", "4 layers of 512 (Turc et al. 2019)", 512, 4, 8),
    ("bert-medium", "8 layers of 512 (Turc et al. 2019)", 512, 8, 8),
    ("minilm-3", "half of MiniLM: 3 layers of 384", 384, 3, 12),
    ("minilm-6", "MiniLM: 6 layers of 384 (Wang et al. 2020)", 384, 6, 12),
    ("distilbert", "DistilBERT: 6 layers of 768", 768, 6, 12),
    ("bert-base", "BERT: 12 layers of 768", 768, 12, 12),
];

/// Stands in lists for all sizes that have no name.
const FREE: (&str, &str) = ("distilbert-l2-h128-a2", "any size: 2 layers of 128 with 2 heads");

/// The family of all encoders, to classify texts.
pub struct Encoders;

impl Family for Encoders {
    fn name(&self) -> &'static str {
        "distilbert"
    }

    fn takes(&self) -> Kind {
        Kind::Texts
    }

    fn sizes(&self) -> Vec<(&'static str, &'static str)> {
        NAMED.iter().map(|&(name, what, ..)| (name, what)).chain([FREE]).collect()
    }

    fn has(&self, size: &str) -> bool {
        named(size, 1, 1, 1).is_some()
    }

    fn build(&self, size: &str, task: &Task, seed: u64) -> Option<Result<Graph, ShapeError>> {
        let Input::Text { vocabulary, tokens } = task.input else { return None };
        Some(named(size, vocabulary, tokens, task.classes)?.build(size, Some(seed)))
    }
}

/// The encoder of a name, to classify texts: a named size, or `distilbert-l2-h128-a2` for 2 layers of 128 with 2 heads,
/// behind which `-f512` may give the width of the feed-forward part, and `-e64` that of narrower tables.
///
/// `None` if the name says none of this.
pub fn named(name: &str, vocabulary: usize, tokens: usize, classes: usize) -> Option<DistilBert> {
    let mut net = DistilBert {
        vocabulary,
        tokens,
        width: 0,
        layers: 0,
        heads: 0,
        ffn: 0,
        embedding: None,
        activation: Unary::Gelu,
        eps: 1e-12,
        head: Head::Classify { classes, pick: Pick::First, dense: None },
    };
    if let Some(&(_, _, width, layers, heads)) = NAMED.iter().find(|named| named.0 == name) {
        (net.width, net.layers, net.heads, net.ffn) = (width, layers, heads, 4 * width);
        return Some(net);
    }
    for part in name.strip_prefix("distilbert-")?.split('-') {
        let (letter, number) = part.split_at_checked(1)?;
        let number = number.parse().ok().filter(|&n: &usize| n > 0)?;
        match letter {
            "l" => net.layers = number,
            "h" => net.width = number,
            "a" => net.heads = number,
            "f" => net.ffn = number,
            "e" => net.embedding = Some(number),
            _ => return None,
        }
    }
    if net.ffn == 0 {
        net.ffn = 4 * net.width;
    }
    (net.layers > 0 && net.heads > 0 && net.width > 0).then_some(net)
}

impl DistilBert {
    /// The network. Its weights are drawn from `seed`, or are zeros (but for normalizations) to be filled by an import.
    ///
    /// # Errors
    /// If the heads do not divide the width.
    pub fn build(&self, name: &str, seed: Option<u64>) -> Result<Graph, ShapeError> {
        let mut b = Builder { graph: Graph::new(name), seed, eps: self.eps };
        let ids = b.graph.input("ids", [1, self.tokens]);
        let table = self.embedding.unwrap_or(self.width);
        let words = b.table("embeddings.word_embeddings.weight", self.vocabulary, table);
        let positions = b.table("embeddings.position_embeddings.weight", self.tokens, table);
        let x = b.graph.add("embeddings", Op::Embedding, &[ids, words, positions])?;
        let mut x = b.norm("embeddings.LayerNorm", x)?;
        if self.embedding.is_some() {
            x = b.linear("embeddings_project", x, self.width)?;
        }
        for layer in 0..self.layers {
            x = self.layer(&mut b, &format!("transformer.layer.{layer}"), x, ids)?;
        }
        let y = self.head(&mut b, x, ids)?;
        b.graph.outputs = vec![y];
        Ok(b.graph)
    }

    fn layer(&self, b: &mut Builder, name: &str, x: ValueId, ids: ValueId) -> Result<ValueId, ShapeError> {
        let attention = format!("{name}.attention");
        let q = b.linear(&format!("{attention}.q_lin"), x, self.width)?;
        let k = b.linear(&format!("{attention}.k_lin"), x, self.width)?;
        let v = b.linear(&format!("{attention}.v_lin"), x, self.width)?;
        let y = b.graph.add(attention.as_str(), Op::Attention { heads: self.heads }, &[q, k, v, ids])?;
        let y = b.linear(&format!("{attention}.out_lin"), y, self.width)?;
        let y = b.graph.add(format!("{attention}.add"), Op::Add, &[y, x])?;
        let x = b.norm(&format!("{name}.sa_layer_norm"), y)?;
        let y = b.linear(&format!("{name}.ffn.lin1"), x, self.ffn)?;
        let y = b.graph.add(format!("{name}.ffn.activation"), Op::Unary(self.activation), &[y])?;
        let y = b.linear(&format!("{name}.ffn.lin2"), y, self.width)?;
        let y = b.graph.add(format!("{name}.ffn.add"), Op::Add, &[y, x])?;
        b.norm(&format!("{name}.output_layer_norm"), y)
    }

    fn head(&self, b: &mut Builder, x: ValueId, ids: ValueId) -> Result<ValueId, ShapeError> {
        match self.head {
            Head::Classify { classes, pick, dense } => {
                let mut x = b.graph.add("pooled", Op::Pick(pick), &[x, ids])?;
                if let Some(function) = dense {
                    x = b.linear("pre_classifier", x, self.width)?;
                    x = b.graph.add("pre_classifier.activation", Op::Unary(function), &[x])?;
                }
                b.linear("classifier", x, classes)
            }
            Head::Tokens { classes } => b.linear("classifier", x, classes),
            Head::Embed { pick, normalize } => {
                let x = b.graph.add("pooled", Op::Pick(pick), &[x, ids])?;
                if normalize { b.graph.add("normalized", Op::Normalize, &[x]) } else { Ok(x) }
            }
            Head::Hidden => Ok(x),
        }
    }
}

/// A graph being built, with the seed of its weights.
struct Builder {
    graph: Graph,
    seed: Option<u64>,
    eps: f32,
}

impl Builder {
    /// Uniform numbers within a bound, the same on every machine; zeros without a seed.
    fn draw(&mut self, name: &str, shape: [usize; 2], bound: f32) -> ValueId {
        let Some(seed) = self.seed else { return self.graph.add_param(name, Tensor::zeros(shape)) };
        let mut rng = stream(seed, Purpose::Weights, self.graph.values.len() as u64, 0);
        let data = (0..shape[0] * shape[1]).map(|_| bound * (2.0 * rng.random::<f32>() - 1.0)).collect();
        self.graph.add_param(name, Tensor::new(shape, data))
    }

    /// A table whose numbers have BERT's standard deviation of 0.02.
    fn table(&mut self, name: &str, rows: usize, columns: usize) -> ValueId {
        self.draw(name, [rows, columns], 0.02 * 3.0_f32.sqrt())
    }

    fn linear(&mut self, name: &str, x: ValueId, out: usize) -> Result<ValueId, ShapeError> {
        let width = self.graph.shape(x).last().copied().unwrap_or(0);
        let weight = self.draw(&format!("{name}.weight"), [out, width], 1.0 / (width.max(1) as f32).sqrt());
        let bias = self.graph.add_param(format!("{name}.bias"), Tensor::zeros([out]));
        self.graph.add(name, Op::Linear, &[x, weight, bias])
    }

    fn norm(&mut self, name: &str, x: ValueId) -> Result<ValueId, ShapeError> {
        let width = self.graph.shape(x).last().copied().unwrap_or(0);
        let gamma = self.graph.add_param(format!("{name}.weight"), Tensor::full([width], 1.0));
        let beta = self.graph.add_param(format!("{name}.bias"), Tensor::zeros([width]));
        self.graph.add(name, Op::LayerNorm { eps: self.eps }, &[x, gamma, beta])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameter_counts_are_those_of_the_papers() {
        // Those of the checkpoints with 512 positions, without their pooler and their second token type's row (and the first,
        // which is folded).
        let rows = [
            ("bert-tiny", 4_369_152),
            ("minilm-6", 22_564_608),
            ("distilbert", 66_362_880),
            ("bert-base", 108_890_112),
        ];
        for (name, count) in rows {
            let net = DistilBert { head: Head::Hidden, ..named(name, 30522, 512, 2).unwrap() };
            assert_eq!(net.build(name, None).unwrap().param_count(), count, "{name}");
        }
    }

    #[test]
    fn names_describe_any_size() {
        let net = named("distilbert-l3-h96-a4-f200-e48", 100, 16, 5).unwrap();
        assert_eq!((net.layers, net.width, net.heads, net.ffn, net.embedding), (3, 96, 4, 200, Some(48)));
        assert_eq!(named("distilbert-h64-l2-a2", 100, 16, 5).unwrap().ffn, 256);
        for wrong in
            ["distilbert-", "distilbert-l2-h64", "distilbert-l2-h64-a0", "distilbert-l2-h64-x3", "resnet8", "é"]
        {
            assert_eq!(named(wrong, 100, 16, 5), None, "{wrong}");
        }
        let graph = net.build("net", Some(1)).unwrap();
        assert_eq!(graph.shape(graph.outputs[0]), [1, 5]);
        assert_eq!(graph.shape(graph.find("embeddings_project.weight").unwrap()), [96, 48]);
        let uneven = DistilBert { heads: 5, ..net };
        assert!(uneven.build("net", None).unwrap_err().to_string().contains("5 heads"));
    }

    #[test]
    fn weights_are_drawn_from_the_seed() {
        let net = named("bert-pico", 50, 8, 2).unwrap();
        assert_eq!(net.build("a", Some(3)).unwrap(), net.build("a", Some(3)).unwrap());
        assert_ne!(net.build("a", Some(3)).unwrap(), net.build("a", Some(4)).unwrap());
    }

    #[test]
    fn heads_have_their_shapes() {
        let net = named("bert-pico", 50, 8, 2).unwrap();
        let rows: [(Head, &[usize]); 4] = [
            (Head::Classify { classes: 3, pick: Pick::Mean, dense: Some(Unary::Relu) }, &[1, 3]),
            (Head::Tokens { classes: 9 }, &[1, 8, 9]),
            (Head::Embed { pick: Pick::Mean, normalize: true }, &[1, 64]),
            (Head::Hidden, &[1, 8, 64]),
        ];
        for (head, shape) in rows {
            let graph = DistilBert { head, ..net.clone() }.build("net", Some(1)).unwrap();
            assert_eq!(graph.shape(graph.outputs[0]), shape, "{head:?}");
        }
    }
}
