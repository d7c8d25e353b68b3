//! The typed float graph that import fills, families build, training executes and quantization rewrites.
//!
//! A [`Graph`] is a list of [`Node`]s in execution order over [`Value`]s. A value is an input, a parameter with its
//! numbers, or the one output of a node. Shapes are concrete; the first axis of inputs is the batch, and
//! [`Graph::with_batch`] gives the same graph for another batch size. Images are channels-last everywhere behind the
//! importers (see [`rewrite`]), so that one channel vector lies together in memory.

mod dump;
mod op;
pub mod rewrite;
mod shape;
mod tensor;

pub use op::{Dim, Op, Pads, Pair, Pick, Unary, Window};
pub use shape::ShapeError;
pub use tensor::Tensor;

use std::sync::Arc;

/// Names a value of one graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ValueId(pub u32);

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// Given at each run.
    Input,
    /// Stored numbers: a weight, a statistic or a constant.
    Param(Arc<Tensor>),
    /// The output of a node.
    Node,
}

/// A tensor of the graph.
#[derive(Clone, Debug, PartialEq)]
pub struct Value {
    /// Unique; for parameters the name that a checkpoint uses (`layer1.0.conv1.weight`).
    pub name: String,
    /// Sizes of the axes, batch first where there is one.
    pub shape: Vec<usize>,
    /// Where it comes from.
    pub source: Source,
}

/// One operator applied to values.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Unique; in an imported graph the name that the file gives it.
    pub name: String,
    /// What it computes.
    pub op: Op,
    /// In the order that the operator documents; parameters included.
    pub inputs: Vec<ValueId>,
    /// What it makes.
    pub output: ValueId,
}

/// A float network: nodes in execution order, with their weights.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Graph {
    /// For messages and file names.
    pub name: String,
    /// In execution order.
    pub nodes: Vec<Node>,
    /// Indexed by [`ValueId`].
    pub values: Vec<Value>,
    /// Given at each run, in order.
    pub inputs: Vec<ValueId>,
    /// Returned by each run, in order.
    pub outputs: Vec<ValueId>,
}

impl Graph {
    /// An empty graph.
    pub fn new(name: impl Into<String>) -> Self {
        Graph { name: name.into(), ..Graph::default() }
    }

    /// The value of an id.
    pub fn value(&self, id: ValueId) -> &Value {
        &self.values[id.0 as usize]
    }

    /// The value of an id, to be changed.
    pub fn value_mut(&mut self, id: ValueId) -> &mut Value {
        &mut self.values[id.0 as usize]
    }

    /// The shape of a value.
    pub fn shape(&self, id: ValueId) -> &[usize] {
        &self.value(id).shape
    }

    /// The numbers of a parameter; `None` for inputs and computed values.
    pub fn param(&self, id: ValueId) -> Option<&Arc<Tensor>> {
        match &self.value(id).source {
            Source::Param(tensor) => Some(tensor),
            _ => None,
        }
    }

    /// All parameters in order of their ids.
    pub fn params(&self) -> impl Iterator<Item = (ValueId, &Arc<Tensor>)> {
        (0..self.values.len() as u32).map(ValueId).filter_map(|id| Some((id, self.param(id)?)))
    }

    /// Number of stored numbers.
    pub fn param_count(&self) -> usize {
        self.params().map(|(_, tensor)| tensor.len()).sum()
    }

    /// The value of a name.
    pub fn find(&self, name: &str) -> Option<ValueId> {
        self.values.iter().position(|v| v.name == name).map(|i| ValueId(i as u32))
    }

    /// The node that makes a value; `None` for inputs and parameters.
    pub fn producer(&self, id: ValueId) -> Option<&Node> {
        self.nodes.iter().find(|n| n.output == id)
    }

    /// Indices of the nodes that read a value.
    pub fn consumers(&self, id: ValueId) -> Vec<usize> {
        (0..self.nodes.len()).filter(|&i| self.nodes[i].inputs.contains(&id)).collect()
    }

    /// How often a value is read, by nodes and as an output of the graph.
    pub fn uses(&self, id: ValueId) -> usize {
        let reads = self.nodes.iter().flat_map(|n| &n.inputs).chain(&self.outputs);
        reads.filter(|&&read| read == id).count()
    }

