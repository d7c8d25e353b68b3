//! A model as a program for a GPU: dispatches of shaders, their parameters, and all constants.

use super::GpuError;
use super::ops;
use super::values::{Call, QUAD, Value, Values};
use limbeck_runtime::Model;
use limbeck_runtime::ops::Window;
use limbeck_runtime::quant::{Channels, EXP2, Output};
use limbeck_runtime::tensor::Shape;

/// A compute shader: WGSL behind the prelude, with one entry point `main`.
#[derive(Debug)]
pub(super) struct Shader {
    /// Its file's name.
    pub(super) name: &'static str,
    /// Its parts in order.
    pub(super) source: &'static [&'static str],
}

/// What all shaders begin with.
pub(super) const PRELUDE: &str = include_str!("prelude.wgsl");
/// What shaders of windows have next.
pub(super) const WINDOW: &str = include_str!("window.wgsl");

/// A shader of this folder.
macro_rules! shader {
    ($name:literal $(, $part:expr)*) => {
        crate::verify::gpu::program::Shader {
            name: $name,
            source: &[crate::verify::gpu::program::PRELUDE $(, $part)*, include_str!(concat!($name, ".wgsl"))],
        }
    };
}
pub(super) use shader;

static RESHAPE: Shader = shader!("reshape");

/// One shader over a batch.
#[derive(Clone, Debug)]
pub(super) struct Dispatch {
    /// What runs.
    pub(super) shader: &'static Shader,
    /// Its `struct Op`.
    pub(super) params: Vec<u32>,
    /// Items that an example has in each tile.
    pub(super) items: usize,
    /// Items of an invocation.
    pub(super) together: usize,
    /// Tiles.
    pub(super) tiles: usize,
}

/// A model for a GPU.
#[derive(Debug)]
pub(super) struct Program {
    /// Where values lie.
    pub(super) values: Values,
    /// What runs, in order.
    pub(super) dispatches: Vec<Dispatch>,
    /// Weights and tables, in vectors of four words.
    pub(super) constants: Vec<u32>,
    /// Products of weights that an example takes, and elements that other ops make.
    pub(super) work: usize,
}

impl Program {
    /// The program of a model whose weights are in [plain](limbeck_runtime::Layout::PLAIN) order.
    ///
    /// # Errors
    /// If it uses its arena as no model of the converter does.
    pub(super) fn new(model: &Model<'_>) -> Result<Program, GpuError> {
        let values = Values::of(model)?;
        let mut lowering = Lowering::default();
        for (view, call) in model.ops().zip(&values.calls) {
            for &[from, to] in &call.reshaped {
                let channels = [from, to].map(|value| value.tensor.shape.channels);
                let params = Params::of(&to).value(&from).value(&to).sizes(&channels);
                lowering.quads(&RESHAPE, &to, params);
            }
            if let Some(op) = view.op() {
                ops::lower(&op, call, &mut lowering);
            }
        }
        let Lowering { dispatches, constants, work, .. } = lowering;
        Ok(Program { values, dispatches, constants, work })
    }
}

/// A program that is being made.
#[derive(Debug, Default)]
pub(super) struct Lowering {
    dispatches: Vec<Dispatch>,
    constants: Vec<u32>,
    /// Where the powers of two are, once an op has asked for them.
    exp2: Option<u32>,
    work: usize,
}

impl Lowering {
    /// A shader that makes a quad of the output in each invocation.
    pub(super) fn quads(&mut self, shader: &'static Shader, output: &Value, params: Params) {
        let shape = output.tensor.shape;
        self.dispatch(shader, shape.pixels() * shape.channels.div_ceil(QUAD), params);
    }

    /// A shader with so many invocations for an example.
    pub(super) fn dispatch(&mut self, shader: &'static Shader, items: usize, Params(params): Params) {
        self.work += items;
        self.dispatches.push(Dispatch { shader, params, items, together: 1, tiles: 1 });
    }

    /// A shader that makes some items of a tile in each invocation, with so many products for each of them.
    pub(super) fn tiles(
        &mut self,
        shader: &'static Shader,
        [items, together, tiles]: [usize; 3],
        products: usize,
        Params(params): Params,
    ) {
        self.work += items * tiles * products;
        self.dispatches.push(Dispatch { shader, params, items, together, tiles });
    }

