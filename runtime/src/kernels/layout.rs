//! The order of weights in a model file, as numbers that host and device share.

/// Order of the `n * k` bytes of one group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Order {
    /// `[n][k]`: the `k` neighbouring products of one output channel lie together.
    KMinor = 0,
    /// `[k][2]` for panels of two output channels, as 16-bit numbers `w0 + 256 * w1`, elements 1 and 2 of every four exchanged
    /// (`k` a multiple of 4). So the second channel's byte is one less where the first one's weight is negative: one multiplication
    /// with the number does the work for both channels, one with its low byte tells them apart.
    Halves = 1,
    /// `[k][n]`: the `n` output channels of one product lie together.
    NMinor = 2,
}

/// How the weights of a convolution or a linear layer lie in memory.
///
/// Output channels come in panels of `n`; products come in rows (one for each kernel row, `kernel columns * input channels`
/// long, a linear layer has one), each row padded with zeros to a multiple of `k`:
/// `[panels][rows][padded row / k][n * k]`, the last by [`Order`]. Missing channels of the last panel are zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Layout {
    /// Output channels in a panel, 1..=64.
    pub n: u8,
    /// Products in a group, 1..=16.
    pub k: u8,
    /// Order within a group of `n * k` bytes.
    pub order: Order,
    /// 0, or 128 if the kernels add 128 to each input to make it unsigned; the biases have it folded in.
    pub input_offset: u8,
}

impl Layout {
    /// Panels of four channels, for the scalar table.
    pub const LANES: Layout = Layout { n: 4, k: 1, order: Order::KMinor, input_offset: 0 };

    /// `[out][rows][row]`, nothing padded.
    pub const PLAIN: Layout = Layout { n: 1, k: 1, order: Order::KMinor, input_offset: 0 };

    /// Panels of sixteen channels, four neighbouring products each, inputs made unsigned: x86-64.
    pub const N16K4: Layout = Layout { n: 16, k: 4, order: Order::KMinor, input_offset: 128 };

    /// Panels of eight channels, eight neighbouring products each: 64-bit Arm and WebAssembly.
    pub const N8K8: Layout = Layout { n: 8, k: 8, order: Order::KMinor, input_offset: 0 };

    /// A layout from the numbers in a file; `None` if no layout has them.
    pub const fn new(n: u8, k: u8, order: u8, input_offset: u8) -> Option<Layout> {
        let order = match order {
            0 => Order::KMinor,
            1 if n == 2 && k.is_multiple_of(4) => Order::Halves,
            2 => Order::NMinor,
            _ => return None,
        };
        if n == 0 || n > 64 || k == 0 || k > 16 || (input_offset != 0 && input_offset != 128) {
            return None;
        }
        Some(Layout { n, k, order, input_offset })
    }

    /// Bytes of a group.
    pub const fn group(self) -> usize {
        self.n as usize * self.k as usize
    }

    /// A row's length with its padding.
    pub const fn padded_row(self, row_len: usize) -> usize {
        row_len.div_ceil(self.k as usize).saturating_mul(self.k as usize)
    }

    /// Number of output channels with the padding of the last panel: also the length of bias, multiplier and shift arrays.
    pub const fn padded_channels(self, out: usize) -> usize {
        out.div_ceil(self.n as usize).saturating_mul(self.n as usize)
    }

    /// Bytes of the weights of `out` channels with `rows` rows of `row_len` products.
    pub const fn weight_bytes(self, out: usize, rows: usize, row_len: usize) -> usize {
        self.padded_channels(out).saturating_mul(rows).saturating_mul(self.padded_row(row_len))
    }

    /// The weight of channel `o`, row `row`, product `i`.
    #[inline]
    pub const fn weight(self, weights: &[i8], [rows, row_len]: [usize; 2], [o, row, i]: [usize; 3]) -> i8 {
        let at = self.index(rows, row_len, o, row, i);
        match self.order {
            Order::Halves if o % 2 == 1 => weights[at].wrapping_add((weights[at - 1] < 0) as i8),
            _ => weights[at],
        }
    }

    /// Puts a weight of a channel, row and product to its place; `weights` are zeros where no weight has been put yet.
    #[inline]
    pub fn put(self, weights: &mut [i8], [rows, row_len]: [usize; 2], [o, row, i]: [usize; 3], weight: i8) {
        let at = self.index(rows, row_len, o, row, i);
        match self.order {
            Order::Halves if o % 2 == 1 => weights[at] = weight.wrapping_sub((weights[at - 1] < 0) as i8),
            Order::Halves => {
                // The second channel's weight, if it came first, stays what it was.
                weights[at + 1] =
                    weights[at + 1].wrapping_add((weights[at] < 0) as i8).wrapping_sub((weight < 0) as i8);
                weights[at] = weight;
            }
            _ => weights[at] = weight,
        }
    }

    /// Whether all weights are in [-127, 127] and all padding is zero, for `out` channels with `[rows, row length]` products.
    pub(crate) fn is_packed(self, weights: &[i8], out: usize, [rows, row_len]: [usize; 2]) -> bool {
        let in_range = match self.order {
            Order::Halves => weights.chunks_exact(2).all(|pair| {
                let (low, high) = (pair[0], pair[1] as i16 + (pair[0] < 0) as i16);
                low != i8::MIN && (-127..=127).contains(&high)
            }),
            Order::KMinor | Order::NMinor => weights.iter().all(|&w| w != i8::MIN),
        };
        let is_zero = |o, row, i| self.weight(weights, [rows, row_len], [o, row, i]) == 0;
        let mut channels = 0..self.padded_channels(out);
        in_range
            && channels.all(|o| {
                let first = if o < out { row_len } else { 0 };
                (0..rows).all(|row| (first..self.padded_row(row_len)).all(|i| is_zero(o, row, i)))
            })
    }