    /// The node that makes a value, if nothing else reads the value than the one who asks.
    pub fn sole_producer(&self, id: ValueId) -> Option<&Node> {
        self.producer(id).filter(|_| self.uses(id) == 1)
    }

    /// Adds an input of the whole graph.
    pub fn input(&mut self, name: impl Into<String>, shape: impl Into<Vec<usize>>) -> ValueId {
        let id = self.push_value(name.into(), shape.into(), Source::Input);
        self.inputs.push(id);
        id
    }

    /// Adds a parameter.
    pub fn add_param(&mut self, name: impl Into<String>, tensor: Tensor) -> ValueId {
        let shape = tensor.shape().to_vec();
        self.push_value(name.into(), shape, Source::Param(Arc::new(tensor)))
    }

    /// Adds a node after all others and returns its output, whose shape follows from the inputs.
    ///
    /// # Errors
    /// If the operator cannot take inputs of these shapes.
    pub fn add(&mut self, name: impl Into<String>, op: Op, inputs: &[ValueId]) -> Result<ValueId, ShapeError> {
        let name = name.into();
        let shapes: Vec<&[usize]> = inputs.iter().map(|&id| self.shape(id)).collect();
        let shape = shape::infer(&op, &shapes).map_err(|e| e.at(&name))?;
        let output = self.push_value(name.clone(), shape, Source::Node);
        self.nodes.push(Node { name, op, inputs: inputs.to_vec(), output });
        Ok(output)
    }

    fn push_value(&mut self, name: String, shape: Vec<usize>, source: Source) -> ValueId {
        let id = ValueId(u32::try_from(self.values.len()).expect("fewer than four billion values"));
        self.values.push(Value { name, shape, source });
        id
    }

    /// Removes the nodes and parameters that no output depends on, and numbers the values that remain anew.
    ///
    /// Inputs stay, read or not: they are the graph's interface.
    pub fn remove_dead(&mut self) {
        let mut live = vec![false; self.values.len()];
        for &id in self.inputs.iter().chain(&self.outputs) {
            live[id.0 as usize] = true;
        }
        for node in self.nodes.iter().rev() {
            if live[node.output.0 as usize] {
                node.inputs.iter().for_each(|id| live[id.0 as usize] = true);
            }
        }
        self.nodes.retain(|node| live[node.output.0 as usize]);
        let count = |next: &mut u32, &live: &bool| Some(std::mem::replace(next, *next + u32::from(live)));
        let numbers: Vec<u32> = live.iter().scan(0, count).collect();
        let renumber = |id: &mut ValueId| id.0 = numbers[id.0 as usize];
        self.inputs.iter_mut().chain(&mut self.outputs).for_each(renumber);
        self.nodes.iter_mut().flat_map(|n| n.inputs.iter_mut().chain([&mut n.output])).for_each(renumber);
        let mut live = live.into_iter();
        self.values.retain(|_| live.next() == Some(true));
    }

    /// Computes the shapes of all nodes again, after inputs, parameters or operators were changed.
    ///
    /// # Errors
    /// If a node cannot take what it now gets.
    pub fn infer_shapes(&mut self) -> Result<(), ShapeError> {
        for node in &self.nodes {
            let shapes: Vec<&[usize]> =
                node.inputs.iter().map(|&id| self.values[id.0 as usize].shape.as_slice()).collect();
            self.values[node.output.0 as usize].shape =
                shape::infer(&node.op, &shapes).map_err(|e| e.at(&node.name))?;
        }
        Ok(())
    }

    /// The same network (sharing its weights) for inputs with another first axis.
    ///
    /// # Errors
    /// If some node depends on the batch size, such as a reshape that writes it down.
    pub fn with_batch(&self, batch: usize) -> Result<Graph, ShapeError> {
        let mut graph = self.clone();
        for &id in &self.inputs {
            if let Some(first) = graph.value_mut(id).shape.first_mut() {
                *first = batch;
            }
        }
        graph.infer_shapes()?;
        Ok(graph)
    }
}
