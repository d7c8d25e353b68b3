//! Functions of one value; in int8 each is a table of 256 bytes.

use crate::graph::{Tensor, Unary};

/// `f` of every element.
pub fn reference(x: &Tensor, f: Unary) -> Tensor {
    Tensor::new(x.shape(), x.data().iter().map(|&v| f.apply(v)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

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
        ];
        for (f, x, y) in rows {
            let found = reference(&Tensor::scalar(x), f).data()[0];
            assert!((found - y).abs() < 1e-6, "{f:?} of {x} is {found}, not {y}");
        }
    }
}
