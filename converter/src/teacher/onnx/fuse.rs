//! What exporters write out in parts becomes one ONNX node again, before anything is lowered: one rule a file.
//!
//! The standard has had LayerNormalization since opset 17 and Gelu since 20; older files spell them out in operators that the float
//! graph has no other use for.

mod gelu;
mod layer_norm;
mod normalize;

use super::call::Call;
use super::file::{self, ModelFile};
use super::proto;
use std::collections::{HashMap, HashSet};
use tract_onnx::pb;

/// What should stand in the place of a node, under the same name of its output.
type Rule = fn(&Nodes<'_>, &pb::NodeProto) -> Option<pb::NodeProto>;

const RULES: &[Rule] = &[layer_norm::rule, gelu::rule, normalize::rule];

/// `nodes` of a file after all rules, without those that no output depends on: the named one, or else none of the file's.
pub(super) fn fuse(file: &ModelFile, nodes: &[pb::NodeProto], output: Option<&str>) -> Vec<pb::NodeProto> {
    let all = Nodes::new(file, nodes);
    let fused = |node: &pb::NodeProto| RULES.iter().find_map(|rule| rule(&all, node)).unwrap_or_else(|| node.clone());
    let mut needed: HashSet<String> = match output {
        Some(output) => HashSet::from([output.to_owned()]),
        None => file.graph.output.iter().map(|output| output.name.clone()).collect(),
    };
    let mut kept = Vec::new();
    for node in nodes.iter().rev() {
        if node.output.iter().any(|name| needed.contains(name)) {
            let node = fused(node);
            needed.extend(node.input.iter().cloned());
            kept.push(node);
        }
    }
    kept.reverse();
    kept
}

/// A product of numbers and values.
struct Product<'a> {
    number: f32,
    values: Vec<&'a str>,
}

/// The nodes of a graph by what they make.
struct Nodes<'a> {
    makers: HashMap<&'a str, &'a pb::NodeProto>,
    /// Constants of one float.
    numbers: HashMap<&'a str, f32>,
}

