//! The operators of the float graph, with their attributes.

use serde::{Deserialize, Serialize};
use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_PI, FRAC_2_SQRT_PI};

/// Rows and columns.
pub type Pair = [usize; 2];

/// Zeros (or, in a max pool, nothing) around an image: top, left, bottom, right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pads {
    /// Rows above.
    pub top: usize,
    /// Columns to the left.
    pub left: usize,
    /// Rows below.
    pub bottom: usize,
    /// Columns to the right.
    pub right: usize,
}

impl Pads {
    /// The same number on every side.
    pub const fn all(n: usize) -> Self {
        Pads { top: n, left: n, bottom: n, right: n }
    }
}

/// Where a window looks: shared by convolutions and pools.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// Kernel height and width.
    pub kernel: Pair,
    /// Step between outputs.
    pub stride: Pair,
    /// Distance between taps; 1 is dense.
    pub dilation: Pair,
    /// What surrounds the image.
    pub pads: Pads,
}

impl Window {
    /// A square, dense window of `kernel`, `stride` and `pad` on every side.
    pub const fn square(kernel: usize, stride: usize, pad: usize) -> Self {
        Window { kernel: [kernel; 2], stride: [stride; 2], dilation: [1; 2], pads: Pads::all(pad) }
    }

    /// Output rows and columns for an input of `[height, width]`; `None` if the window does not fit.
    pub fn output(&self, input: Pair) -> Option<Pair> {
        let pads = [self.pads.top + self.pads.bottom, self.pads.left + self.pads.right];
        let mut out = [0; 2];
        for axis in 0..2 {
            let reach = self.dilation[axis].checked_mul(self.kernel[axis].checked_sub(1)?)?.checked_add(1)?;
            out[axis] = (input[axis] + pads[axis]).checked_sub(reach)?.checked_div(self.stride[axis])? + 1;
        }
        Some(out)
    }
}

/// A function of one value, applied to every element.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Unary {
    /// `max(x, 0)`
    Relu,
    /// `min(max(x, min), max)`; ReLU6 is `Clip { 0, 6 }`.
    Clip {
        /// Lower bound.
        min: f32,
        /// Upper bound.
        max: f32,
    },
    /// `x` or `alpha * x` where negative.
    LeakyRelu {
        /// Slope of the negative side.
        alpha: f32,
    },
    /// `x * clip(x / 6 + 0.5, 0, 1)`
    HardSwish,
    /// `clip(alpha * x + beta, 0, 1)`
    HardSigmoid {
        /// Slope.
        alpha: f32,
        /// Value at zero.
        beta: f32,
    },
    /// `1 / (1 + exp(-x))`
    Sigmoid,
    /// Hyperbolic tangent.
    Tanh,
    /// `x * (1 + erf(x / sqrt(2))) / 2` (Hendrycks and Gimpel 2016).
    Gelu,
    /// The approximation of [`Unary::Gelu`] by `tanh(sqrt(2 / pi) * (x + 0.044715 * x^3))`.
    GeluTanh,
    /// The nearest of equally distant numbers, of two the larger: `counts * clamp(floor(x / scale + 0.5), least, most)`. Gradients go
    /// straight through wherever it does not clamp.
    Round {
        /// Distance of the numbers.
        scale: f32,
        /// How often the distance the smallest one is; a whole number.
        least: f32,
        /// The same of the largest one.
        most: f32,
        /// What stands for the distance in the result: `scale`, or what a reader takes it for.
        counts: f32,
    },
}

impl Unary {
    /// The function's name, as in dumps and messages.
    pub fn name(self) -> &'static str {
        match self {
            Unary::Relu => "Relu",
            Unary::Clip { .. } => "Clip",
            Unary::LeakyRelu { .. } => "LeakyRelu",
            Unary::HardSwish => "HardSwish",
            Unary::HardSigmoid { .. } => "HardSigmoid",
            Unary::Sigmoid => "Sigmoid",
            Unary::Tanh => "Tanh",
            Unary::Gelu => "Gelu",
            Unary::GeluTanh => "GeluTanh",
            Unary::Round { .. } => "Round",
        }
    }

    /// The function itself.
    pub fn apply(self, x: f32) -> f32 {
        match self {
            Unary::Relu => x.max(0.0),
            Unary::Clip { min, max } => x.max(min).min(max),
            Unary::LeakyRelu { alpha } => {
                if x < 0.0 {
                    alpha * x
                } else {
                    x
                }
            }
            Unary::HardSwish => x * (x / 6.0 + 0.5).clamp(0.0, 1.0),
            Unary::HardSigmoid { alpha, beta } => (alpha * x + beta).clamp(0.0, 1.0),
            Unary::Sigmoid => 1.0 / (1.0 + (-x).exp()),
            Unary::Tanh => x.tanh(),
            Unary::Gelu => {
                let wide = f64::from(x);
                (0.5 * wide * (1.0 + erf(wide * FRAC_1_SQRT_2))) as f32
            }
            Unary::GeluTanh => {
                let wide = f64::from(x);
                let inner = (FRAC_2_PI).sqrt() * (wide + 0.044_715 * wide * wide * wide);
                (0.5 * wide * (1.0 + inner.tanh())) as f32
            }
            Unary::Round { scale, least, most, counts } => counts * (x / scale + 0.5).floor().clamp(least, most),
        }
    }

    /// The bounds, if the function is only a clamp: then int8 needs no table for it.
    pub fn as_clamp(self) -> Option<(f32, f32)> {
        match self {
            Unary::Relu => Some((0.0, f32::INFINITY)),
            Unary::Clip { min, max } => Some((min, max)),
            _ => None,
        }
    }
}

