//! `x / max(|x|, tiny)`, with the length taken along one axis, is LpNormalization.

use super::{Nodes, instead};
use crate::teacher::onnx::proto;
use tract_onnx::pb;

/// Bounds below which no vector that means something is.
const TINY: f32 = 1e-6;

/// The node is the quotient.
pub(super) fn rule(nodes: &Nodes<'_>, node: &pb::NodeProto) -> Option<pb::NodeProto> {
    let [x, length] = nodes.inputs(node.output.first()?, "Div")? else { return None };
    let mut length = nodes.itself(length);
    loop {
        let maker = nodes.makers.get(length)?;
        let inputs: Vec<&str> = maker.input.iter().map(String::as_str).filter(|name| !name.is_empty()).collect();
        length = match (maker.op_type.as_str(), &inputs[..]) {
            // As large as `x` again.
            ("Expand", &[small, _]) => nodes.itself(small),
            ("Clip" | "Max", &[any, least])
                if nodes.number(least).is_some_and(|least| (0.0..=TINY).contains(&least)) =>
            {
                nodes.itself(any)
            }
            ("Clip", &[any]) if attribute(maker, "min").is_some_and(|least| (0.0..=TINY).contains(&least.f)) => {
                nodes.itself(any)
            }
            ("ReduceL2", &[of, ref axes @ ..]) if nodes.itself(of) == nodes.itself(x) => {
                let axis = match (attribute(maker, "axes"), axes) {
                    (Some(axes), _) => <[i64; 1]>::try_from(&axes.ints[..]).ok()?[0],
                    (None, &[axes]) => nodes.number(axes)? as i64,
                    _ => return None,
                };
                let keeps = attribute(maker, "keepdims").is_none_or(|keeps| keeps.i == 1);
                let attributes = vec![proto::int("axis", axis), proto::int("p", 2)];
                return keeps.then(|| instead(node, "LpNormalization", &[nodes.itself(x)], attributes));
            }
            _ => return None,
        };
    }
}

fn attribute<'a>(node: &'a pb::NodeProto, name: &str) -> Option<&'a pb::AttributeProto> {
    node.attribute.iter().find(|attribute| attribute.name == name)
}
