//! The stored form of an int8 graph: a safetensors file with weights and tables, and the rest as JSON in its header.

use super::error::QuantizeError;
use super::graph::{QuantGraph, QuantNode, QuantOp};
use super::scheme::{Table, Weights};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::collections::HashMap;

/// The entry of the header that holds everything but the weights.
const GRAPH: &str = "int8_graph";

impl QuantGraph {
    /// The graph as the bytes of an artifact.
    ///
    /// # Errors
    /// If the graph has names or sizes that the format cannot hold.
    pub fn to_bytes(&self) -> Result<Vec<u8>, QuantizeError> {
        let json = serde_json::to_string(self).map_err(bad)?;
        let parts = self.nodes.iter().enumerate().flat_map(|(i, node)| {
            let named = move |(name, part): (&str, Part<'_>)| (format!("{i}.{name}"), part.stored());
            parts(&node.op).into_iter().map(named)
        });
        let parts: Vec<(String, Stored)> = parts.collect();
        let views = parts.iter().map(|(name, (dtype, shape, bytes))| {
            Ok((name.as_str(), TensorView::new(*dtype, shape.clone(), bytes).map_err(bad)?))
        });
        let views = views.collect::<Result<Vec<_>, QuantizeError>>()?;
        let header = HashMap::from([(GRAPH.to_owned(), json)]);
        safetensors::serialize(views, Some(header)).map_err(bad)
    }

    /// The graph from the bytes of an artifact.
    ///
    /// # Errors
    /// If they are damaged or of another kind.
    pub fn from_bytes(bytes: &[u8]) -> Result<QuantGraph, QuantizeError> {
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(bad)?;
        let json = header.metadata().as_ref().and_then(|m| m.get(GRAPH)).ok_or_else(|| bad(format!("no {GRAPH}")))?;
        let mut graph: QuantGraph = serde_json::from_str(json).map_err(bad)?;
        let file = SafeTensors::deserialize(bytes).map_err(bad)?;
        for (i, node) in graph.nodes.iter_mut().enumerate() {
            let part = |name: &str| {
                let name = format!("{i}.{name}");
                file.tensor(&name).map(|t| t.data()).map_err(|e| bad(format!("{name}: {e}")))
            };
            let integers = |name| Ok::<_, QuantizeError>(part(name)?.iter().map(|&b| b as i8).collect::<Vec<i8>>());
            let reals = |name| Ok::<_, QuantizeError>(words(part(name)?).map(f32::from_le_bytes).collect::<Vec<f32>>());
            let table = |name, scales| Ok::<_, QuantizeError>(Table { data: integers(name)?, scales: reals(scales)? });
            match &mut node.op {
                QuantOp::Conv2d { weights, .. }
                | QuantOp::Depthwise { weights, .. }
                | QuantOp::Linear { weights, .. } => {
                    let bias = words(part("bias")?).map(i32::from_le_bytes).collect();
                    *weights = Weights { data: integers("weight")?, scales: reals("scale")?, bias };
                }
                QuantOp::Embed { words, positions } => {
                    (*words, *positions) = (table("words", "word_scale")?, table("positions", "position_scale")?);
                }
                QuantOp::LayerNorm { gamma, beta, .. } => (*gamma, *beta) = (reals("gamma")?, reals("beta")?),
                _ => {}
            }
        }
        graph.check().map_err(bad)?;
        Ok(graph)
    }

    /// Whether what is stored of a node is as long as its tensors ask for.
    fn parts_fit(&self, node: &QuantNode) -> bool {
        let rows_of = |data: &[i8], rows: usize| rows > 0 && data.len().is_multiple_of(rows);
        let [height, _, channels] = self.tensor(node.output).shape;
        match &node.op {
            QuantOp::Embed { words, positions } => {
                let fits = |t: &Table| rows_of(&t.data, t.scales.len()) && t.width() == channels;
                fits(words) && fits(positions) && positions.scales.len() == height
            }
            QuantOp::LayerNorm { gamma, beta, .. } => gamma.len() == channels && beta.len() == channels,
            op => op.weights().is_none_or(|weights| {
                let out = weights.bias.len();
                rows_of(&weights.data, out) && weights.scales.len() == out && out == channels
            }),
        }
    }

    /// Whether every tensor that is named is there and every node has the inputs that it needs.
    fn check(&self) -> Result<(), String> {
        let known = |ids: &[super::TensorId]| ids.iter().all(|id| id.index() < self.tensors.len());
        for node in &self.nodes {
            let inputs = match node.op {
                QuantOp::Add { .. } | QuantOp::Mul { .. } | QuantOp::Add16 => 2..=2,
                QuantOp::Attention { .. } => 3..=3,
                QuantOp::Concat { .. } => 1..=usize::MAX,
                _ => 1..=1,
            };
            if !inputs.contains(&node.inputs.len()) || !known(&node.inputs) || !known(&[node.output]) {
                return Err(format!("node `{}` names tensors that are not there", node.name));
            }
            if !self.parts_fit(node) {
                return Err(format!("the weights of `{}` have lengths that do not fit", node.name));
            }
        }
        if known(&self.inputs) && known(&self.outputs) { Ok(()) } else { Err("inputs or outputs are not there".into()) }
    }
}

/// Numbers that are stored of an operator; of those with 8 bits how many rows they are.
enum Part<'a> {
    Integers(&'a [i8], usize),
    Reals(&'a [f32]),
    Sums(&'a [i32]),
}

/// What the format wants of a part: type, shape, bytes.
type Stored = (Dtype, Vec<usize>, Vec<u8>);

impl Part<'_> {
    fn stored(&self) -> Stored {
        match *self {
            Part::Integers(values, rows) => {
                let shape = vec![rows, values.len() / rows.max(1)];
                (Dtype::I8, shape, values.iter().map(|&v| v as u8).collect())
            }
            Part::Reals(values) => {
                (Dtype::F32, vec![values.len()], values.iter().flat_map(|v| v.to_le_bytes()).collect())
            }
            Part::Sums(values) => {
                (Dtype::I32, vec![values.len()], values.iter().flat_map(|v| v.to_le_bytes()).collect())
            }
        }
    }
}

/// All parts of an operator, by name.
fn parts(op: &QuantOp) -> Vec<(&'static str, Part<'_>)> {
    match op {
        QuantOp::Embed { words, positions } => vec![
            ("words", Part::Integers(&words.data, words.scales.len())),
            ("word_scale", Part::Reals(&words.scales)),
            ("positions", Part::Integers(&positions.data, positions.scales.len())),
            ("position_scale", Part::Reals(&positions.scales)),
        ],
        QuantOp::LayerNorm { gamma, beta, .. } => vec![("gamma", Part::Reals(gamma)), ("beta", Part::Reals(beta))],
        op => op.weights().map_or_else(Vec::new, |weights| {
            vec![
                ("weight", Part::Integers(&weights.data, weights.bias.len())),
                ("scale", Part::Reals(&weights.scales)),
                ("bias", Part::Sums(&weights.bias)),
            ]
        }),
    }
}

fn words(bytes: &[u8]) -> impl Iterator<Item = [u8; 4]> {
    bytes.as_chunks().0.iter().copied()
}

fn bad(problem: impl ToString) -> QuantizeError {
    QuantizeError::Artifact { problem: problem.to_string() }
}
