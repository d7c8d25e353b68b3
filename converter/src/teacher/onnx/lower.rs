//! Takes an ONNX graph node by node into the float graph.
//!
//! Convolutions, pools and batch norms are channels-first in ONNX and channels-last in the float graph: each gets a
//! transpose before and behind it, which the rewrite rules cancel.

use super::call::Call;
use super::constants;
use super::error::{ImportError, NodeInfo, Problem};
use super::file::{ModelFile, floats, is_standard, tensor_type};
use super::ops;
use crate::graph::{Dim, Graph, Op, Source, Tensor, ValueId};
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use tract_onnx::pb;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::prelude as tract;

/// In which order a graph takes and gives the axes of images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Axes {
    /// As the file has them.
    AsInFile,
    /// Channels last in every input and output of four axes.
    ChannelsLast,
}

/// What an ONNX name stands for.
#[derive(Clone)]
enum Known {
    /// Numbers that do not depend on any input.
    Constant(Arc<tract::Tensor>),
    /// A value of the float graph, and whether the file calls it a float.
    Computed { id: ValueId, is_float: bool },
}

/// The float graph of a model.
pub(super) fn lower(file: &ModelFile, axes: Axes) -> Result<Graph, ImportError> {
    let mut lower = Lower::new(file)?;
    lower.inputs(axes)?;
    lower.nodes()?;
    lower.outputs(axes)?;
    Ok(lower.graph)
}

/// The float graph of an encoder, of which all inputs but that of the ids, `[1, tokens]`, have these values.
pub(super) fn lower_texts(
    file: &ModelFile,
    stored: &HashMap<String, Arc<tract::Tensor>>,
    tokens: usize,
) -> Result<Graph, ImportError> {
    let mut lower = Lower::new(file)?;
    for info in &file.graph.input {
        if let Some(tensor) = stored.get(&info.name) {
            lower.known.insert(&info.name, Known::Constant(Arc::clone(tensor)));
        } else if !lower.known.contains_key(info.name.as_str()) {
            let id = lower.graph.input(&info.name, [1, tokens]);
            lower.ids = Some(id);
            lower.known.insert(&info.name, Known::Computed { id, is_float: false });
        }
    }
    lower.nodes()?;
    lower.outputs(Axes::AsInFile)?;
    Ok(lower.graph)
}

/// A graph while its nodes are added.
pub(super) struct Lower<'a> {
    file: &'a ModelFile,
    graph: Graph,
    known: HashMap<&'a str, Known>,
    /// Names that some node or the outside reads.
    read: HashSet<&'a str>,
    /// The float parameter made for a constant.
    params: HashMap<&'a str, ValueId>,
    /// The channels-last form made of a value.
    images: HashMap<ValueId, ValueId>,
    /// The ids of tokens, if the graph reads texts.
    ids: Option<ValueId>,
}

impl<'a> Lower<'a> {
    fn new(file: &'a ModelFile) -> Result<Self, ImportError> {
        let onnx = &file.graph;
        let name =
            if onnx.name.is_empty() { file.path.file_stem().and_then(|s| s.to_str()) } else { Some(&*onnx.name) };
        let read = onnx.node.iter().flat_map(|n| &n.input).chain(onnx.output.iter().map(|o| &o.name));
        let mut lower = Lower {
            file,
            graph: Graph::new(name.unwrap_or("onnx")),
            known: HashMap::new(),
            read: read.map(String::as_str).collect(),
            params: HashMap::new(),
            images: HashMap::new(),
            ids: None,
        };
        for proto in &onnx.initializer {
            lower.known.insert(&proto.name, Known::Constant(Arc::new(file.tensor(proto)?)));
        }
        Ok(lower)
    }

