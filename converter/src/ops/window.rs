//! What a window sees of a channels-last image, for convolutions and pools.

use crate::graph::{Tensor, Window};

/// The input pixel under tap `k` of the window at output pixel `at`; `None` in the padding.
pub fn tap(window: &Window, size: [usize; 2], at: [usize; 2], k: [usize; 2]) -> Option<[usize; 2]> {
    let before = [window.pads.top, window.pads.left];
    let mut pixel = [0; 2];
    for axis in 0..2 {
        let padded = at[axis] * window.stride[axis] + k[axis] * window.dilation[axis];
        pixel[axis] = padded.checked_sub(before[axis]).filter(|&p| p < size[axis])?;
    }
    Some(pixel)
}

/// `f` of what lies under the window at each output, `None` for taps in the padding.
pub fn fold(x: &Tensor, window: &Window, f: impl Fn(&[Option<f32>]) -> f32) -> Tensor {
    let [n, h, w, c] = sizes(x);
    let [oh, ow] = window.output([h, w]).expect("shapes were checked");
    let mut data = Vec::with_capacity(n * oh * ow * c);
    let mut taps = Vec::new();
    for image in 0..n {
        for y in 0..oh {
            for z in 0..ow {
                for channel in 0..c {
                    taps.clear();
                    for ky in 0..window.kernel[0] {
                        for kz in 0..window.kernel[1] {
                            let pixel = tap(window, [h, w], [y, z], [ky, kz]);
                            taps.push(pixel.map(|[iy, iz]| x.data()[((image * h + iy) * w + iz) * c + channel]));
                        }
                    }
                    data.push(f(&taps));
                }
            }
        }
    }
    Tensor::new([n, oh, ow, c], data)
}

/// Batch, height, width and channels.
pub fn sizes(x: &Tensor) -> [usize; 4] {
    x.shape().try_into().expect("shapes were checked")
}
