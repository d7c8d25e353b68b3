//! What a rule puts in the place of one node, and how it is put there.

use crate::graph::{Graph, Node, Op, Source, Tensor, Value, ValueId, shape};
use std::sync::Arc;

/// New nodes and parameters that together replace one node.
///
/// A rule builds it without touching the graph: what a patch makes has numbers beyond those of the graph's values.
#[derive(Debug)]
pub struct Patch<'g> {
    graph: &'g Graph,
    edit: Edit,
}

/// A finished patch, free of the graph that it was made for.
#[derive(Debug)]
pub struct Edit {
    nodes: Vec<Node>,
    values: Vec<Value>,
    result: ValueId,
}

impl<'g> Patch<'g> {
    /// Nothing yet.
    pub fn new(graph: &'g Graph) -> Self {
        Patch { graph, edit: Edit { nodes: Vec::new(), values: Vec::new(), result: ValueId(0) } }
    }

    /// Replaces the node by a value that the graph has already.
    pub fn alias(graph: &'g Graph, value: ValueId) -> Edit {
        Patch::new(graph).finish(value)
    }

    /// The shape of a value, old or new.
    pub fn shape(&self, id: ValueId) -> &[usize] {
        let old = self.graph.values.len();
        match (id.0 as usize).checked_sub(old) {
            None => self.graph.shape(id),
            Some(new) => &self.edit.values[new].shape,
        }
    }

    /// Adds a parameter.
    pub fn param(&mut self, name: impl Into<String>, tensor: Tensor) -> ValueId {
        let shape = tensor.shape().to_vec();
        self.value(Value { name: name.into(), shape, source: Source::Param(Arc::new(tensor)) })
    }

    /// Adds a node; `None` if its operator cannot take these inputs, in which case the rule does not apply.
    pub fn node(&mut self, name: impl Into<String>, op: Op, inputs: &[ValueId]) -> Option<ValueId> {
        let name = name.into();
        let shapes: Vec<&[usize]> = inputs.iter().map(|&id| self.shape(id)).collect();
        let shape = shape::infer(&op, &shapes).ok()?;
        let output = self.value(Value { name: name.clone(), shape, source: Source::Node });
        self.edit.nodes.push(Node { name, op, inputs: inputs.to_vec(), output });
        Some(output)
    }

    /// Adds a node that does what `node` did, under its names, with another operator and inputs.
    pub fn like(&mut self, node: &Node, op: Op, inputs: &[ValueId]) -> Option<ValueId> {
        let output = self.node(node.name.clone(), op, inputs)?;
        let name = self.graph.value(node.output).name.clone();
        self.edit.values.last_mut()?.name = name;
        Some(output)
    }

    /// The patch with `result` in the place of the replaced node's output.
    pub fn finish(mut self, result: ValueId) -> Edit {
        self.edit.result = result;
        self.edit
    }

    fn value(&mut self, value: Value) -> ValueId {
        let id = ValueId((self.graph.values.len() + self.edit.values.len()) as u32);
        self.edit.values.push(value);
        id
    }
}

impl Edit {
    /// Puts the patch in the place of node `index` and removes what nobody reads any more.
    ///
    /// Returns the index of the first node that is new, or that follows where none is.
    pub fn apply(self, graph: &mut Graph, index: usize) -> usize {
        let from_end = graph.nodes.len() - index - 1 + self.nodes.len();
        let old = graph.nodes[index].output;
        let first_new = graph.values.len();
        graph.values.extend(self.values);
        graph.nodes.splice(index..=index, self.nodes);
        if graph.outputs.contains(&old) && matches!(graph.value(self.result).source, Source::Node) {
            // Outputs are known to the outside by their names. One that another output has already stays as it is.
            if !graph.outputs.contains(&self.result) {
                graph.value_mut(self.result).name = graph.value(old).name.clone();
            }
        }
        let reads = graph.nodes.iter_mut().flat_map(|n| &mut n.inputs).chain(&mut graph.outputs);
        reads.filter(|id| **id == old).for_each(|id| *id = self.result);
        let names: Vec<String> = graph.values[first_new..].iter().map(|v| v.name.clone()).collect();
        graph.remove_dead();
        make_unique(graph, &names);
        graph.nodes.len().saturating_sub(from_end)
    }
}

/// Numbers the values that share a name in `names`, but for the first of each and for outputs.
fn make_unique(graph: &mut Graph, names: &[String]) {
    for name in names {
        let same = |v: &ValueId| graph.value(*v).name == *name;
        let mut sharing: Vec<ValueId> = (0..graph.values.len() as u32).map(ValueId).filter(same).collect();
        sharing.sort_by_key(|id| !graph.outputs.contains(id));
        let mut number = 2..;
        for &id in sharing.iter().skip(1) {
            let fresh = number.by_ref().map(|n| format!("{name}.{n}")).find(|fresh| graph.find(fresh).is_none());
            graph.value_mut(id).name = fresh.expect("some number is free");
        }
    }
}