    fn path(&self) -> &'a Path {
        &self.file.path
    }

    /// Adds the inputs. One that also has stored numbers is a constant, as files of old exporters list their weights.
    fn inputs(&mut self, axes: Axes) -> Result<(), ImportError> {
        for info in &self.file.graph.input {
            if self.known.contains_key(info.name.as_str()) {
                continue;
            }
            let fail =
                |problem| ImportError::Tensor { path: self.path().to_owned(), tensor: info.name.clone(), problem };
            let (shape, is_float) = input_type(info).map_err(fail)?;
            let relayout = axes == Axes::ChannelsLast && shape.len() == 4 && !self.takes_channels_last(&info.name);
            let id = if relayout {
                let last = [shape[0], shape[2], shape[3], shape[1]];
                let id = self.graph.input(&info.name, last);
                let name = format!("{}.nchw", info.name);
                let first = self.graph.add(name, Op::Transpose(vec![0, 3, 1, 2]), &[id]).expect("four axes");
                self.images.insert(first, id);
                first
            } else {
                self.graph.input(&info.name, shape)
            };
            self.known.insert(&info.name, Known::Computed { id, is_float });
        }
        Ok(())
    }

    /// Whether an input is made channels-first by the model itself, as exporters from channels-last frameworks do.
    fn takes_channels_last(&self, name: &str) -> bool {
        let mut readers = self.file.graph.node.iter().filter(|n| n.input.iter().any(|i| i == name)).peekable();
        readers.peek().is_some() && readers.all(|n| is_transpose(n, &[0, 3, 1, 2]))
    }

    fn outputs(&mut self, axes: Axes) -> Result<(), ImportError> {
        for info in &self.file.graph.output {
            let fail = |problem: &str| ImportError::Tensor {
                path: self.path().to_owned(),
                tensor: info.name.clone(),
                problem: problem.to_owned(),
            };
            let mut id = match self.known.get(info.name.as_str()).cloned() {
                Some(Known::Computed { id, is_float: true }) => id,
                Some(Known::Computed { .. }) => return Err(fail("is an output of integers; outputs must be floats")),
                Some(Known::Constant(_)) => self.param(&info.name).map_err(|p| self.at_output(&info.name, p))?,
                None => return Err(fail("is an output that no node makes")),
            };
            let transposes = |n: &pb::NodeProto| n.output.contains(&info.name) && is_transpose(n, &[0, 2, 3, 1]);
            let is_last = self.file.graph.node.iter().any(transposes);
            if axes == Axes::ChannelsLast && self.graph.shape(id).len() == 4 && !is_last {
                id = self.image(id).expect("four axes");
            }
            let taken = !matches!(self.graph.value(id).source, Source::Node) || self.graph.outputs.contains(&id);
            if taken {
                let same = (0..self.graph.shape(id).len()).map(Dim::Same).collect();
                id = self.graph.add(self.unique(&info.name), Op::Reshape(same), &[id]).expect("the same shape");
            }
            self.rename(id, &info.name);
            self.graph.outputs.push(id);
        }
        Ok(())
    }

    fn nodes(&mut self) -> Result<(), ImportError> {
        for node in &self.file.graph.node {
            let call = Call { node, opset: self.file.opset };
            self.node(call).map_err(|problem| self.at(call, problem))?;
        }
        Ok(())
    }

    fn node(&mut self, call: Call<'a>) -> Result<(), Problem> {
        let op = call.node.op_type.as_str();
        if let Some(unknown) = call.inputs().find(|name| !self.known.contains_key(name)) {
            return Err(Problem::invalid(format!("reads `{unknown}`, which nothing makes before it")));
        }
        let constants: Option<Vec<_>> = call.inputs().map(|name| Some((name, self.constant_named(name)?))).collect();
        let repeatable = !call.node.attribute.iter().any(|a| a.g.is_some()) && !op.starts_with("Random");
        if is_standard(&call.node.domain)
            && repeatable
            && let Some(inputs) = constants
            && (!inputs.is_empty() || op == "Constant")
        {
            let names = call.node.output.iter().filter(|name| !name.is_empty());
            for (name, tensor) in names.zip(constants::evaluate(call, &inputs)?) {
                self.known.insert(name, Known::Constant(Arc::new(tensor)));
            }
            return Ok(());
        }
        if let Some(answer) = ops::answer(&call) {
            let answer = answer(self, call)?;
            self.known.insert(call.output(), Known::Constant(Arc::new(answer)));
            return Ok(());
        }
        if let Some(extra) = call.node.output.iter().skip(1).find(|name| self.read.contains(name.as_str())) {
            return Err(Problem::unsupported(
                format!("its further output `{extra}` is read"),
                "the first output alone",
            ));
        }
        let integer = (0..call.node.input.len()).find(|&index| self.is_integer(call, index));
        if let Some(index) = integer.filter(|index| !matches!((op, index), ("Cast" | "Identity", _) | ("Gather", 1))) {
            let name = call.input(index).unwrap_or_default();
            let supported = "Cast of it to float first, or rows of a table for token ids";
            return Err(Problem::unsupported(format!("`{name}` holds integers"), supported));
        }
        let lowering = ops::find(&call)?;
        let id = lowering(self, call)?;
        let is_float = match op {
            "Cast" => call.casts_to_float(),
            "Gather" => true,
            _ => integer.is_none(),
        };
        self.known.insert(call.output(), Known::Computed { id, is_float });
        Ok(())
    }

    fn constant_named(&self, name: &str) -> Option<Arc<tract::Tensor>> {
        match self.known.get(name)? {
            Known::Constant(tensor) => Some(Arc::clone(tensor)),
            Known::Computed { .. } => None,
        }
    }

    /// The float parameter of a constant.
    fn param(&mut self, name: &'a str) -> Result<ValueId, Problem> {
        if let Some(&id) = self.params.get(name) {
            return Ok(id);
        }
        let tensor = self.floats(name)?;
        let id = self.add_param(name, tensor)?;
        self.params.insert(name, id);
        Ok(id)
    }

    fn floats(&self, name: &str) -> Result<Tensor, Problem> {
        let constant = self.constant_named(name).ok_or_else(|| computed(name))?;
        floats(&constant).map_err(|problem| Problem::Tensor { tensor: name.to_owned(), problem })
    }

    // What the lowering of an operator asks for.

    /// The ids of tokens, if the graph reads texts.
    pub(super) fn ids(&self) -> Option<ValueId> {
        self.ids
    }

    /// Whether an input is computed from the model's and holds integers, such as ids.
    pub(super) fn is_integer(&self, call: Call<'a>, index: usize) -> bool {
        let known = call.input(index).and_then(|name| self.known.get(name));
        matches!(known, Some(Known::Computed { is_float: false, .. }))
    }

    /// The shape of a value of the graph.
    pub(super) fn shape(&self, id: ValueId) -> &[usize] {
        self.graph.shape(id)
    }

    /// An input of a node, computed or constant.
    pub(super) fn operand(&mut self, call: Call<'a>, index: usize) -> Result<ValueId, Problem> {
        let name = call.input(index).ok_or_else(|| Problem::invalid(format!("input {index} is missing")))?;
        match self.known[name] {
            Known::Computed { id, .. } => Ok(id),
            Known::Constant(_) => self.param(name),
        }
    }

    /// An input that must be constant, as a parameter.
    pub(super) fn stored(&mut self, call: Call<'a>, index: usize) -> Result<ValueId, Problem> {
        self.constant(call, index)?;
        self.operand(call, index)
    }

    /// An input that must be constant, in the type of the file; `None` where it is left out.
    pub(super) fn constant(&self, call: Call<'a>, index: usize) -> Result<Option<Arc<tract::Tensor>>, Problem> {
        let Some(name) = call.input(index) else { return Ok(None) };
        self.constant_named(name).map(Some).ok_or_else(|| computed(name))
    }

    /// Whether an input is there and constant.
    pub(super) fn is_constant(&self, call: Call<'a>, index: usize) -> bool {
        call.input(index).is_some_and(|name| matches!(self.known[name], Known::Constant(_)))
    }

    /// Integers of an input that must be constant; `None` where it is left out.
    pub(super) fn ints(&self, call: Call<'a>, index: usize) -> Result<Option<Vec<i64>>, Problem> {
        let Some(tensor) = self.constant(call, index)? else { return Ok(None) };
        let fail = |e: tract::TractError| Problem::invalid(format!("input {index} holds no integers: {e}"));
        let tensor = tensor.cast_to::<i64>().map_err(fail)?;
        Ok(Some(tensor.to_plain_array_view::<i64>().map_err(fail)?.iter().copied().collect()))
    }

    /// Integers of an input that must be constant, or else of the attribute of that name.
    pub(super) fn ints_or_attribute(
        &self,
        call: Call<'a>,
        index: usize,
        name: &str,
    ) -> Result<Option<Vec<i64>>, Problem> {
        Ok(self.ints(call, index)?.or_else(|| call.ints(name).map(<[i64]>::to_vec)))
    }

    /// One float of an input that must be constant; `None` where it is left out.
    pub(super) fn float(&self, call: Call<'a>, index: usize) -> Result<Option<f32>, Problem> {
        let Some(name) = call.input(index) else { return Ok(None) };
        match self.floats(name)?.data() {
            &[number] => Ok(Some(number)),
            numbers => Err(Problem::invalid(format!("`{name}` must be one number, it has {}", numbers.len()))),
        }
    }

    /// A stored weight; `None` where the input is left out.
    pub(super) fn weight(&self, call: Call<'a>, index: usize) -> Result<Option<Tensor>, Problem> {
        call.input(index).map(|name| self.floats(name)).transpose()
    }

    /// Adds a parameter, whose numbers must be finite.
    pub(super) fn add_param(&mut self, name: &str, tensor: Tensor) -> Result<ValueId, Problem> {
        if let Some((index, number)) = tensor.first_non_finite() {
            let problem =
                format!("holds {number} at element {index} of {:?}; train or export it again", tensor.shape());
            return Err(Problem::Tensor { tensor: name.to_owned(), problem });
        }
        let name = self.unique(name);
        Ok(self.graph.add_param(name, tensor))
    }

    /// Adds the node that does what the ONNX node does, under its names.
    pub(super) fn add(&mut self, call: Call<'a>, op: Op, inputs: &[ValueId]) -> Result<ValueId, Problem> {
        let id = self.graph.add(call.name(), op, inputs)?;
        let name = self.unique(call.output());
        self.graph.value_mut(id).name = name;
        Ok(id)
    }

    /// Adds a node that prepares or finishes the work of an ONNX node, named after it and its own part.
    pub(super) fn part(&mut self, call: Call<'a>, part: &str, op: Op, inputs: &[ValueId]) -> Result<ValueId, Problem> {
        let name = self.unique(&format!("{}.{part}", call.output()));
        Ok(self.graph.add(name, op, inputs)?)
    }

    /// The value with axis 1 moved behind all others, as the float graph has its channels.
    pub(super) fn image(&mut self, x: ValueId) -> Result<ValueId, Problem> {
        if let Some(&done) = self.images.get(&x) {
            return Ok(done);
        }
        let rank = self.shape(x).len();
        let perm = [0].into_iter().chain(2..rank).chain([1]).collect();
        let name = self.unique(&format!("{}.nhwc", self.graph.value(x).name));
        let done = self.graph.add(name, Op::Transpose(perm), &[x])?;
        self.images.insert(x, done);
        Ok(done)
    }

    /// The reverse of [`image`](Self::image).
    pub(super) fn channels_first(&mut self, call: Call<'a>, x: ValueId) -> Result<ValueId, Problem> {
        let rank = self.shape(x).len();
        let perm = [0, rank - 1].into_iter().chain(1..rank - 1).collect();
        let first = self.part(call, "nchw", Op::Transpose(perm), &[x])?;
        self.images.insert(first, x);
        Ok(first)
    }

    fn unique(&self, name: &str) -> String {
        let mut fresh = name.to_owned();
        let mut number = 1;
        while self.graph.find(&fresh).is_some() {
            number += 1;
            fresh = format!("{name}.{number}");
        }
        fresh
    }

    /// Gives a value a name, whoever has it now.
    fn rename(&mut self, id: ValueId, name: &str) {
        if let Some(other) = self.graph.find(name).filter(|&other| other != id) {
            let fresh = self.unique(name);
            self.graph.value_mut(other).name = fresh;
        }
        self.graph.value_mut(id).name = name.to_owned();
    }

    fn at_output(&self, name: &str, problem: Problem) -> ImportError {
        let problem = match problem {
            Problem::Invalid(problem) | Problem::Unsupported { problem, .. } | Problem::Tensor { problem, .. } => {
                problem
            }
        };
        ImportError::Tensor { path: self.path().to_owned(), tensor: name.to_owned(), problem }
    }

    /// A problem as an error that says where it is.
    fn at(&self, call: Call<'a>, problem: Problem) -> ImportError {
        let path = self.path().to_owned();
        let shape = |name: &str| match self.known.get(name) {
            Some(Known::Constant(tensor)) => tensor.shape().to_vec(),
            Some(Known::Computed { id, .. }) => self.shape(*id).to_vec(),
            None => Vec::new(),
        };
        let node = &call.node;
        let op =
            if is_standard(&node.domain) { node.op_type.clone() } else { format!("{}.{}", node.domain, node.op_type) };
        let inputs = call.inputs().map(|name| (name.to_owned(), shape(name))).collect();
        let node = Box::new(NodeInfo { name: call.name().to_owned(), op, opset: call.opset, inputs });
        match problem {
            Problem::Invalid(problem) => ImportError::Invalid { path, node, problem },
            Problem::Unsupported { problem, instead } => ImportError::Unsupported { path, node, problem, instead },
            Problem::Tensor { tensor, problem } => ImportError::Tensor { path, tensor, problem },
        }
    }
}

