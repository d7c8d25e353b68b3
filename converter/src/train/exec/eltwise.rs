//! Operators on single elements: functions of one value, and broadcast sums and products of two.

use super::gemm::Store;
use super::layer::{Inputs, Layer, Point, Scratch, Site};
use super::passes::{Added, Clamp, Copied, Passed, Relu, map};
use super::smooth::Curve;
use super::strided::{Strided, broadcast, dense};
use crate::graph::Unary;

/// A function of each element.
pub(super) struct Map(pub(super) Unary);

/// The vectorized form of a smooth function.
fn curve(function: Unary) -> Option<Curve> {
    match function {
        Unary::Sigmoid => Some(Curve::Sigmoid),
        Unary::Tanh => Some(Curve::Tanh),
        Unary::Gelu => Some(Curve::Gelu),
        Unary::GeluTanh => Some(Curve::GeluTanh),
        _ => None,
    }
}

/// The derivative of a function with corners at `x`, where it has the value `y`; smooth ones are [`Curve`]s.
fn slope(function: Unary, x: f32, y: f32) -> f32 {
    let within = |low: f32, high: f32| if x > low && x < high { 1.0 } else { 0.0 };
    match function {
        Unary::Relu => within(0.0, f32::INFINITY),
        Unary::Clip { min, max } => within(min, max),
        Unary::LeakyRelu { alpha } => {
            if x < 0.0 {
                alpha
            } else {
                1.0
            }
        }
        Unary::HardSwish => {
            if x <= -3.0 {
                0.0
            } else if x < 3.0 {
                x / 3.0 + 0.5
            } else {
                1.0
            }
        }
        Unary::HardSigmoid { alpha, .. } => {
            if y > 0.0 && y < 1.0 {
                alpha
            } else {
                0.0
            }
        }
        Unary::Round { scale, least, most, .. } => within((least - 0.5) * scale, (most + 0.5) * scale),
        Unary::Sigmoid | Unary::Tanh | Unary::Gelu | Unary::GeluTanh => 0.0,
    }
}

impl Layer for Map {
    fn forward(&self, _: usize, x: Inputs<'_>, y: &mut [f32], _: &mut Scratch) {
        let x = x.get(0);
        if let Some(curve) = curve(self.0) {
            return curve.forward(x, y);
        }
        match self.0 {
            Unary::Relu => map(Relu, [x], [], y, Store::Set),
            Unary::Clip { min, max } => map(Clamp { low: min, high: max }, [x], [], y, Store::Set),
            function => y.iter_mut().zip(x).for_each(|(y, &x)| *y = function.apply(x)),
        }
    }

    fn input_grad(&self, _: usize, at: Point<'_>, dx: &mut [f32], store: Store, _: &mut Scratch) {
        if let Some(curve) = curve(self.0) {
            return curve.backward(at.x.get(0), at.dy, dx, store);
        }
        if self.0 == Unary::Relu {
            return map(Passed { floor: 0.0 }, [at.y, at.dy], [], dx, store);
        }
        if let Unary::Clip { min, max } = self.0 {
            return map(Clamp { low: min, high: max }, [at.x.get(0), at.dy], [], dx, store);
        }
        for (i, dx) in dx.iter_mut().enumerate() {
            let value = at.dy[i] * slope(self.0, at.x.get(0)[i], at.y[i]);
            *dx = if store == Store::Add { *dx + value } else { value };
        }
    }
}

/// Which operation joins two tensors.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    Add,
    Mul,
}

/// A sum or product of two tensors, broadcast.
pub(super) struct Binary {
    sign: Sign,
    /// Over (output, left, right).
    walk: Strided<3>,
    len: usize,
    stored: [Vec<f32>; 2],
}

impl Binary {
    pub(super) fn new(site: &Site<'_>, sign: Sign) -> Self {
        let out = site.output();
        let strides = [dense(out), broadcast(site.shape(0), out), broadcast(site.shape(1), out)];
        let walk = Strided::new(out, [&strides[0], &strides[1], &strides[2]], [0; 3]);
        Binary { sign, walk, len: out.iter().product(), stored: Default::default() }
    }

    /// Adds the gradient by one operand of one item.
    fn grad(&self, operand: usize, dy: &[f32], other: &[f32], dx: &mut [f32]) {
        let other_operand = 1 - operand;
        self.walk.runs(|at, len, steps| {
            let (to, step) = (at[1 + operand], steps[1 + operand]);
            let dy = &dy[at[0]..at[0] + len];
            match self.sign {
                Sign::Add => dy.iter().enumerate().for_each(|(i, dy)| dx[to + i * step] += dy),
                Sign::Mul => {
                    let (from, from_step) = (at[1 + other_operand], steps[1 + other_operand]);
                    for (i, dy) in dy.iter().enumerate() {
                        dx[to + i * step] += dy * other[from + i * from_step];
                    }
                }
            }
        });
    }
}

impl Layer for Binary {
    fn prepare(&mut self, operand: usize, values: &[f32]) {
        self.stored[operand] = values.to_vec();
    }

    fn forward(&self, n: usize, x: Inputs<'_>, y: &mut [f32], _: &mut Scratch) {
        for item in 0..n {
            let (a, b) = (x.item(0, item, &self.stored[0]), x.item(1, item, &self.stored[1]));
            let y = &mut y[item * self.len..][..self.len];
            self.walk.runs(|[to, at_a, at_b], len, [_, step_a, step_b]| {
                let y = &mut y[to..to + len];
                match (step_a, step_b, self.sign) {
                    (1, 1, Sign::Add) => {
                        map(Added, [&a[at_a..at_a + len], &b[at_b..at_b + len]], [], y, Store::Set);
                    }
                    (_, _, Sign::Add) => {
                        y.iter_mut().enumerate().for_each(|(i, y)| *y = a[at_a + i * step_a] + b[at_b + i * step_b]);
                    }
                    (_, _, Sign::Mul) => {
                        y.iter_mut().enumerate().for_each(|(i, y)| *y = a[at_a + i * step_a] * b[at_b + i * step_b]);
                    }
                }
            });
        }
    }

    fn input_grad(&self, operand: usize, at: Point<'_>, dx: &mut [f32], store: Store, _: &mut Scratch) {
        let len = dx.len() / at.n;
        if self.sign == Sign::Add && len == self.len {
            return map(Copied, [at.dy], [], dx, store);
        }
        if store == Store::Set {
            dx.fill(0.0);
        }
        for item in 0..at.n {
            let other = at.x.item(1 - operand, item, &self.stored[1 - operand]);
            self.grad(operand, &at.dy[item * self.len..], other, &mut dx[item * len..][..len]);
        }
    }

    fn param_grad(&self, operand: usize, at: Point<'_>, dw: &mut [f32], _: &mut Scratch) {
        for item in 0..at.n {
            let other = at.x.item(1 - operand, item, &self.stored[1 - operand]);
            self.grad(operand, &at.dy[item * self.len..], other, dw);
        }
    }
}