impl<'a> Nodes<'a> {
    fn new(file: &'a ModelFile, nodes: &'a [pb::NodeProto]) -> Self {
        let makers = nodes.iter().flat_map(|node| node.output.iter().map(move |name| (name.as_str(), node)));
        let number = |proto: &pb::TensorProto| {
            let single = proto.dims.iter().all(|&size| size == 1);
            let tensor = single.then(|| file.tensor(proto).ok())??;
            file::floats(&tensor).ok()?.data().first().copied()
        };
        let stored = file.graph.initializer.iter().filter_map(|proto| Some((proto.name.as_str(), number(proto)?)));
        let constant = |node: &'a pb::NodeProto| {
            let attribute = |name: &str| node.attribute.iter().find(|attribute| attribute.name == name);
            let value = attribute("value").and_then(|value| number(value.t.as_ref()?));
            Some((node.output.first()?.as_str(), value.or_else(|| attribute("value_float").map(|value| value.f))?))
        };
        let constants = nodes.iter().filter(|node| node.op_type == "Constant").filter_map(constant);
        Nodes { makers: makers.collect(), numbers: stored.chain(constants).collect() }
    }

    /// The value that a name stands for, behind nodes that change nothing but the type of floats.
    fn itself(&self, mut name: &'a str) -> &'a str {
        while let Some(node) = self.makers.get(name)
            && let [before] = &node.input[..]
            && (node.op_type == "Identity" || (node.op_type == "Cast" && Call { node, opset: 0 }.casts_to_float()))
        {
            name = before;
        }
        name
    }

    /// The inputs of the node that makes a value, if it is of this operator.
    fn inputs(&self, name: &'a str, op: &str) -> Option<&'a [String]> {
        let node =
            self.makers.get(self.itself(name)).filter(|node| node.op_type == op && file::is_standard(&node.domain))?;
        Some(&node.input)
    }

    /// The only input of such a node.
    fn input(&self, name: &'a str, op: &str) -> Option<&'a str> {
        let [input] = self.inputs(name, op)? else { return None };
        Some(self.itself(input))
    }

    /// The two inputs of such a node, in both orders.
    fn pairs(&self, name: &'a str, op: &str) -> Vec<[&'a str; 2]> {
        match self.inputs(name, op) {
            Some([a, b]) => vec![[self.itself(a), self.itself(b)], [self.itself(b), self.itself(a)]],
            _ => Vec::new(),
        }
    }

    fn number(&self, name: &'a str) -> Option<f32> {
        self.numbers.get(self.itself(name)).copied()
    }

    /// The number and the other operand of a sum with a number.
    fn sum(&self, name: &'a str) -> Option<(f32, &'a str)> {
        self.pairs(name, "Add").into_iter().find_map(|[x, number]| Some((self.number(number)?, x)))
    }

    /// A value as a product, however its factors are grouped.
    fn product(&self, name: &'a str) -> Product<'a> {
        let mut product = Product { number: 1.0, values: Vec::new() };
        self.multiply(&mut product, name, 1);
        product
    }

    fn multiply(&self, product: &mut Product<'a>, name: &'a str, times: usize) {
        let name = self.itself(name);
        if let Some(number) = self.number(name) {
            product.number *= number.powi(times as i32);
        } else if let Some([a, b]) = self.inputs(name, "Mul") {
            self.multiply(product, a, times);
            self.multiply(product, b, times);
        } else if let Some([a, b]) = self.inputs(name, "Div")
            && let Some(number) = self.number(b)
        {
            product.number /= number.powi(times as i32);
            self.multiply(product, a, times);
        } else if let Some([base, power]) = self.inputs(name, "Pow")
            && let Some(power @ (2.0 | 3.0)) = self.number(power)
        {
            self.multiply(product, base, times * power as usize);
        } else {
            product.values.extend(std::iter::repeat_n(name, times));
        }
    }
}

impl Product<'_> {
    /// Whether it is this number times these values.
    fn is(&self, number: f32, values: &[&str]) -> bool {
        let sorted = |values: &[&str]| {
            let mut values: Vec<String> = values.iter().map(|&value| value.to_owned()).collect();
            values.sort_unstable();
            values
        };
        near(self.number, number) && sorted(&self.values) == sorted(values)
    }
}

/// Whether a number is another that exporters have rounded.
fn near(found: f32, number: f32) -> bool {
    (found - number).abs() <= 1e-5 * number.abs()
}

/// Whether a reduction is along the last axis alone, which it keeps.
fn along_last(nodes: &Nodes<'_>, node: &pb::NodeProto) -> bool {
    let attribute = |name: &str| node.attribute.iter().find(|attribute| attribute.name == name);
    let keeps = attribute("keepdims").is_none_or(|keeps| keeps.i == 1);
    let last = match (attribute("axes"), node.input.get(1)) {
        (Some(axes), _) => axes.ints == [-1],
        (None, Some(axes)) => nodes.numbers.get(axes.as_str()) == Some(&-1.0),
        (None, None) => false,
    };
    keeps && last
}

/// A node of the standard with the name and output of another.
fn instead(node: &pb::NodeProto, op: &str, inputs: &[&str], attributes: Vec<pb::AttributeProto>) -> pb::NodeProto {
    let output = node.output.first().map_or("", String::as_str);
    proto::node(&node.name, op, inputs, output, attributes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Tensor;
    use std::path::PathBuf;

    /// What becomes of nodes written as `output = Op inputs`, in which numbers stand for themselves and all reductions are along the
    /// last axis.
    fn fused(lines: &[&str]) -> Vec<String> {
        let mut graph = pb::GraphProto::default();
        for line in lines {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [output, "=", op, inputs @ ..] = &words[..] else { panic!("{line}") };
            for number in inputs.iter().filter(|word| word.parse::<f32>().is_ok()) {
                let value = Tensor::scalar(number.parse().unwrap());
                graph.initializer.push(proto::floats(number, &[], value.data()));
            }
            let axes = pb::AttributeProto { ints: vec![-1], ..proto::ints("axes", &[]) };
            let attributes = if op.starts_with("Reduce") { vec![axes] } else { Vec::new() };
            graph.node.push(proto::node("", op, inputs, output, attributes));
        }
        let file = ModelFile { path: PathBuf::new(), graph, opset: 11 };
        let text = |node: &pb::NodeProto| {
            let texts = node.attribute.iter().map(|attribute| String::from_utf8(attribute.s.clone()).unwrap());
            let words: Vec<String> = node.input.iter().cloned().chain(texts.filter(|text| !text.is_empty())).collect();
            format!("{} = {} {}", node.output[0], node.op_type, words.join(" "))
        };
        fuse(&file, &file.graph.node, Some("y")).iter().map(text).collect()
    }

    #[test]
    fn every_way_of_writing_gelu_is_known() {
        let gate = ["g = Add t 1", "h = Mul 0.5 x", "y = Mul h g"];
        let rows: [(&[&str], &str); 4] = [
            (&["s = Div x 1.4142135", "e = Erf s", "g = Add e 1", "p = Mul x g", "y = Mul p 0.5"], "none"),
            (&["s = Mul 0.70710677 x", "e = Erf s", "g = Add 1 e", "p = Mul g x", "y = Div p 2"], "none"),
            (&["c = Pow x 3", "k = Mul 0.044715 c", "i = Add x k", "o = Mul i 0.7978846", "t = Tanh o"], "tanh"),
            (
                &[
                    "a = Mul x 0.7978846",
                    "b = Mul x 0.044715",
                    "c = Mul b x",
                    "d = Add 1 c",
                    "i = Mul a d",
                    "t = Tanh i",
                ],
                "tanh",
            ),
        ];
        for (lines, form) in rows {
            let whole = if form == "tanh" { [lines, &gate].concat() } else { lines.to_vec() };
            assert_eq!(fused(&whole), [format!("y = Gelu x {form}")]);
        }
        let other = ["t = Tanh x", "g = Add t 1", "h = Mul 0.5 x", "y = Mul h g"];
        assert_eq!(fused(&other), other);
    }

    #[test]
    fn every_way_of_writing_layer_normalization_is_known() {
        let ends = ["s = Mul n gamma", "y = Add beta s"];
        let begins = ["m = ReduceMean x", "d = Sub x m"];
        let rows: [&[&str]; 3] = [
            &["q = Pow d 2", "v = ReduceMean q", "w = Add v 0.1", "r = Sqrt w", "n = Div d r"],
            &["q = Mul d d", "v = ReduceMean q", "w = Add 0.1 v", "r = Sqrt w", "i = Reciprocal r", "n = Mul i d"],
            &["k = Sub x m", "q = Mul k k", "v = ReduceMean q", "w = Add v 0.1", "r = Sqrt w", "n = Div d r"],
        ];
        for lines in rows {
            assert_eq!(fused(&[&begins[..], lines, &ends[..]].concat()), ["y = LayerNormalization x gamma beta"]);
        }
        // Not its own mean.
        let other = ["m = ReduceMean z", "d = Sub x m"];
        let lines = [&other[..], rows[0], &ends[..]].concat();
        assert_eq!(fused(&lines), lines);
    }

    #[test]
    fn vectors_of_length_one_are_known() {
        let rows: [&[&str]; 3] = [
            &["l = ReduceL2 x", "c = Clip l 1e-12", "z = Expand c shape", "y = Div x z"],
            &["l = ReduceL2 x", "c = Max l 1e-12", "y = Div x c"],
            &["l = ReduceL2 x", "y = Div x l"],
        ];
        for lines in rows {
            assert_eq!(fused(lines), ["y = LpNormalization x"]);
        }
        let other = ["l = ReduceL2 x", "c = Clip l 1", "y = Div x c"];
        assert_eq!(fused(&other), other);
    }
}
