//! Observers: what calibration remembers of a tensor, and the four calibrators that turn it into a range.

use super::scheme::Affine;
use serde::{Deserialize, Serialize};

/// Values kept of each tensor; enough for the tails of a percentile of 99.99.
const KEPT: usize = 1 << 17;
/// Bins over the observed range.
const BINS: usize = 2048;
/// Levels of int8.
const LEVELS: usize = 255;

/// A way to choose the range that int8 shall cover.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Calibrator {
    /// Everything that was seen.
    MinMax,
    /// All but the outermost values.
    Percentile,
    /// The range of least mean squared error.
    Mse,
    /// The range whose distribution loses least information (Kullback-Leibler divergence; Migacz, "8-bit inference
    /// with TensorRT", 2017).
    Entropy,
}

impl Calibrator {
    /// All of them; of two that do equally well the former is taken.
    pub const ALL: [Calibrator; 4] = [Calibrator::MinMax, Calibrator::Percentile, Calibrator::Mse, Calibrator::Entropy];

    /// The name in settings and reports.
    pub fn name(self) -> &'static str {
        match self {
            Calibrator::MinMax => "min-max",
            Calibrator::Percentile => "percentile",
            Calibrator::Mse => "mse",
            Calibrator::Entropy => "entropy",
        }
    }
}

/// What a mapping may look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Span {
    /// int8 with any zero point.
    Free,
    /// int8 with zero point 0.
    Centered,
    /// int16.
    Wide,
}

impl Span {
    fn covering(self, lo: f32, hi: f32) -> Option<Affine> {
        match self {
            Span::Free => Affine::covering(lo, hi),
            Span::Centered => Affine::centered(lo, hi),
            Span::Wide => Affine::wide(lo, hi),
        }
    }
}

/// What a mapping is chosen for.
pub(super) struct Aim<'a> {
    /// What it may look like.
    pub span: Span,
    /// Calibrators to choose from.
    pub calibrators: &'a [Calibrator],
    /// Share of values that [`Calibrator::Percentile`] keeps, in percent.
    pub percentile: f64,
    /// What is made of each value: where a function is flat, as GELU is far below zero, errors do not matter.
    pub read_by: &'a dyn Fn(f32) -> f32,
}

/// The mapping chosen for a tensor, and why.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Choice {
    /// Scale and zero point.
    pub affine: Affine,
    /// Who chose them.
    pub calibrator: Calibrator,
    /// Mean squared error of what is made of the kept values after a trip through int8.
    pub mse: f64,
}

/// What calibration remembers of one tensor: exact bounds, and an even selection of the values.
#[derive(Clone, Debug)]
pub(super) struct Observer {
    lo: f32,
    hi: f32,
    finite: bool,
    kept: Vec<f32>,
    stride: usize,
    skip: usize,
}

impl Observer {
    /// An observer for a tensor of `channels` on its last axis, of which `total` values will be seen.
    pub(super) fn new(total: usize, channels: usize) -> Self {
        // Without a common divisor the kept values go round all channels evenly.
        let common = |mut a: usize, mut b: usize| {
            while b != 0 {
                (a, b) = (b, a % b);
            }
            a
        };
        let least = total.div_ceil(KEPT).max(1);
        let stride = (least..).find(|&s| common(s, channels) <= 1).unwrap_or(least);
        Observer { lo: f32::INFINITY, hi: f32::NEG_INFINITY, finite: true, kept: Vec::new(), stride, skip: 0 }
    }

    /// Takes in values.
    pub(super) fn see(&mut self, values: &[f32]) {
        for &x in values {
            self.lo = self.lo.min(x);
            self.hi = self.hi.max(x);
            self.finite &= x.is_finite();
        }
        self.kept.extend(values.iter().skip(self.skip).step_by(self.stride));
        let reached = self.skip + values.len().saturating_sub(self.skip).div_ceil(self.stride) * self.stride;
        self.skip = reached - values.len();
    }

    /// Least and greatest value seen, or `None` if there was none or one that is not finite.
    pub(super) fn bounds(&self) -> Option<(f32, f32)> {
        (self.finite && self.lo <= self.hi).then_some((self.lo, self.hi))
    }

