//! Cuts an image into bands: copies of some rows in scratch, padding included, and the pixels that are computed from each.

use crate::kernels::band::Band;
use crate::kernels::sweep::{Pixels, Taps};
use crate::ops::{Conv2d, Depthwise};
use crate::tensor::Shape;

/// What an op computes band by band.
pub(super) struct Bands<'a> {
    band: &'a Band,
    image: Image<'a>,
    output: Shape,
    /// Bytes from a pixel's first value that are read.
    reach: usize,
}

impl<'a> Bands<'a> {
    /// Of a convolution whose kernel reads `more` bytes behind a pixel's taps.
    pub(super) fn of_conv2d(op: &Conv2d<'_>, band: &'a Band, taps: &Taps, more: usize, input: &'a [i8]) -> Self {
        let image = Image { values: input, shape: op.input, pad: op.window.pad, zero: op.input_zero };
        Bands { band, image, output: op.output, reach: taps.reach() + more }
    }

    /// Of a depthwise convolution, in bytes, whose kernel reads `block` channels at once, perhaps behind the last.
    pub(super) fn of_depthwise(op: &Depthwise<'_>, band: &'a Band, block: usize, input: &'a [i8]) -> Self {
        let image = Image { values: input, shape: op.input, pad: op.window.pad, zero: op.input_zero };
        let [down, right] = [0, 1].map(|axis| (op.window.kernel[axis] - 1) * op.window.dilation[axis]);
        let reach = (down * band.columns + right + 1) * op.output.channels + block;
        Bands { band, image, output: op.output, reach }
    }

    /// Fills `scratch` with one band after another, values of `N` bytes as `convert` makes them, and calls `each` with the pixels
    /// that are computed from it, the band, and their outputs.
    // Inlined into a function that has its CPU's features, so that loops and closures use them.
    #[inline(always)]
    pub(super) fn each<const N: usize>(
        &self,
        scratch: &mut [u8],
        output: &mut [i8],
        convert: impl Fn(i8) -> [u8; N],
        mut each: impl FnMut(Pixels, &[u8], &mut [i8]),
    ) {
        let Bands { band, image, output: Shape { width, channels, .. }, reach } = self;
        for (i, output) in output.chunks_mut(band.outputs * width * channels).enumerate() {
            fill(band, image, i * band.outputs, scratch.as_chunks_mut::<N>().0, &convert);
            let count = output.len() / channels;
            if let Some(pixels) = Pixels::new(band, N, *width, count, *reach, scratch.len()) {
                each(pixels, scratch, output);
            }
        }
    }
}

/// What a band is cut from.
struct Image<'a> {
    values: &'a [i8],
    shape: Shape,
    /// Rows above and columns to the left that read `zero`.
    pad: [usize; 2],
    /// What padding reads.
    zero: i8,
}

/// Fills `band` from its row for output row `first` on; each value goes through `convert`.
///
/// If a pixel of the band has more values than the image's, each of these is repeated.
#[inline(always)]
fn fill<T: Copy>(band: &Band, image: &Image<'_>, first: usize, into: &mut [T], convert: impl Fn(i8) -> T) {
    let Image { values, shape, pad, zero } = *image;
    let channels = shape.channels.max(1);
    let repeat = band.pixel / channels;
    let padding = convert(zero);
    // Columns before the image, and those before its end.
    let lead = pad[1].min(band.columns);
    let end = (shape.width + pad[1]).min(band.columns);
    for (i, row) in into.chunks_exact_mut(band.row().max(1)).take(band.rows).enumerate() {
        let y = ((first * band.step[0] + i) * band.skip).wrapping_sub(pad[0]);
        if y >= shape.height {
            row.fill(padding);
            continue;
        }
        let (before, rest) = row.split_at_mut(lead * band.pixel);
        let (inside, after) = rest.split_at_mut((end - lead) * band.pixel);
        before.fill(padding);
        after.fill(padding);
        let values = values.get(y * shape.width * channels..).unwrap_or(&[]);
        if repeat <= 1 {
            for (to, &v) in inside.iter_mut().zip(values) {
                *to = convert(v);
            }
        } else {
            for (to, &v) in inside.chunks_exact_mut(repeat).zip(values) {
                to.fill(convert(v));
            }
        }
    }
}
