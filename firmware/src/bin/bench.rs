//! What each kernel costs on the layers of ResNet-8 and a few others, in instructions or cycles.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use firmware::board;
use firmware::counter::count;
use firmware::host::{exit, println};
use limbeck_runtime::Shape;
use limbeck_runtime::kernels::Kernels;
use limbeck_runtime::ops::{Add, AvgPool, Conv2d, Depthwise, Linear, MaxPool, Window};
use limbeck_runtime::quant::{Channels, MIN_MULTIPLIER, Output};

/// Multiply-accumulates of ResNet-8.
const MACS: usize = 12_501_632;

/// Aligned as model files and arenas are.
#[repr(C, align(16))]
struct Aligned<T>(T);

/// Bytes of the largest activation.
const LARGEST: usize = 24 * 24 * 64;

static WEIGHTS: Aligned<[i8; 64 * 576]> = Aligned(pattern());
static BIAS: [i32; 128] = [100; 128];
static MULTIPLIER: [i32; 128] = [MIN_MULTIPLIER + 12345; 128];
static SHIFT: [u8; 128] = [9; 128];
const CHANNELS: Channels = Channels { bias: &BIAS, multiplier: &MULTIPLIER, shift: &SHIFT };
const RANGE: Output = Output::full(-128);
const SUM: Add = Add { multipliers: [16384, 16384], bias: 1 << 14, shift: 15, lo: -128, hi: 127 };

const fn pattern<const N: usize>() -> [i8; N] {
    let (mut values, mut i, mut state) = ([0; N], 0, 1_u32);
    while i < N {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let value = (state >> 24) as i8;
        values[i] = if value == -128 { 0 } else { value };
        i += 1;
    }
    values
}

/// Activations of the largest layer, and scratch.
struct Buffers<'a> {
    table: &'a Kernels,
    input: &'a mut [i8],
    output: &'a mut [i8],
    scratch: &'a mut [u8],
    /// What was counted so far, and of it the last max pool.
    total: u64,
    max_pool: u64,
}

impl Buffers<'_> {
    fn conv2d(&mut self, name: &str, input: [usize; 3], out: usize, kernel: usize, stride: usize, residual: bool) {
        let input = Shape::new(input[0], input[1], input[2]);
        let pad = (kernel - 1) / 2;
        let output = Shape::new(input.height / stride, input.width / stride, out);
        // Padding as TensorFlow's "same": with stride 2 it is on the far side.
        let window = Window::square(kernel, stride, if stride == 1 { pad } else { 0 });
        let layout = self.table.isa.layout();
        let residual = residual.then_some(SUM);
        let op = Conv2d {
            input,
            output,
            window,
            input_zero: -128,
            layout,
            weights: &WEIGHTS.0,
            channels: CHANNELS,
            range: RANGE,
            residual,
        };
        let scratch = (self.table.isa.scratch().conv2d)(&op);
        let (x, y) = (&self.input[..input.len()], &mut self.output[..output.len()]);
        let scratch = &mut self.scratch[..scratch];
        let bytes = scratch.len();
        let ((), n) = count(|| (self.table.conv2d)(&op, x, y, scratch));
        let macs = output.len() * kernel * kernel * input.channels;
        self.report(name, n, macs, bytes);
    }

    fn depthwise(&mut self, name: &str, input: [usize; 3], kernel: usize) {
        let input = Shape::new(input[0], input[1], input[2]);
        let window = Window::square(kernel, 1, kernel / 2);
        let op = Depthwise {
            input,
            output: input,
            window,
            input_zero: -128,
            weights: &WEIGHTS.0,
            channels: CHANNELS,
            range: RANGE,
        };
        let bytes = (self.table.isa.scratch().depthwise)(&op);
        let (x, y) = (&self.input[..input.len()], &mut self.output[..input.len()]);
        let ((), n) = count(|| (self.table.depthwise)(&op, x, y, &mut self.scratch[..bytes]));
        self.report(name, n, input.len() * kernel * kernel, bytes);
    }

    fn linear(&mut self, name: &str, rows: usize, inputs: usize, outputs: usize) {
        let layout = self.table.isa.layout();
        let op = Linear { rows, inputs, outputs, layout, weights: &WEIGHTS.0, channels: CHANNELS, range: RANGE };
        let bytes = (self.table.isa.scratch().linear)(&op);
        let (x, y) = (&self.input[..rows * inputs], &mut self.output[..rows * outputs]);
        let ((), n) = count(|| (self.table.linear)(&op, x, y, &mut self.scratch[..bytes]));
        self.report(name, n, rows * inputs * outputs, bytes);
    }

    fn add(&mut self, name: &str, len: usize) {
        let (x, y) = (&self.input[..len], &mut self.output[..len]);
        let ((), n) = count(|| (self.table.add)(&SUM, x, y));
        self.report(name, n, len, 0);
    }

    fn pools(&mut self, [max_name, mean_name]: [&str; 2], input: [usize; 3], kernel: usize) {
        let input = Shape::new(input[0], input[1], input[2]);
        let output = Shape::new(input.height / kernel, input.width / kernel, input.channels);
        let pool = MaxPool { input, output, window: Window::square(kernel, kernel, 0) };
        let (x, y) = (&self.input[..input.len()], &mut self.output[..output.len()]);
        let ((), n) = count(|| (self.table.max_pool)(&pool, x, y));
        let mean = AvgPool { pool, input_zero: -128, multipliers: &MULTIPLIER[..1], shifts: &SHIFT[..1], range: RANGE };
        let ((), m) = count(|| (self.table.avg_pool)(&mean, x, y));
        self.max_pool = n;
        self.report(max_name, n, input.len(), 0);
        self.report(mean_name, m, input.len(), 0);
    }

    fn report(&mut self, name: &str, n: u64, work: usize, scratch: usize) {
        self.total += n;
        let hundredths = n * 100 / work as u64;
        let (whole, part) = (hundredths / 100, hundredths % 100);
        println!("{n:>10} {whole:>5}.{part:02} {scratch:>7}  {name}");
    }
}