    /// Mean squared error of what `f` makes of the kept values after a trip through int8.
    pub(super) fn mse(&self, affine: Affine, f: &dyn Fn(f32) -> f32) -> f64 {
        let table: Vec<f32> = (i8::MIN..=i8::MAX).map(|q| f(affine.dequantize(q))).collect();
        let found = |x| table[(i32::from(affine.quantize(x)) + 128) as usize];
        let sum: f64 = self.kept.iter().map(|&x| f64::from(found(x) - f(x)).powi(2)).sum();
        sum / self.kept.len().max(1) as f64
    }

    /// The range that a calibrator wants.
    ///
    /// `None` if the observer has no finite bounds.
    pub(super) fn range(&self, calibrator: Calibrator, aim: &Aim<'_>) -> Option<(f32, f32)> {
        let (lo, hi) = self.bounds()?;
        Some(match calibrator {
            Calibrator::MinMax => (lo, hi),
            Calibrator::Percentile => self.percentile(aim.percentile),
            Calibrator::Mse => Histogram::of(self).least_mse(aim.read_by),
            Calibrator::Entropy => Histogram::of(self).least_divergence(),
        })
    }

    /// The best mapping for tensors that share it, by the error measured on the values kept of all of them.
    ///
    /// `None` if some observer has no finite bounds.
    pub(super) fn choose(tensors: &[&Observer], aim: &Aim<'_>) -> Option<Choice> {
        let mut best: Option<Choice> = None;
        for &calibrator in aim.calibrators {
            let (mut lo, mut hi) = (0.0f32, 0.0f32);
            for tensor in tensors {
                let range = tensor.range(calibrator, aim)?;
                (lo, hi) = (lo.min(range.0), hi.max(range.1));
            }
            let affine = aim.span.covering(lo, hi)?;
            let mse = tensors.iter().map(|t| t.mse(affine, aim.read_by)).sum::<f64>() / tensors.len().max(1) as f64;
            if best.is_none_or(|b| mse < b.mse) {
                best = Some(Choice { affine, calibrator, mse });
            }
        }
        best
    }

    fn percentile(&self, percent: f64) -> (f32, f32) {
        let mut sorted = self.kept.clone();
        sorted.sort_unstable_by(f32::total_cmp);
        let outside = (1.0 - percent / 100.0).clamp(0.0, 0.5) * (sorted.len() - 1) as f64;
        // Where values end at zero (after a ReLU) the bound at zero costs nothing and stays.
        let low = if self.lo >= 0.0 { self.lo } else { sorted[outside.floor() as usize] };
        let high = if self.hi <= 0.0 { self.hi } else { sorted[sorted.len() - 1 - outside.floor() as usize] };
        (low, high)
    }
}

/// Counts of the kept values over `lo..=hi`, which holds 0.
struct Histogram {
    lo: f64,
    width: f64,
    counts: Vec<f64>,
}

impl Histogram {
    fn of(observer: &Observer) -> Self {
        let (lo, hi) = (f64::from(observer.lo.min(0.0)), f64::from(observer.hi.max(0.0)));
        let width = ((hi - lo) / BINS as f64).max(f64::MIN_POSITIVE);
        let mut counts = vec![0.0; BINS];
        for &x in &observer.kept {
            counts[(((f64::from(x) - lo) / width) as usize).min(BINS - 1)] += 1.0;
        }
        Histogram { lo, width, counts }
    }

    fn center(&self, bin: usize) -> f64 {
        self.lo + (bin as f64 + 0.5) * self.width
    }

    fn hi(&self) -> f64 {
        self.lo + BINS as f64 * self.width
    }

