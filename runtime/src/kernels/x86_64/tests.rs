//! Images of several bands, which the contract suite has no room for: equal to scalar all the same.

use std::vec::Vec;

use super::{avx2, avx512_vnni};
use crate::kernels::band::Band;
use crate::kernels::contract::Rng;
use crate::kernels::{Kernels, Layout, scalar};
use crate::ops::{Add, Conv2d, Depthwise, Window};
use crate::quant::{Channels, Output};
use crate::tensor::Shape;

/// Tables of this CPU, weakest first; there may be none.
fn tables() -> Vec<Kernels> {
    let all = [(avx2::available(), avx2::KERNELS), (avx512_vnni::available(), avx512_vnni::KERNELS)];
    all.into_iter().filter_map(|(available, table)| available.then_some(table)).collect()
}

fn bytes(rng: &mut Rng, n: usize) -> Vec<i8> {
    (0..n).map(|_| rng.byte()).collect()
}

/// Random biases, multipliers and shifts.
fn channels(rng: &mut Rng, n: usize) -> (Vec<i32>, Vec<i32>, Vec<u8>) {
    let bias = (0..n).map(|_| rng.word() as i32 >> 14).collect();
    let multiplier = (0..n).map(|_| 1 << 30 | (rng.word() >> 2) as i32).collect();
    let shift = (0..n).map(|_| (5 + rng.below(6) + 32 * rng.below(2)) as u8).collect();
    (bias, multiplier, shift)
}

/// `output` as scalar leaves it and as each table does, given scratch of the size that its rule asks for.
fn compare(output: &[i8], scalar: impl Fn(&mut [i8]), table: impl Fn(&Kernels, &mut [i8])) {
    let mut expected = output.to_vec();
    scalar(&mut expected);
    assert_ne!(expected, output);
    for kernels in tables() {
        let mut actual = output.to_vec();
        table(&kernels, &mut actual);
        let difference = expected.iter().zip(&actual).position(|(e, a)| e != a);
        assert_eq!(difference, None, "{}", kernels.isa.name());
    }
}

#[test]
fn convolutions_in_several_bands_equal_scalar() {
    let dilated = Window { kernel: [3, 3], stride: [1, 2], dilation: [2, 3], pad: [2, 1] };
    let rows = [
        // (input, channels, window, padding after, bands)
        (Shape::new(40, 40, 24), 20, Window::square(3, 1, 1), [1; 2], 2),
        (
            Shape::new(70, 33, 16),
            33,
            Window { kernel: [5, 3], stride: [2, 1], dilation: [1; 2], pad: [0, 2] },
            [3, 0],
            2,
        ),
        (Shape::new(64, 64, 12), 48, dilated, [1, 2], 2),
        (Shape::new(90, 90, 20), 7, Window::square(1, 2, 0), [0; 2], 3),
        (Shape::new(9, 17, 260), 16, Window::square(3, 1, 1), [1; 2], 3),
        // A single row is larger than a band should be.
        (Shape::new(3, 600, 64), 5, Window::square(2, 1, 1), [1; 2], 4),
    ];
    for (case, (input, out, window, after, bands)) in rows.into_iter().enumerate() {
        let output = window.output(input, after, out).unwrap();
        let rng = &mut Rng::new(case as u32);
        let layout = Layout::N16K4;
        let weights = bytes(rng, layout.weight_bytes(out, window.kernel[0], window.kernel[1] * input.channels));
        let (bias, multiplier, shift) = channels(rng, layout.padded_channels(out));
        let add = Add { multipliers: [20000, -9000], bias: 3 << 13, shift: 14, lo: -100, hi: 120 };
        let op = Conv2d {
            input,
            output,
            window,
            input_zero: -7,
            layout,
            weights: &weights,
            channels: Channels { bias: &bias, multiplier: &multiplier, shift: &shift },
            range: Output { zero: 5, lo: -120, hi: 127 },
            residual: (case % 2 == 0).then_some(add),
        };
        assert_eq!(output.height.div_ceil(Band::of_conv2d(&op).outputs), bands, "case {case}");
        let (x, y) = (bytes(rng, input.len()), bytes(rng, output.len()));
        compare(
            &y,
            |y| (scalar::KERNELS.conv2d)(&op, &x, y, &mut []),
            |table, y| {
                let scratch = (table.isa.scratch().conv2d)(&op);
                (table.conv2d)(&op, &x, y, &mut std::vec![0x5a; scratch]);
            },
        );
    }
}

#[test]
fn depthwise_convolutions_in_several_bands_equal_scalar() {
    let rows = [
        // (input, outputs of an input channel, window, bands)
        (Shape::new(64, 64, 16), 1, Window::square(3, 1, 1), 3),
        (Shape::new(45, 50, 11), 2, Window::square(3, 2, 1), 2),
    ];
    for (case, (input, multiplicity, window, bands)) in rows.into_iter().enumerate() {
        let output = window.output(input, [1; 2], input.channels * multiplicity).unwrap();
        let rng = &mut Rng::new(case as u32);
        let weights = bytes(rng, window.taps() * output.channels);
        let (bias, multiplier, shift) = channels(rng, output.channels);
        let op = Depthwise {
            input,
            output,
            window,
            input_zero: 100,
            weights: &weights,
            channels: Channels { bias: &bias, multiplier: &multiplier, shift: &shift },
            range: Output::full(-3),
        };
        assert_eq!(output.height.div_ceil(Band::of_depthwise(&op).outputs), bands, "case {case}");
        let (x, y) = (bytes(rng, input.len()), bytes(rng, output.len()));
        compare(
            &y,
            |y| (scalar::KERNELS.depthwise)(&op, &x, y, &mut []),
            |table, y| {
                let scratch = (table.isa.scratch().depthwise)(&op);
                (table.depthwise)(&op, &x, y, &mut std::vec![0x5a; scratch]);
            },
        );
    }
}