#[entry]
fn main() -> ! {
    board::init();
    println!("{}: {}, the same by multiply-accumulate or element, bytes of scratch", board::NAME, board::UNIT);
    let input = cortex_m::singleton!(: Aligned<[i8; LARGEST]> = Aligned(pattern()));
    let output = cortex_m::singleton!(: Aligned<[i8; LARGEST]> = Aligned([0; LARGEST]));
    let scratch = cortex_m::singleton!(: Aligned<[u8; 16384]> = Aligned([0; 16384]));
    let (Some(input), Some(output), Some(scratch)) = (input, output, scratch) else { exit(1) };
    let Some(table) = Kernels::all().last() else { exit(1) };
    let buffers =
        Buffers { table, input: &mut input.0, output: &mut output.0, scratch: &mut scratch.0, total: 0, max_pool: 0 };
    resnet8(buffers);
    exit(0)
}

fn resnet8(mut b: Buffers) {
    b.conv2d("conv 3x3 32x32x3 -> 16", [32, 32, 3], 16, 3, 1, false);
    b.conv2d("conv 3x3 32x32x16 -> 16", [32, 32, 16], 16, 3, 1, false);
    b.conv2d("conv 3x3 32x32x16 -> 16, add", [32, 32, 16], 16, 3, 1, true);
    b.conv2d("conv 3x3 32x32x16 -> 32 / 2", [32, 32, 16], 32, 3, 2, false);
    b.conv2d("conv 1x1 32x32x16 -> 32 / 2", [32, 32, 16], 32, 1, 2, false);
    b.conv2d("conv 3x3 16x16x32 -> 32, add", [16, 16, 32], 32, 3, 1, true);
    b.conv2d("conv 3x3 16x16x32 -> 64 / 2", [16, 16, 32], 64, 3, 2, false);
    b.conv2d("conv 1x1 16x16x32 -> 64 / 2", [16, 16, 32], 64, 1, 2, false);
    b.conv2d("conv 3x3 8x8x64 -> 64, add", [8, 8, 64], 64, 3, 1, true);
    b.pools(["max pool 8x8x64", "average pool 8x8x64"], [8, 8, 64], 8);
    b.linear("linear 64 -> 10", 1, 64, 10);
    b.report("ResNet-8: all layers above but the max pool", b.total - b.max_pool, MACS, 0);
    b.linear("linear 512 -> 64", 1, 512, 64);
    b.linear("linear 32 rows of 128 -> 128", 32, 128, 128);
    b.conv2d("conv 1x1 24x24x16 -> 32", [24, 24, 16], 32, 1, 1, false);
    b.conv2d("conv 1x1 16x16x64 -> 64", [16, 16, 64], 64, 1, 1, false);
    b.depthwise("depthwise 3x3 16x16x64", [16, 16, 64], 3);
    b.depthwise("depthwise 3x3 24x24x64", [24, 24, 64], 3);
    b.depthwise("depthwise 5x5 16x16x32", [16, 16, 32], 5);
    b.add("add 16384", 16384);
    b.pools(["max pool 2x2", "average pool 2x2"], [32, 32, 16], 2);
}
