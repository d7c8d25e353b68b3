//! Functions of one value; in int8 each is a table of 256 bytes.

use crate::graph::{Tensor, Unary};
use crate::quantize::{QuantOp, Site};

/// `f` of every element.
pub fn reference(x: &Tensor, f: Unary) -> Tensor {
    Tensor::new(x.shape(), x.data().iter().map(|&v| f.apply(v)).collect())
}

/// The int8 form: a table.
pub fn lower(site: &Site<'_>, f: Unary) -> QuantOp {
    site.table(|x| f.apply(x))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Graph, Op};
    use crate::quantize::Affine;
    use limbeck_runtime::Element;

    #[test]
    fn functions_have_their_known_values() {
        let rows = [
            (Unary::Relu, -1.0, 0.0),
            (Unary::Clip { min: 0.0, max: 6.0 }, 7.0, 6.0),
            (Unary::LeakyRelu { alpha: 0.5 }, -3.0, -1.5),
            (Unary::HardSwish, 1.0, 4.0 / 6.0),
            (Unary::HardSwish, -3.0, 0.0),
            (Unary::HardSigmoid { alpha: 0.2, beta: 0.5 }, 1.0, 0.7),
            (Unary::Sigmoid, 0.0, 0.5),
            (Unary::Tanh, 0.0, 0.0),
            (Unary::Gelu, 1.0, 0.841_344_7),
            (Unary::Gelu, -3.0, -0.004_049_694),
            (Unary::Gelu, 9.0, 9.0),
            (Unary::Gelu, -9.0, 0.0),
            (Unary::GeluTanh, 1.0, 0.841_192),
        ];
        for (f, x, y) in rows {
            let found = reference(&Tensor::scalar(x), f).data()[0];
            assert!((found - y).abs() < 1e-6, "{f:?} of {x} is {found}, not {y}");
        }
    }

    #[test]
    fn tables_hold_the_whole_chain_of_functions() {
        let mut graph = Graph::new("g");
        let x = graph.input("x", [1, 1]);
        graph.add("leaky", Op::Unary(Unary::LeakyRelu { alpha: 0.5 }), &[x]).unwrap();
        let (a, b) = (Affine { scale: 0.5, zero_point: 0 }, Affine { scale: 0.25, zero_point: -10 });
        let then = [Unary::Clip { min: -1.0, max: 2.0 }];
        let site =
            Site { graph: &graph, node: &graph.nodes[0], inputs: &[a], output: b, element: Element::Int8, then: &then };
        let QuantOp::Lut { table } = lower(&site, Unary::LeakyRelu { alpha: 0.5 }) else { unreachable!() };
        for (q, expected) in [(0i8, -10), (3, -4), (4, -2), (100, -2), (-2, -12), (-4, -14), (-128, -14)] {
            assert_eq!(table[usize::from(q as u8)], expected, "{q}");
        }
    }
}