/// The error function, to the last digits of an `f64`: its series where that converges fast, and its limit beyond.
fn erf(x: f64) -> f64 {
    if x.abs() > 5.0 {
        // 1 - erf(5) is 1.5e-12.
        return x.signum();
    }
    // erf(x) = 2 / sqrt(pi) * exp(-x^2) * sum of 2^n x^(2n + 1) / (1 * 3 * .. * (2n + 1)): all terms of one sign.
    let (mut term, mut sum, mut odd) = (x, x, 1.0);
    while term.abs() > sum.abs() * 1e-17 {
        odd += 2.0;
        term *= 2.0 * x * x / odd;
        sum += term;
    }
    FRAC_2_SQRT_PI * (-x * x).exp() * sum
}

/// Which one vector stands for a whole sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pick {
    /// That of the first token.
    First,
    /// The mean over all tokens.
    Mean,
}

/// One size of the target shape of [`Op::Reshape`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dim {
    /// This many.
    Size(usize),
    /// As many as the input has on the axis of this number.
    Same(usize),
    /// What is left over; at most one in a shape.
    Rest,
}

/// An operator. Images are `[batch, height, width, channels]`; the inputs of each are listed with it.
///
/// A batch of texts begins as `ids`, `[batch, length]`: the numbers of its tokens, and behind the end of a text that is
/// shorter than others -1. Sequences made of them are `[batch, length, width]`; what stands in their rows behind the end
/// of a text means nothing, and no operator lets it reach other rows.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// Convolution. Inputs: image, weight `[out, kernel rows, kernel columns, in / groups]`, bias `[out]` (may be absent);
    /// a depthwise convolution is one with as many groups as input channels.
    Conv2d {
        /// Kernel, stride, dilation, padding with zeros.
        window: Window,
        /// Number of independent groups of channels.
        groups: usize,
    },
    /// Fully connected on the last axis. Inputs: `[.., in]`, weight `[out, in]`, bias `[out]` (may be absent).
    Linear,
    /// Product of two computed tensors over their last two axes, the others broadcast.
    MatMul,
    /// Normalization of the last axis by stored statistics. Inputs: x, gamma, beta, mean, variance.
    BatchNorm {
        /// Added to the variance.
        eps: f32,
    },
    /// Rows of a table for the tokens, plus rows for their positions. Inputs: ids, table `[vocabulary, width]`, table
    /// `[length or more, width]` for the first positions (may be absent). Makes `[batch, length, width]`.
    Embedding,
    /// Each vector along the last axis shifted and scaled to mean 0 and variance 1, then `gamma * x + beta` (Ba et al.
    /// 2016). Inputs: x, gamma, beta.
    LayerNorm {
        /// Added to the variance.
        eps: f32,
    },
    /// Each vector along the last axis scaled to length 1; one of zeros stays.
    Normalize,
    /// Attention of each token to all tokens of its text (Vaswani et al. 2017), by groups of neighbouring channels:
    /// `softmax(q k^T / sqrt(width / heads)) v`. Inputs: q, k, v, all `[batch, length, width]`, and the ids.
    Attention {
        /// Number of groups.
        heads: usize,
    },
    /// One vector for each text: `[batch, length, width]` to `[batch, width]`. Inputs: x and the ids.
    Pick(Pick),
    /// A function of each element.
    Unary(Unary),
    /// Sum of two tensors, broadcast by NumPy's rule.
    Add,
    /// Product of two tensors, broadcast by NumPy's rule.
    Mul,
    /// Largest value under the window; padding never wins.
    MaxPool(Window),
    /// Mean under the window.
    AvgPool {
        /// Kernel, stride, dilation, padding.
        window: Window,
        /// Whether padding counts as zeros in the mean.
        count_pad: bool,
    },
    /// Mean over rows and columns: `[n, h, w, c]` to `[n, 1, 1, c]`.
    GlobalAvgPool,
    /// `exp(x) / sum(exp(x))` along an axis.
    Softmax {
        /// The axis.
        axis: usize,
    },
    /// Tensors one after another along an axis.
    Concat {
        /// The axis.
        axis: usize,
    },
    /// A constant around a tensor: `(before, after)` for each axis.
    Pad {
        /// Elements added before and after, axis by axis.
        pads: Vec<(usize, usize)>,
        /// What they are.
        value: f32,
    },
    /// Every `step`-th element of an axis from `start`, `len` of them.
    Slice {
        /// The axis.
        axis: usize,
        /// First index.
        start: usize,
        /// Distance between indices.
        step: usize,
        /// Number of indices.
        len: usize,
    },
    /// The same elements in the same order under another shape.
    Reshape(Vec<Dim>),
    /// Axes reordered: axis `i` of the output is axis `perm[i]` of the input.
    Transpose(Vec<usize>),
}

impl Op {
    /// The operator's name, as in dumps and messages.
    pub fn name(&self) -> &'static str {
        match self {
            Op::Conv2d { .. } => "Conv2d",
            Op::Linear => "Linear",
            Op::MatMul => "MatMul",
            Op::BatchNorm { .. } => "BatchNorm",
            Op::Embedding => "Embedding",
            Op::LayerNorm { .. } => "LayerNorm",
            Op::Normalize => "Normalize",
            Op::Attention { .. } => "Attention",
            Op::Pick(_) => "Pick",
            Op::Unary(_) => "Unary",
            Op::Add => "Add",
            Op::Mul => "Mul",
            Op::MaxPool(_) => "MaxPool",
            Op::AvgPool { .. } => "AvgPool",
            Op::GlobalAvgPool => "GlobalAvgPool",
            Op::Softmax { .. } => "Softmax",
            Op::Concat { .. } => "Concat",
            Op::Pad { .. } => "Pad",
            Op::Slice { .. } => "Slice",
            Op::Reshape(_) => "Reshape",
            Op::Transpose(_) => "Transpose",
        }
    }
}
