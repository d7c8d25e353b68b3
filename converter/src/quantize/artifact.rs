//! The stored form of an int8 graph: a safetensors file with the weights, and the rest as JSON in its header.

use super::error::QuantizeError;
use super::graph::{QuantGraph, QuantOp};
use super::scheme::Weights;
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
        let bad = |problem: String| QuantizeError::Artifact { problem };
        let json = serde_json::to_string(self).map_err(|e| bad(e.to_string()))?;
        let little = |values: &mut dyn Iterator<Item = [u8; 4]>| values.flatten().collect::<Vec<u8>>();
        let mut parts: Vec<(String, Dtype, Vec<usize>, Vec<u8>)> = Vec::new();
        for (i, node) in self.nodes.iter().enumerate() {
            let Some(weights) = node.op.weights() else { continue };
            let out = weights.bias.len();
            let bytes = weights.data.iter().map(|&w| w as u8).collect();
            let scales = little(&mut weights.scales.iter().map(|s| s.to_le_bytes()));
            let bias = little(&mut weights.bias.iter().map(|b| b.to_le_bytes()));
            parts.push((format!("{i}.weight"), Dtype::I8, vec![out, weights.depth()], bytes));
            parts.push((format!("{i}.scale"), Dtype::F32, vec![out], scales));
            parts.push((format!("{i}.bias"), Dtype::I32, vec![out], bias));
        }
        let views = parts.iter().map(|(name, dtype, shape, bytes)| {
            let view = TensorView::new(*dtype, shape.clone(), bytes).map_err(|e| bad(e.to_string()))?;
            Ok((name.as_str(), view))
        });
        let views = views.collect::<Result<Vec<_>, QuantizeError>>()?;
        let header = HashMap::from([(GRAPH.to_owned(), json)]);
        safetensors::serialize(views, Some(header)).map_err(|e| bad(e.to_string()))
    }

    /// The graph from the bytes of an artifact.
    ///
    /// # Errors
    /// If they are damaged or of another kind.
    pub fn from_bytes(bytes: &[u8]) -> Result<QuantGraph, QuantizeError> {
        let bad = |problem: String| QuantizeError::Artifact { problem };
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(|e| bad(e.to_string()))?;
        let json = header.metadata().as_ref().and_then(|m| m.get(GRAPH)).ok_or_else(|| bad(format!("no {GRAPH}")))?;
        let mut graph: QuantGraph = serde_json::from_str(json).map_err(|e| bad(e.to_string()))?;
        let file = SafeTensors::deserialize(bytes).map_err(|e| bad(e.to_string()))?;
        let part = |name: String| file.tensor(&name).map(|t| t.data()).map_err(|e| bad(format!("{name}: {e}")));
        let words = |bytes: &[u8]| bytes.chunks_exact(4).map(|b| [b[0], b[1], b[2], b[3]]).collect::<Vec<[u8; 4]>>();
        for (i, node) in graph.nodes.iter_mut().enumerate() {
            if let QuantOp::Conv2d { weights, .. }
            | QuantOp::Depthwise { weights, .. }
            | QuantOp::Linear { weights, .. } = &mut node.op
            {
                *weights = Weights {
                    data: part(format!("{i}.weight"))?.iter().map(|&b| b as i8).collect(),
                    scales: words(part(format!("{i}.scale"))?).into_iter().map(f32::from_le_bytes).collect(),
                    bias: words(part(format!("{i}.bias"))?).into_iter().map(i32::from_le_bytes).collect(),
                };
                let out = weights.bias.len();
                if out == 0 || weights.scales.len() != out || weights.data.len() % out != 0 {
                    return Err(bad(format!("the weights of `{}` have different lengths", node.name)));
                }
            }
        }
        graph.check().map_err(bad)?;
        Ok(graph)
    }

    /// Whether every tensor that is named is there and every node has the inputs that it needs.
    fn check(&self) -> Result<(), String> {
        let known = |ids: &[super::TensorId]| ids.iter().all(|id| id.index() < self.tensors.len());
        for node in &self.nodes {
            let inputs = match node.op {
                QuantOp::Add { .. } | QuantOp::Mul { .. } => 2..=2,
                QuantOp::Concat { .. } => 1..=usize::MAX,
                _ => 1..=1,
            };
            if !inputs.contains(&node.inputs.len()) || !known(&node.inputs) || !known(&[node.output]) {
                return Err(format!("node `{}` names tensors that are not there", node.name));
            }
        }
        if known(&self.inputs) && known(&self.outputs) { Ok(()) } else { Err("inputs or outputs are not there".into()) }
    }
}