    /// Puts words among the constants, at the beginning of a vector, and gives the number of the first.
    pub(super) fn constants(&mut self, words: impl IntoIterator<Item = u32>) -> u32 {
        let at = self.constants.len();
        self.constants.extend(words);
        self.constants.resize(self.constants.len().next_multiple_of(4), 0);
        at as u32
    }

    /// Pairs of a multiplier and a shift.
    pub(super) fn factors(&mut self, multipliers: &[i32], shifts: &[u8]) -> u32 {
        let pairs = multipliers.iter().zip(shifts);
        self.constants(pairs.flat_map(|(&multiplier, &shift)| [multiplier.cast_unsigned(), shift.into()]))
    }

    /// The powers of two of softmax and attention.
    pub(super) fn exp2(&mut self) -> u32 {
        let at = self.exp2.unwrap_or_else(|| self.constants(EXP2.iter().map(|&power| power.into())));
        self.exp2 = Some(at);
        at
    }
}

/// Four bytes as a word.
pub(super) fn word(bytes: [i8; QUAD]) -> u32 {
    u32::from_le_bytes(bytes.map(i8::cast_unsigned))
}

/// Bias, multiplier and shift of the four channels from `first` on: three vectors. What is missing is rescaled to 0.
pub(super) fn channels_of(channels: &Channels<'_>, first: usize) -> impl Iterator<Item = u32> {
    let quad = |word: &dyn Fn(usize) -> Option<u32>, missing| [0, 1, 2, 3].map(|i| word(first + i).unwrap_or(missing));
    let bias = quad(&|o| channels.bias.get(o).map(|b| b.cast_unsigned()), 0);
    let multiplier = quad(&|o| channels.multiplier.get(o).map(|m| m.cast_unsigned()), 1 << 30);
    let shift = quad(&|o| channels.shift.get(o).map(|&s| s.into()), 1);
    [bias, multiplier, shift].into_iter().flatten()
}

/// The words of a shader's `struct Op`, put down in its order.
#[derive(Clone, Debug)]
pub(super) struct Params(Vec<u32>);

impl Params {
    /// Begins with the pixels of the output.
    pub(super) fn of(output: &Value) -> Self {
        Params(vec![output.tensor.shape.pixels() as u32])
    }

    /// A `Place`.
    pub(super) fn value(self, value: &Value) -> Self {
        self.place(value, value.pixel_words())
    }

    /// The `Place` of a value that is the same for all pixels of the output, unless it has as many.
    pub(super) fn repeated(self, value: &Value, output: &Value) -> Self {
        let each = value.tensor.shape == output.tensor.shape;
        self.place(value, if each { value.pixel_words() } else { 0 })
    }

    fn place(self, value: &Value, pixel_words: usize) -> Self {
        let tensor = value.tensor;
        let rows = if tensor.sequence { 0 } else { tensor.shape.pixels() };
        let wide = tensor.element.bytes() - 1;
        self.sizes(&[value.offset, value.words(), pixel_words, wide, rows])
    }

    /// A `Window` between two images.
    pub(super) fn window(self, window: &Window, input: Shape, output: Shape) -> Self {
        let Window { kernel, stride, dilation, pad } = window;
        self.sizes(&[input.height, input.width, output.width]).sizes(kernel).sizes(stride).sizes(dilation).sizes(pad)
    }

    /// A `Range`.
    pub(super) fn range(self, range: &Output) -> Self {
        self.i32s(&[range.zero.into(), range.lo.into(), range.hi.into()])
    }

    /// Words.
    pub(super) fn u32s(mut self, words: &[u32]) -> Self {
        self.0.extend(words);
        self
    }

    /// Numbers with signs.
    pub(super) fn i32s(mut self, numbers: &[i32]) -> Self {
        self.0.extend(numbers.iter().map(|n| n.cast_unsigned()));
        self
    }

    /// Numbers of things, all of which are below 2^32 in a model file.
    pub(super) fn sizes(mut self, sizes: &[usize]) -> Self {
        self.0.extend(sizes.iter().map(|&n| n as u32));
        self
    }
}

/// The one input of an op that has one.
pub(super) fn only(call: &Call) -> &Value {
    // The check of the file has counted the inputs of each op.
    &call.inputs[0]
}
