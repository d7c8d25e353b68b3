//! What there is to run: nodes with residual sums fused in, views taken away, and who must wait for whom.

use crate::quantize::{QuantGraph, QuantOp, TensorId};

/// One operator of the model file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Task {
    /// Index of the node.
    pub node: usize,
    /// Index of the sum that is fused into the convolution `node`.
    pub add: Option<usize>,
    /// Buffers that are read, each once.
    pub reads: Vec<usize>,
    /// The buffer that is written.
    pub writes: usize,
    /// Buffers among those read that the result may overwrite.
    pub over: Vec<usize>,
    /// Bytes of working memory.
    pub scratch: usize,
}

/// All tasks, in the order of the graph, over buffers numbered like the tensors that they begin with.
#[derive(Clone, Debug)]
pub(super) struct Tasks {
    /// The tasks.
    pub list: Vec<Task>,
    /// For each task the tasks that must run before it.
    pub after: Vec<Vec<usize>>,
    /// For each tensor the tensor whose bytes it is; only views differ from themselves.
    pub root: Vec<usize>,
    /// Bytes of each tensor.
    pub bytes: Vec<usize>,
    /// For each buffer the tasks that read it.
    pub readers: Vec<Vec<usize>>,
    /// Buffers that are written before the first task.
    pub inputs: Vec<usize>,
    /// Buffers that are read after the last task.
    pub outputs: Vec<usize>,
}

/// A sum and the convolution that it can be fused into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fusion {
    /// Index of the sum.
    pub add: usize,
    /// Index of the convolution.
    pub conv: usize,
}

/// For each tensor the tensor whose bytes it is.
fn roots(graph: &QuantGraph) -> Vec<usize> {
    let mut root: Vec<usize> = (0..graph.tensors.len()).collect();
    for node in graph.nodes.iter().filter(|n| n.op == QuantOp::Reshape) {
        root[node.output.index()] = root[node.inputs[0].index()];
    }
    root
}

/// Every way to fuse a sum: the convolution's result goes nowhere else, and the other operand can lie in the output from the
/// start, so it is not what the convolution reads, and nobody needs it afterwards.
pub(super) fn fusions(graph: &QuantGraph) -> Vec<Fusion> {
    let root = roots(graph);
    let reads = |i: usize| graph.nodes[i].inputs.iter().map(|t| root[t.index()]);
    let is_output = |t: usize| graph.outputs.iter().any(|o| root[o.index()] == t);
    let mut found = Vec::new();
    for (add, node) in graph.nodes.iter().enumerate() {
        let (QuantOp::Add { .. }, &[a, b]) = (&node.op, node.inputs.as_slice()) else { continue };
        if graph.tensor(a).bytes() != graph.tensor(b).bytes() || root[a.index()] == root[b.index()] {
            continue;
        }
        for (made, kept) in [(a, b), (b, a)] {
            let Some(conv) = graph.nodes.iter().position(|n| n.output == made) else { continue };
            let kept = root[kept.index()];
            let sole = graph.nodes.iter().filter(|n| n.inputs.contains(&made)).count() == 1;
            let others = (0..graph.nodes.len()).filter(|&i| i != add && reads(i).any(|t| t == kept));
            let dies = others.into_iter().all(|i| !follows(graph, i, add)) && !is_output(kept);
            let is_conv = matches!(graph.nodes[conv].op, QuantOp::Conv2d { .. });
            if is_conv && sole && dies && !is_output(made.index()) && reads(conv).all(|t| t != kept) {
                found.push(Fusion { add, conv });
            }
        }
    }
    found
}

/// Whether node `late` needs, directly or not, what node `early` makes.
fn follows(graph: &QuantGraph, late: usize, early: usize) -> bool {
    let mut made: Vec<TensorId> = vec![graph.nodes[early].output];
    for (i, node) in graph.nodes.iter().enumerate().skip(early + 1) {
        if node.inputs.iter().any(|t| made.contains(t)) {
            if i == late {
                return true;
            }
            made.push(node.output);
        }
    }
    false
}

impl Tasks {
    /// The tasks of a graph with these sums fused; `scratch` gives a node's working memory.
    pub(super) fn new(graph: &QuantGraph, fused: &[Fusion], scratch: &dyn Fn(usize) -> usize) -> Tasks {
        let root = roots(graph);
        let bytes: Vec<usize> = graph.tensors.iter().map(|t| t.bytes()).collect();
        let mut list = Vec::new();
        let mut residuals = Vec::new();
        for (i, node) in graph.nodes.iter().enumerate() {
            if node.op == QuantOp::Reshape || fused.iter().any(|f| f.conv == i) {
                continue;
            }
            let rooted = |node: usize| graph.nodes[node].inputs.iter().map(|t| root[t.index()]);
            let writes = node.output.index();
            let task = match fused.iter().find(|f| f.add == i) {
                None => {
                    let mut reads: Vec<usize> = rooted(i).collect();
                    // An operand that is read twice cannot lie where the result does.
                    let twice = reads.len() == 2 && reads[0] == reads[1];
                    let over = if is_elementwise(&node.op) && !twice {
                        reads.iter().copied().filter(|&t| bytes[t] == bytes[writes]).collect()
                    } else {
                        Vec::new()
                    };
                    reads.sort_unstable();
                    reads.dedup();
                    Task { node: i, add: None, reads, writes, over, scratch: scratch(i) }
                }
                Some(&Fusion { conv, .. }) => {
                    let made = graph.nodes[conv].output.index();
                    let kept: Vec<usize> = rooted(i).filter(|&t| t != made).collect();
                    residuals.push((list.len(), kept[0]));
                    let mut reads: Vec<usize> = rooted(conv).chain(kept.iter().copied()).collect();
                    reads.sort_unstable();
                    reads.dedup();
                    Task { node: conv, add: Some(i), reads, writes, over: kept, scratch: scratch(conv) }
                }
            };
            list.push(task);
        }
        let mut readers = vec![Vec::new(); bytes.len()];
        for (i, task) in list.iter().enumerate() {
            task.reads.iter().for_each(|&t| readers[t].push(i));
        }
        let writer = |t: usize| list.iter().position(|task| task.writes == t);
        let mut after: Vec<Vec<usize>> =
            list.iter().map(|task| task.reads.iter().filter_map(|&t| writer(t)).collect()).collect();
        for (task, kept) in residuals {
            after[task].extend(readers[kept].iter().copied().filter(|&other| other != task));
        }
        let rooted = |ids: &[TensorId]| ids.iter().map(|t| root[t.index()]).collect();
        let (inputs, outputs) = (rooted(&graph.inputs), rooted(&graph.outputs));
        Tasks { list, after, root, bytes, readers, inputs, outputs }
    }

    /// Aligned bytes of a buffer.
    pub(super) fn size(&self, buffer: usize) -> usize {
        self.bytes[buffer].next_multiple_of(super::arena::ALIGN)
    }

    /// The operand that task `i` can overwrite when everything for which `done` holds has run.
    pub(super) fn overwrites(&self, i: usize, done: impl Fn(usize) -> bool) -> Option<usize> {
        let free = |&&t: &&usize| !self.outputs.contains(&t) && self.readers[t].iter().all(|&r| r == i || done(r));
        self.list[i].over.iter().find(free).copied()
    }
}

/// Whether an operator computes each output from the same element of an input, in place.
fn is_elementwise(op: &QuantOp) -> bool {
    use QuantOp::{Add, Add16, Lut, Mul, Softmax};
    matches!(op, Add { .. } | Add16 | Mul { .. } | Lut { .. } | Softmax)
}
