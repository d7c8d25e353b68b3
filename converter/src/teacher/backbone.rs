//! Networks for images that were trained for another task: what comes before their head is kept, and a new head learns yours.

use super::safetensors::{self, WeightsError};
use crate::data::random::{Purpose, stream};
use crate::families::{self, FamilyError, Task};
use crate::graph::{Dim, Graph, Node, Op, ShapeError, Source, Tensor, ValueId, rewrite};
use rand::RngExt;
use std::path::Path;
use std::sync::Arc;

/// Why a network cannot be given a head.
#[derive(Debug, thiserror::Error)]
pub enum BackboneError {
    /// The network has no size for these images.
    #[error("the backbone's network")]
    Family(#[from] FamilyError),
    /// The file of weights.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// What the network gives is no vector and no image.
    #[error(
        "`{network}` ends in {shape:?}: a backbone must end in a linear layer, in one vector for each image, or in a map of features \
         (export it without what follows)"
    )]
    End {
        /// The network.
        network: String,
        /// The shape of its output.
        shape: Vec<usize>,
    },
    /// It takes or gives several things, or no images.
    #[error(
        "`{network}` has {inputs} inputs and {outputs} outputs: a backbone takes one batch of images and gives one output"
    )]
    Ends {
        /// The network.
        network: String,
        /// How many inputs.
        inputs: usize,
        /// How many outputs.
        outputs: usize,
    },
    /// A layer cannot be added.
    #[error(transparent)]
    Shape(#[from] ShapeError),
}

/// A network with a head, cut into the two.
#[derive(Clone, Debug)]
pub struct Parts {
    /// From images to the vectors that the head reads.
    pub body: Graph,
    /// The linear layer, from such vectors to logits.
    pub head: Graph,
}

/// A network for such images with the weights of a `.safetensors` file, for the classes of the file, in [canonical
/// form](rewrite::canonicalize): normalizations keep the statistics that they have, folded into the layers before them. `network`
/// is a name of a family; without it, the names of the tensors tell.
///
/// # Errors
/// If no network has such tensors, or the file does not fill it.
pub fn load(path: &Path, network: Option<&str>, image: [usize; 3]) -> Result<Graph, BackboneError> {
    let any = Task::of_images(image, 1);
    let name = match network {
        Some(name) => name,
        None => safetensors::identify(&any, path)?,
    };
    let classes = safetensors::classes(&families::build(name, &any, 0)?, path)?.unwrap_or(1);
    let mut graph = families::build(name, &Task::of_images(image, classes), 0)?;
    safetensors::fill(&mut graph, path)?;
    Ok(rewrite::canonicalize(graph))
}

/// The network with a head for so many classes: its own if it has one for as many, else one that is drawn from `seed`.
///
/// A head is a linear layer at the end; a softmax behind it is taken away. Behind a vector or a map of features a head is added.
///
/// # Errors
/// If the network ends in something else.
pub fn with_head(mut graph: Graph, classes: usize, seed: u64) -> Result<Graph, BackboneError> {
    let (&[_], &[end]) = (&graph.inputs[..], &graph.outputs[..]) else {
        let Graph { name, inputs, outputs, .. } = graph;
        return Err(BackboneError::Ends { network: name, inputs: inputs.len(), outputs: outputs.len() });
    };
    let is_softmax = |node: &&Node| matches!(node.op, Op::Softmax { .. });
    let end = graph.producer(end).filter(is_softmax).map_or(end, |softmax| softmax.inputs[0]);
    let head = graph.producer(end).filter(|node| is_head(&graph, node)).cloned();
    let features = match (&head, graph.shape(end)) {
        (Some(head), &[_, found]) if found == classes => {
            graph.outputs = vec![head.output];
            graph.remove_dead();
            return Ok(graph);
        }
        (Some(head), _) => head.inputs[0],
        (None, &[_, _]) => end,
        (None, &[_, _, _, _]) => {
            let pooled = graph.add("head.pool", Op::GlobalAvgPool, &[end])?;
            graph.add("head.flatten", Op::Reshape(vec![Dim::Same(0), Dim::Rest]), &[pooled])?
        }
        (None, shape) => {
            return Err(BackboneError::End { network: graph.name.clone(), shape: shape.to_vec() });
        }
    };
    let names = head.as_ref().map(|head| {
        let operand = |operand: usize| head.inputs.get(operand).map(|&id| graph.value(id).name.clone());
        [Some(head.name.clone()), operand(1), operand(2)]
    });
    // The old head goes first, since its names are taken over.
    graph.outputs = vec![features];
    graph.remove_dead();
    let features = graph.outputs[0];
    let [node, weight, bias] = names.unwrap_or_default();
    let node = node.unwrap_or_else(|| "head".to_owned());
    let weight = weight.unwrap_or_else(|| format!("{node}.weight"));
    let bias = bias.unwrap_or_else(|| format!("{node}.bias"));
    let width = graph.shape(features).last().copied().unwrap_or(0);
    let weights = graph.add_param(weight, drawn([classes, width], seed));
    let biases = graph.add_param(bias, Tensor::zeros([classes]));
    let logits = graph.add(node, Op::Linear, &[features, weights, biases])?;
    graph.outputs = vec![logits];
    Ok(graph)
}