    /// Shrinks both ends together, then each by itself, as long as the mean squared error falls.
    ///
    /// The errors are those of what `f` makes of the values.
    fn least_mse(&self, f: &dyn Fn(f32) -> f32) -> (f32, f32) {
        let f = |x: f64| f64::from(f(x as f32));
        let bins = self.counts.iter().enumerate().filter(|(_, count)| **count > 0.0);
        let bins: Vec<[f64; 4]> = bins
            .map(|(bin, &count)| {
                let (x, half) = (self.center(bin), self.width / 2.0);
                [x, f(x), (f(x + half) - f(x - half)) / self.width, count]
            })
            .collect();
        let error = |low: f64, high: f64| -> f64 {
            let Some(affine) = Affine::covering((self.lo * low) as f32, (self.hi() * high) as f32) else {
                return f64::INFINITY;
            };
            let (lo, hi) = affine.range();
            let [lo, hi] = [lo, hi].map(f64::from);
            let ends = [f(lo), f(hi)];
            let of_bin = |&[x, y, slope, count]: &[f64; 4]| {
                // Rounding errors are spread evenly inside a step; what is clipped is counted as it is.
                let end = if x < lo { ends[0] } else { ends[1] };
                let clipped = if x < lo || x > hi { end - y } else { 0.0 };
                count * (clipped * clipped + (slope * f64::from(affine.scale)).powi(2) / 12.0)
            };
            bins.iter().map(of_bin).sum()
        };
        let steps = || (1..=64).rev().map(|i| f64::from(i) / 64.0);
        let least = |f: &dyn Fn(f64) -> f64| {
            let mut best = (1.0, f(1.0));
            for step in steps().skip(1) {
                let e = f(step);
                if e < best.1 {
                    best = (step, e);
                }
            }
            best.0
        };
        let both = least(&|s| error(s, s));
        let low = if self.lo < 0.0 { both * least(&|s| error(both * s, both)) } else { 1.0 };
        let high = least(&|s| error(low, both * s)) * both;
        ((self.lo * low) as f32, (self.hi() * high) as f32)
    }

    /// The share of the range for which the clipped distribution and its rounding to int8 levels differ least.
    fn least_divergence(&self) -> (f32, f32) {
        let zero = ((-self.lo / self.width).round() as usize).min(BINS);
        let mut best = (f64::INFINITY, 1.0);
        for step in (16..=128).rev() {
            let share = f64::from(step) / 128.0;
            let first = zero - (zero as f64 * share) as usize;
            let last = zero + ((BINS - zero) as f64 * share) as usize;
            if last - first < LEVELS {
                break;
            }
            let divergence = self.divergence(first, last);
            if divergence < best.0 {
                best = (divergence, share);
            }
        }
        ((self.lo * best.1) as f32, (self.hi() * best.1) as f32)
    }

    /// KL divergence of bins `first..last`, with what lies outside added to its ends, from their rounding to int8.
    fn divergence(&self, first: usize, last: usize) -> f64 {
        let mut clipped = self.counts[first..last].to_vec();
        let inner = clipped.clone();
        clipped[0] += self.counts[..first].iter().sum::<f64>();
        clipped[last - first - 1] += self.counts[last..].iter().sum::<f64>();
        let total: f64 = clipped.iter().sum();
        let inside: f64 = inner.iter().sum();
        if total == 0.0 || inside == 0.0 {
            return f64::INFINITY;
        }
        let mut sum = 0.0;
        for level in 0..LEVELS {
            let bin = |l: usize| l * inner.len() / LEVELS;
            let (from, to) = (bin(level), bin(level + 1));
            let filled = clipped[from..to].iter().filter(|c| **c > 0.0).count();
            if filled == 0 {
                continue;
            }
            // A level that only clipped values reach is not empty in the reference, so it must not be so here.
            let share = (inner[from..to].iter().sum::<f64>() / filled as f64).max(1e-4);
            for &p in clipped[from..to].iter().filter(|p| **p > 0.0) {
                sum += p / total * ((p / total) / (share / inside)).ln();
            }
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Near-normal numbers from a small generator: the sum of 12 uniform ones.
    fn bell(n: usize, spread: f32) -> Vec<f32> {
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        let mut uniform = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1 << 24) as f32
        };
        (0..n).map(|_| spread * ((0..12).map(|_| uniform()).sum::<f32>() - 6.0)).collect()
    }