fn computed(name: &str) -> Problem {
    Problem::unsupported(format!("`{name}` is computed from the model's input"), "stored numbers there")
}

fn is_transpose(node: &pb::NodeProto, perm: &[i64]) -> bool {
    node.op_type == "Transpose" && node.attribute.iter().any(|a| a.name == "perm" && a.ints == perm)
}

/// Shape of an input, an open batch taken as 1, and whether it holds floats.
fn input_type(info: &pb::ValueInfoProto) -> Result<(Vec<usize>, bool), String> {
    use pb::tensor_shape_proto::dimension::Value;
    let tensor = tensor_type(info).ok_or("has no tensor type")?;
    let is_float = match DataType::try_from(tensor.elem_type) {
        Ok(DataType::Float | DataType::Float16 | DataType::Double) => true,
        // Whole numbers up to 16 bits are exact as floats.
        Ok(DataType::Uint8 | DataType::Int8 | DataType::Uint16 | DataType::Int16) => false,
        Ok(other) => return Err(format!("is an input of type {}; inputs must be floats", other.as_str_name())),
        Err(_) => return Err(format!("has the unknown type {}", tensor.elem_type)),
    };
    let dims = &tensor.shape.as_ref().ok_or("is an input without a shape; export it with one")?.dim;
    let size = |(axis, dim): (usize, &pb::tensor_shape_proto::Dimension)| match &dim.value {
        Some(Value::DimValue(n)) if *n > 0 => Ok(*n as usize),
        Some(Value::DimValue(0)) => Err(format!("has no elements along axis {axis}")),
        _ if axis == 0 => Ok(1),
        Some(Value::DimParam(name)) => Err(format!("leaves axis {axis} open (`{name}`); export it with a fixed size")),
        _ => Err(format!("leaves axis {axis} open; export it with a fixed size")),
    };
    Ok((dims.iter().enumerate().map(size).collect::<Result<_, _>>()?, is_float))
}