/// Cuts a network that has a head before it.
///
/// # Errors
/// If it has none.
pub fn split(graph: &Graph) -> Result<Parts, BackboneError> {
    let found = graph.outputs.first().and_then(|&id| graph.producer(id)).filter(|node| is_head(graph, node));
    let Some(last) = found else {
        let shape = graph.outputs.first().map(|&id| graph.shape(id).to_vec()).unwrap_or_default();
        return Err(BackboneError::End { network: graph.name.clone(), shape });
    };
    let mut head = Graph::new(format!("{} (head)", graph.name));
    let mut inputs = vec![head.input("features", graph.shape(last.inputs[0]))];
    for &id in &last.inputs[1..] {
        if let Some(tensor) = graph.param(id) {
            inputs.push(head.add_param(graph.value(id).name.clone(), (**tensor).clone()));
        }
    }
    let logits = head.add(last.name.clone(), Op::Linear, &inputs)?;
    head.outputs = vec![logits];
    let mut body = graph.clone();
    body.outputs = vec![last.inputs[0]];
    body.remove_dead();
    Ok(Parts { body, head })
}

/// Gives `graph` the parameters of `part`, by their names.
pub fn put(graph: &mut Graph, part: &Graph) {
    for (id, tensor) in part.params() {
        if let Some(own) = graph.find(&part.value(id).name) {
            graph.value_mut(own).source = Source::Param(Arc::clone(tensor));
        }
    }
}

/// Whether a node is a linear layer of stored weights on a vector for each image.
fn is_head(graph: &Graph, node: &Node) -> bool {
    let stored = |id: &ValueId| graph.param(*id).is_some();
    node.op == Op::Linear && node.inputs[1..].iter().all(stored) && graph.shape(node.output).len() == 2
}

/// As families draw their last layers.
fn drawn([classes, width]: [usize; 2], seed: u64) -> Tensor {
    let bound = (1.0 / width.max(1) as f32).sqrt();
    let mut rng = stream(seed, Purpose::Weights, u64::MAX, 0);
    Tensor::new([classes, width], (0..classes * width).map(|_| bound * (2.0 * rng.random::<f32>() - 1.0)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Window;
    use crate::ops::reference;

    /// A map of features, with `more` behind it.
    fn features(more: impl FnOnce(&mut Graph, ValueId) -> ValueId) -> Graph {
        let mut graph = Graph::new("net");
        let x = graph.input("image", [1, 4, 4, 3]);
        let weight = graph.add_param("conv.weight", drawn([5, 27], 1).reshape([5, 3, 3, 3]));
        let conv = Op::Conv2d { window: Window::square(3, 2, 1), groups: 1 };
        let map = graph.add("conv", conv, &[x, weight]).unwrap();
        let end = more(&mut graph, map);
        graph.outputs = vec![end];
        graph
    }

    fn classifier(graph: &mut Graph, map: ValueId, classes: usize) -> ValueId {
        let pooled = graph.add("pool", Op::GlobalAvgPool, &[map]).unwrap();
        let flat = graph.add("flat", Op::Reshape(vec![Dim::Same(0), Dim::Rest]), &[pooled]).unwrap();
        let weight = graph.add_param("fc.weight", drawn([classes, 5], 2));
        graph.add("fc", Op::Linear, &[flat, weight]).unwrap()
    }

    #[test]
    fn heads_are_replaced_kept_or_added() {
        let other = with_head(features(|graph, map| classifier(graph, map, 10)), 4, 1).unwrap();
        assert_eq!(other.shape(other.find("fc.weight").unwrap()), [4, 5]);
        assert_eq!((other.shape(other.outputs[0]), other.nodes.len()), (&[1, 4][..], 4));
        let own = features(|graph, map| classifier(graph, map, 4));
        assert_eq!(with_head(own.clone(), 4, 1).unwrap(), own);
        let likely = features(|graph, map| {
            let logits = classifier(graph, map, 4);
            graph.add("softmax", Op::Softmax { axis: 1 }, &[logits]).unwrap()
        });
        assert_eq!(with_head(likely, 4, 1).unwrap().nodes, own.nodes);
        let added = with_head(features(|_, map| map), 4, 1).unwrap();
        assert_eq!(added.shape(added.find("head.weight").unwrap()), [4, 5]);
    }

    #[test]
    fn what_is_no_backbone_is_told() {
        let rows = features(|graph, map| {
            graph.add("rows", Op::Reshape(vec![Dim::Same(0), Dim::Size(4), Dim::Rest]), &[map]).unwrap()
        });
        let error = with_head(rows, 4, 1).unwrap_err().to_string();
        assert!(error.starts_with("`net` ends in [1, 4, 5]: a backbone must end in a linear layer"), "{error}");
        let mut two = features(|_, map| map);
        two.outputs.push(two.outputs[0]);
        let error = with_head(two, 4, 1).unwrap_err().to_string();
        assert!(error.contains("1 inputs and 2 outputs"), "{error}");
        assert!(matches!(split(&features(|_, map| map)), Err(BackboneError::End { .. })));
    }

    #[test]
    fn parts_together_are_the_whole() {
        let graph = with_head(features(|_, map| map), 3, 7).unwrap();
        let Parts { body, head } = split(&graph).unwrap();
        let image = drawn([1, 48], 3).reshape([1, 4, 4, 3]);
        let run = |graph: &Graph, input: &Tensor| reference::run(graph, std::slice::from_ref(input)).unwrap().remove(0);
        assert_eq!(run(&head, &run(&body, &image)), run(&graph, &image));
        let mut other = with_head(features(|_, map| map), 3, 8).unwrap();
        put(&mut other, &head);
        assert_eq!(other, graph);
    }
}
