//! `x / 2 * (1 + erf(x / sqrt(2)))`, and its approximation by tanh, are Gelu, however their factors are grouped.

use super::{Nodes, instead, near};
use crate::teacher::onnx::proto;
use std::f32::consts::{FRAC_1_SQRT_2, FRAC_2_PI};
use tract_onnx::pb;

/// The factor of the cube in the approximation.
const CUBIC: f32 = 0.044_715;

/// The node is the last product.
pub(super) fn rule(nodes: &Nodes<'_>, node: &pb::NodeProto) -> Option<pb::NodeProto> {
    if !matches!(node.op_type.as_str(), "Mul" | "Div") {
        return None;
    }
    let product = nodes.product(node.output.first()?);
    let &[a, b] = &product.values[..] else { return None };
    let form = [(a, b), (b, a)].into_iter().find_map(|(x, gate)| Some((x, form(nodes, gate, x)?)));
    let (x, form) = form.filter(|_| near(product.number, 0.5))?;
    Some(instead(node, "Gelu", &[x], vec![proto::text("approximate", form)]))
}

/// How the gate of a Gelu of `x` is computed, if a value is one.
fn form<'a>(nodes: &Nodes<'a>, gate: &'a str, x: &str) -> Option<&'static str> {
    let (1.0, function) = nodes.sum(gate)? else { return None };
    if let Some(scaled) = nodes.input(function, "Erf") {
        return nodes.product(scaled).is(FRAC_1_SQRT_2, &[x]).then_some("none");
    }
    let inner = nodes.product(nodes.input(function, "Tanh")?);
    let fits = match inner.values[..] {
        // x + c x^3
        [sum] => nodes.pairs(sum, "Add").into_iter().any(|[a, b]| a == x && nodes.product(b).is(CUBIC, &[x, x, x])),
        // x (1 + c x^2)
        [a, b] => [(a, b), (b, a)].into_iter().any(|(own, sum)| {
            let square = nodes.sum(sum).filter(|&(one, _)| own == x && one == 1.0);
            square.is_some_and(|(_, square)| nodes.product(square).is(CUBIC, &[x, x]))
        }),
        _ => false,
    };
    (fits && near(inner.number, FRAC_2_PI.sqrt())).then_some("tanh")
}
