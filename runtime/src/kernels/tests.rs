//! Images of several bands and long texts, which the contract suite has no room for: equal to scalar all the same.

use std::vec::Vec;

use super::band::Band;
use super::contract::Rng;
use super::{Isa, Kernels, Layout, scalar};
use crate::ops::{Add, Attention, Conv2d, Depthwise, LayerNorm, Linear, Window};
use crate::quant::{Channels, Output};
use crate::tensor::{Shape, Values, ValuesMut};

/// The orders of weights that vector tables of this CPU read; there may be none.
fn layouts() -> Vec<Layout> {
    let mut layouts: Vec<Layout> = tables().map(|table| table.isa.layout()).collect();
    layouts.dedup();
    layouts
}

/// All tables of this CPU but scalar's.
fn tables() -> impl Iterator<Item = &'static Kernels> {
    Kernels::all().filter(|table| table.isa != Isa::Scalar)
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

/// Packed weights of `out` channels with `[rows, row length]` products.
fn weights(rng: &mut Rng, layout: Layout, out: usize, [rows, row_len]: [usize; 2]) -> Vec<i8> {
    let mut weights = std::vec![0; layout.weight_bytes(out, rows, row_len)];
    for o in 0..out {
        for row in 0..rows {
            for i in 0..row_len {
                layout.put(&mut weights, [rows, row_len], [o, row, i], rng.byte().max(-127));
            }
        }
    }
    weights
}

/// `output` as scalar leaves it and as each table does that reads `layout`, given scratch of the size that its rule asks for.
fn compare(layout: Option<Layout>, output: &[i8], scalar: impl Fn(&mut [i8]), table: impl Fn(&Kernels, &mut [i8])) {
    let mut expected = output.to_vec();
    scalar(&mut expected);
    assert_ne!(expected, output);
    for kernels in tables().filter(|table| layout.is_none_or(|layout| table.isa.reads(layout))) {
        let mut actual = output.to_vec();
        table(kernels, &mut actual);
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
    let layouts = layouts();
    let cases = rows.into_iter().enumerate().flat_map(|row| layouts.iter().map(move |&layout| (row, layout)));
    for ((case, (input, out, window, after, bands)), layout) in cases {
        let output = window.output(input, after, out).unwrap();
        let rng = &mut Rng::new(case as u32);
        let weights = weights(rng, layout, out, [window.kernel[0], window.kernel[1] * input.channels]);
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
            Some(layout),
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
        let weights = weights(rng, Layout::PLAIN, output.channels, [1, window.taps()]);
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
            None,
            &y,
            |y| (scalar::KERNELS.depthwise)(&op, &x, y, &mut []),
            |table, y| {
                let scratch = (table.isa.scratch().depthwise)(&op);
                (table.depthwise)(&op, &x, y, &mut std::vec![0x5a; scratch]);
            },
        );
    }
}

#[test]
fn attention_over_long_texts_equals_scalar() {
    // Rows on both sides of a panel, a pair and a 32, up to the most; sizes of one to many blocks.
    for (case, [rows, heads, size]) in
        [[128, 3, 64], [31, 2, 96], [33, 2, 20], [100, 1, 128], [257, 2, 34], [1023, 1, 64], [65, 4, 16]]
            .into_iter()
            .enumerate()
    {
        let rng = &mut Rng::new(case as u32);
        let n = rows * heads * size;
        let [mut q, mut k, mut v] = [(); 3].map(|()| bytes(rng, n));
        // From weights that are all alike to one that takes all, with products and sums as large as they can be.
        match case % 4 {
            0 => q.fill(0),
            1 => v.fill(-128),
            2 => [&mut q, &mut k].into_iter().flatten().for_each(|v| *v = if *v < 100 { -128 } else { 127 }),
            _ => {}
        }
        let (score, value) = ((1 << 30 | 12345, 1 + 2 * case as u8), (1 << 30 | 54321, 10 + case as u8 % 3));
        let op = Attention { rows, heads, size, score, value, range: Output { zero: -3, lo: -120, hi: 127 } };
        compare(
            None,
            &std::vec![77; n],
            |y| (scalar::KERNELS.attention)(&op, [&q, &k, &v], y, &mut words(4 * (rows + size))),
            |table, y| {
                let scratch = (table.isa.scratch().attention)(&op);
                (table.attention)(&op, [&q, &k, &v], y, &mut words(scratch)[..scratch]);
            },
        );
    }
}

/// Scratch that begins as a session's does.
fn words(bytes: usize) -> crate::AlignedBytes {
    let mut scratch = crate::AlignedBytes::zeroed(bytes);
    scratch.fill(0x5a);
    scratch
}

#[test]
fn wide_rows_equal_scalar() {
    for (case, width) in [768, 1000, 3072, LayerNorm::MAX_CHANNELS].into_iter().enumerate() {
        let rng = &mut Rng::new(case as u32);
        let gains: Vec<i32> = (0..width).map(|_| rng.word() as i32 >> 4).collect();
        let bias: Vec<i32> = (0..width).map(|_| rng.word() as i32 >> 12).collect();
        let op = LayerNorm { eps: 1, gains: &gains, bias: &bias, right: 2 + case as u8 };
        // The largest sums that there are, and random ones.
        let rows = [std::vec![i16::MAX; width], (0..width).map(|_| rng.word() as i16).collect()].concat();
        compare(
            None,
            &std::vec![0; 2 * width],
            |y| (scalar::KERNELS.layer_norm)(&op, Values::Int16(&rows), ValuesMut::Int8(y)),
            |table, y| (table.layer_norm)(&op, Values::Int16(&rows), ValuesMut::Int8(y)),
        );
    }
}

#[test]
fn linear_layers_on_many_tokens_equal_scalar() {
    let layouts = layouts();
    let rows = [[128, 768, 40], [37, 3072, 33], [300, 100, 17], [5, 64, 16], [33, 128, 100], [12, 40, 9]];
    let cases = rows.into_iter().enumerate().flat_map(|row| layouts.iter().map(move |&layout| (row, layout)));
    for ((case, [rows, inputs, outputs]), layout) in cases {
        let rng = &mut Rng::new(case as u32);
        let weights = weights(rng, layout, outputs, [1, inputs]);
        let (bias, multiplier, shift) = channels(rng, layout.padded_channels(outputs));
        let channels = Channels { bias: &bias, multiplier: &multiplier, shift: &shift };
        let op = Linear { rows, inputs, outputs, layout, weights: &weights, channels, range: Output::full(1) };
        let x = bytes(rng, rows * inputs);
        compare(
            Some(layout),
            &std::vec![0; rows * outputs],
            |y| (scalar::KERNELS.linear)(&op, &x, y, &mut []),
            |table, y| {
                let scratch = (table.isa.scratch().linear)(&op);
                (table.linear)(&op, &x, y, &mut std::vec![0x5a; scratch]);
            },
        );
    }
}
