//! `(x - mean) / sqrt(mean of (x - mean)^2 + eps) * gamma + beta` is LayerNormalization.

use super::{Nodes, along_last, instead};
use crate::teacher::onnx::proto;
use tract_onnx::pb;

/// The node is the sum with beta.
pub(super) fn rule(nodes: &Nodes<'_>, node: &pb::NodeProto) -> Option<pb::NodeProto> {
    let output = node.output.first()?;
    for [scaled, beta] in nodes.pairs(output, "Add") {
        for [normal, gamma] in nodes.pairs(scaled, "Mul") {
            let stored = |name: &str| nodes.makers.get(name).is_none_or(|node| node.op_type == "Constant");
            if let Some((x, eps)) = normalized(nodes, normal).filter(|_| stored(gamma) && stored(beta)) {
                let attributes = vec![proto::int("axis", -1), proto::float("epsilon", eps)];
                return Some(instead(node, "LayerNormalization", &[x, gamma, beta], attributes));
            }
        }
    }
    None
}

/// `x` and epsilon.
fn normalized<'a>(nodes: &Nodes<'a>, name: &'a str) -> Option<(&'a str, f32)> {
    let divided = nodes.inputs(name, "Div").and_then(|inputs| <&[String; 2]>::try_from(inputs).ok());
    let divided = divided.map(|[centred, deviation]| (centred.as_str(), deviation.as_str()));
    let inverse = |[centred, inverse]: [&'a str; 2]| Some((centred, nodes.input(inverse, "Reciprocal")?));
    let (centred, deviation) = divided.or_else(|| nodes.pairs(name, "Mul").into_iter().find_map(inverse))?;
    let x = centre(nodes, centred)?;
    let (eps, variance) = nodes.sum(nodes.input(deviation, "Sqrt")?)?;
    let square = nodes.product(mean_of(nodes, variance)?);
    let of_x = |&value: &&'a str| centre(nodes, value) == Some(x);
    (square.number == 1.0 && square.values.len() == 2 && square.values.iter().all(of_x)).then_some((x, eps))
}

/// `x` if the value is `x` without its mean.
fn centre<'a>(nodes: &Nodes<'a>, name: &'a str) -> Option<&'a str> {
    let [x, mean] = nodes.inputs(name, "Sub")? else { return None };
    let x = nodes.itself(x);
    (mean_of(nodes, mean)? == x).then_some(x)
}

/// What the value is the mean of, along the last axis.
fn mean_of<'a>(nodes: &Nodes<'a>, name: &'a str) -> Option<&'a str> {
    let node =
        nodes.makers.get(nodes.itself(name)).filter(|node| node.op_type == "ReduceMean" && along_last(nodes, node))?;
    node.input.first().map(|x| nodes.itself(x))
}