    fn aim(calibrators: &[Calibrator], percentile: f64) -> Aim<'_> {
        Aim { span: Span::Free, calibrators, percentile, read_by: &|x| x }
    }

    fn observe(values: &[f32]) -> Observer {
        let mut observer = Observer::new(values.len(), 1);
        for chunk in values.chunks(1000) {
            observer.see(chunk);
        }
        observer
    }

    #[test]
    fn evenly_spread_values_want_their_whole_range() {
        let values: Vec<f32> = (0..=2550).map(|i| i as f32 / 1000.0).collect();
        let observer = observe(&values);
        let choice = Observer::choose(&[&observer], &aim(&Calibrator::ALL, 99.99)).unwrap();
        assert_eq!(choice.affine.zero_point, -128);
        assert!((choice.affine.scale - 0.01).abs() < 2e-4, "{choice:?}");
        // Evenly spread rounding errors of a step of 0.01.
        assert!((choice.mse - 0.01 * 0.01 / 12.0).abs() < 1e-6, "{choice:?}");
    }

    #[test]
    fn outliers_are_clipped_where_that_lowers_the_error() {
        let mut values = bell(100_000, 1.0);
        values.push(200.0);
        let observer = observe(&values);
        assert_eq!(observer.bounds().unwrap().1, 200.0);
        let all = Observer::choose(&[&observer], &aim(&[Calibrator::MinMax], 99.99)).unwrap();
        let percentile = Observer::choose(&[&observer], &aim(&[Calibrator::Percentile], 99.9)).unwrap();
        let entropy = Observer::choose(&[&observer], &aim(&[Calibrator::Entropy], 99.9)).unwrap();
        let best = Observer::choose(&[&observer], &aim(&Calibrator::ALL, 99.9)).unwrap();
        assert!(percentile.affine.range().1 < 10.0, "{percentile:?}");
        assert!(entropy.affine.range().1 < 199.0, "{entropy:?}");
        assert!(best.mse <= all.mse && best.mse <= percentile.mse && best.mse <= entropy.mse, "{best:?}");
        assert!(best.mse < all.mse * 0.95, "{best:?} against {all:?}");
    }

    #[test]
    fn the_mse_range_of_a_bell_is_near_the_known_optimum() {
        // For a normal distribution and 8 bits the best clip is at 3.9 standard deviations (Banner et al., 2019).
        let observer = observe(&bell(100_000, 1.0));
        let (lo, hi) = observer.range(Calibrator::Mse, &aim(&[], 99.99)).unwrap();
        assert!((3.3..4.4).contains(&hi) && (3.3..4.4).contains(&-lo), "{lo}..{hi}");
    }

    #[test]
    fn what_a_function_makes_alike_is_clipped() {
        let values = bell(100_000, 2.0);
        let observer = observe(&values);
        let gelu = |x| crate::graph::Unary::Gelu.apply(x);
        let aim = Aim { read_by: &gelu, ..aim(&Calibrator::ALL, 99.99) };
        let choice = Observer::choose(&[&observer], &aim).unwrap();
        let (lo, hi) = choice.affine.range();
        assert!((-4.5..-2.0).contains(&lo) && hi > 5.5, "{choice:?}");
        let all = observer.mse(Affine::covering(-8.0, 8.0).unwrap(), &gelu);
        assert!(choice.mse < 0.6 * all, "{choice:?} {all}");
    }

    #[test]
    fn values_are_kept_evenly_over_calls() {
        let mut observer = Observer::new(KEPT * 4, 40);
        for chunk in (0..KEPT * 4).collect::<Vec<_>>().chunks(777) {
            observer.see(&chunk.iter().map(|&i| i as f32).collect::<Vec<_>>());
        }
        assert_eq!(observer.stride, 7);
        assert!(observer.kept.iter().enumerate().all(|(i, &x)| x == (i * 7) as f32));
    }

    #[test]
    fn values_that_are_not_finite_leave_no_choice() {
        let mut observer = observe(&[1.0, f32::NAN]);
        assert_eq!(observer.bounds(), None);
        observer.see(&[2.0]);
        assert_eq!(Observer::choose(&[&observer], &aim(&Calibrator::ALL, 99.9)), None);
        assert_eq!(Observer::new(0, 1).bounds(), None);
    }
}