    /// Where the byte of the weight of channel `o`, row `row`, product `i` lies.
    #[inline]
    pub const fn index(self, rows: usize, row_len: usize, o: usize, row: usize, i: usize) -> usize {
        let [n, k] = [self.n as usize, self.k as usize];
        let [lane, step] = [o % n, i % k];
        let group = (o / n * rows + row) * row_len.div_ceil(k) + i / k;
        group * n * k
            + match self.order {
                Order::KMinor => lane * k + step,
                Order::Halves => (step & !3 | (step & 1) << 1 | step >> 1 & 1) * n + lane,
                Order::NMinor => step * n + lane,
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_weight_has_a_place_of_its_own() {
        for (n, k, order) in [(1, 1, 0), (16, 4, 0), (2, 4, 1), (2, 2, 2), (2, 8, 1), (3, 5, 2)] {
            let layout = Layout::new(n, k, order, 0).unwrap();
            for (out, rows, row_len) in [(1, 1, 1), (16, 3, 9), (17, 3, 48), (5, 1, 64), (3, 2, 7)] {
                let mut seen = [false; 8192];
                let bytes = layout.weight_bytes(out, rows, row_len);
                for o in 0..out {
                    for row in 0..rows {
                        for i in 0..row_len {
                            let at = layout.index(rows, row_len, o, row, i);
                            assert!(at < bytes && !seen[at], "{layout:?} {out} {rows} {row_len}: {o} {row} {i}");
                            seen[at] = true;
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn places_checked_by_hand() {
        let panels = Layout { n: 16, k: 4, order: Order::KMinor, input_offset: 128 };
        // Second panel, second of three rows of 9 (padded to 12) products, element 5 = group 1, step 1.
        assert_eq!(panels.index(3, 9, 18, 1, 5), ((3 + 1) * 3 + 1) * 64 + 2 * 4 + 1);
        assert_eq!(panels.weight_bytes(18, 3, 9), 32 * 3 * 12);
        let halves = Layout { n: 2, k: 4, order: Order::Halves, input_offset: 0 };
        assert_eq!([0, 1, 2, 3, 4].map(|i| halves.index(1, 8, 0, 0, i)), [0, 4, 2, 6, 8]);
        assert_eq!([0, 1, 2, 3, 4].map(|i| halves.index(1, 8, 1, 0, i)), [1, 5, 3, 7, 9]);
        let columns = Layout { n: 2, k: 2, order: Order::NMinor, input_offset: 0 };
        assert_eq!([(0, 0), (1, 0), (0, 1), (1, 1)].map(|(o, i)| columns.index(1, 2, o, 0, i)), [0, 1, 2, 3]);
    }

    #[test]
    fn weights_read_back_in_any_order_of_putting() {
        for (n, k, order) in [(1, 1, 0), (16, 4, 0), (2, 4, 1), (2, 2, 2)] {
            let layout = Layout::new(n, k, order, 0).unwrap();
            let mut weights = [0i8; 8];
            let weights = if layout.group() > 8 { &mut [0; 64][..] } else { &mut weights[..] };
            let pairs = [(-127, 5), (-1, -127), (0, 127), (127, -1), (-5, 0), (64, 64)];
            for (i, (w0, w1)) in pairs.into_iter().enumerate() {
                for first in [0, 1] {
                    let second = 1 - first;
                    let place = |o| [if n == 1 { 0 } else { o }, 0, if n == 1 { o } else { 0 }];
                    layout.put(weights, [1, 2], place(first), if first == 0 { w0 } else { w1 });
                    layout.put(weights, [1, 2], place(second), if second == 0 { w0 } else { w1 });
                    let read = [0, 1].map(|o| layout.weight(weights, [1, 2], place(o)));
                    assert_eq!(read, [w0, w1], "{layout:?} {i}");
                }
            }
        }
    }

    #[test]
    fn halves_are_one_number_of_both_channels() {
        let layout = Layout { n: 2, k: 4, order: Order::Halves, input_offset: 0 };
        for (w0, w1) in [(-127i8, -127i8), (-1, 3), (127, -127), (0, -1), (5, 0)] {
            let mut weights = [0; 8];
            layout.put(&mut weights, [1, 4], [0, 0, 1], w0);
            layout.put(&mut weights, [1, 4], [1, 0, 1], w1);
            let half = i16::from_le_bytes([weights[4] as u8, weights[5] as u8]);
            assert_eq!(half as i32, w0 as i32 + 256 * w1 as i32);
        }
    }

    #[test]
    fn numbers_of_no_layout_are_refused() {
        for (n, k, order, offset) in
            [(0, 1, 0, 0), (65, 1, 0, 0), (1, 0, 0, 0), (1, 17, 0, 0), (1, 2, 1, 0), (1, 1, 3, 0), (1, 1, 0, 1)]
        {
            assert_eq!(Layout::new(n, k, order, offset), None);
        }
    }
}
