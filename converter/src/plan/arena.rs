//! Where each buffer lies in the arena: a pure function from sizes and lifetimes to offsets.

/// Every offset is a multiple of this.
pub const ALIGN: usize = 16;

/// Buffers up to which all orders of placement are tried, which finds the least arena there is.
const EXACT: usize = 7;
/// Orders tried beyond that.
const TRIES: usize = 2_000;

/// Bytes that must stay untouched from one step to another, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buffer {
    /// How many.
    pub bytes: usize,
    /// First step.
    pub first: usize,
    /// Last step, not before the first.
    pub last: usize,
}

impl Buffer {
    fn size(&self) -> usize {
        self.bytes.next_multiple_of(ALIGN)
    }

    /// Whether both are needed in some step.
    pub fn meets(&self, other: &Buffer) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

/// Offsets of buffers, and what the arena needs for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arena {
    /// Offset of each buffer.
    pub offsets: Vec<usize>,
    /// Bytes from 0 to the end of the last buffer.
    pub bytes: usize,
}

/// Bytes that are alive in the worst step: no arena can be smaller.
pub fn least(buffers: &[Buffer]) -> usize {
    let steps = buffers.iter().map(|b| b.first);
    let live = |step| buffers.iter().filter(|b| b.first <= step && step <= b.last).map(Buffer::size).sum();
    steps.map(live).max().unwrap_or(0)
}

/// Places buffers so that no two that live at the same time overlap, in as few bytes as it finds.
///
/// Large buffers go first, each to the lowest gap that holds it. Some order of placement leads to the least arena; where the
/// first guesses miss the lower bound, all orders of a few buffers, or a fixed number of changed orders of many, are tried.
pub fn assign(buffers: &[Buffer]) -> Arena {
    let bound = least(buffers);
    let n = buffers.len();
    let by = |key: &dyn Fn(&Buffer) -> usize| {
        let mut order: Vec<usize> = (0..n).collect();
        order.sort_by_key(|&i| (std::cmp::Reverse(key(&buffers[i])), i));
        order
    };
    let orders = [by(&Buffer::size), by(&|b| b.size() * (b.last - b.first + 1)), by(&|b| usize::MAX - b.first)];
    let placed = orders.into_iter().map(|order| (place(buffers, &order), order));
    let Some((mut best, mut order)) = placed.min_by_key(|(arena, _)| arena.bytes) else {
        return Arena { offsets: Vec::new(), bytes: 0 };
    };
    if best.bytes > bound && n <= EXACT {
        let mut order: Vec<usize> = (0..n).collect();
        permute(&mut order, 0, &mut |order| {
            let arena = place(buffers, order);
            if arena.bytes < best.bytes {
                best = arena;
            }
            best.bytes == bound
        });
    } else if best.bytes > bound {
        // Moves a buffer to another place in the order; keeps what is no worse. The sequence is fixed, so is the result.
        let mut state = 1u64;
        let mut below = |n: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % n
        };
        for _ in 0..TRIES {
            let mut changed = order.clone();
            let moved = changed.remove(below(n));
            changed.insert(below(n), moved);
            let arena = place(buffers, &changed);
            if arena.bytes <= best.bytes {
                (best, order) = (arena, changed);
            }
            if best.bytes == bound {
                break;
            }
        }
    }
    best
}

/// Puts buffers, in this order, into the lowest gaps that hold them.
fn place(buffers: &[Buffer], order: &[usize]) -> Arena {
    let mut offsets = vec![0; buffers.len()];
    let mut done: Vec<usize> = Vec::with_capacity(order.len());
    let mut bytes = 0;
    for &i in order {
        // `done` is kept by offset, so one walk over it meets the gaps from low to high.
        let mut at = 0;
        for &other in done.iter().filter(|&&other| buffers[other].meets(&buffers[i])) {
            if offsets[other] >= at + buffers[i].size() {
                break;
            }
            at = at.max(offsets[other] + buffers[other].size());
        }
        offsets[i] = at;
        bytes = bytes.max(at + buffers[i].size());
        let place = done.partition_point(|&other| offsets[other] <= at);
        done.insert(place, i);
    }
    Arena { offsets, bytes }
}

/// Calls `f` with every order of `items` from `from` on until it returns true.
fn permute(items: &mut [usize], from: usize, f: &mut impl FnMut(&[usize]) -> bool) -> bool {
    if from == items.len() {
        return f(items);
    }
    for i in from..items.len() {
        items.swap(from, i);
        if permute(items, from + 1, f) {
            return true;
        }
        items.swap(from, i);
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buffer(bytes: usize, first: usize, last: usize) -> Buffer {
        Buffer { bytes, first, last }
    }

    #[test]
    fn neighbours_in_time_share_bytes() {
        let chain = [buffer(100, 0, 1), buffer(64, 1, 2), buffer(112, 2, 3)];
        let arena = assign(&chain);
        assert_eq!(arena.bytes, 112 + 64);
        assert_eq!(assign(&[]), Arena { offsets: vec![], bytes: 0 });
    }

    #[test]
    fn a_case_that_greed_by_size_misses_is_solved() {
        // Two pairs of 48 and 16 that meet crosswise: by size alone one of the small ones ends on top.
        let cross = [buffer(48, 0, 1), buffer(16, 0, 2), buffer(32, 1, 3), buffer(48, 2, 3), buffer(16, 3, 4)];
        assert_eq!(assign(&cross).bytes, least(&cross));
    }

    #[test]
    fn no_two_live_buffers_overlap() {
        let mut state = 7u64;
        let mut below = |n: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % n
        };
        for _ in 0..200 {
            let count = below(24);
            let mut random = || {
                let first = below(12);
                buffer(below(300), first, first + below(6))
            };
            let buffers: Vec<Buffer> = (0..count).map(|_| random()).collect();
            let arena = assign(&buffers);
            assert!(arena.bytes >= least(&buffers));
            for (i, a) in buffers.iter().enumerate() {
                assert_eq!(arena.offsets[i] % ALIGN, 0);
                assert!(arena.offsets[i] + a.bytes <= arena.bytes);
                for (j, b) in buffers.iter().enumerate().skip(i + 1) {
                    let (x, y) = (arena.offsets[i], arena.offsets[j]);
                    let apart = x + a.bytes <= y || y + b.bytes <= x;
                    assert!(apart || !a.meets(b) || a.bytes == 0 || b.bytes == 0, "{a:?} at {x}, {b:?} at {y}");
                }
            }
        }
    }
}
