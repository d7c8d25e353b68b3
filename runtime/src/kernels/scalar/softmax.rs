//! Softmax: largest value, exact sum of exponentials, one reciprocal a row.

use crate::ops::Softmax;

/// Each row of `op.len` values becomes its probabilities.
pub(super) fn softmax(op: &Softmax, output: &mut [i8]) {
    if op.len == 0 || op.len > u16::MAX as usize {
        return;
    }
    for row in output.chunks_exact_mut(op.len) {
        let max = row.iter().fold(i8::MIN, |max, &v| max.max(v));
        let exponential = |v: i8| op.exponential(max.abs_diff(v));
        let sum = row.iter().fold(0u32, |sum, &v| sum.wrapping_add(exponential(v)));
        let reciprocal = Softmax::reciprocal(sum);
        for v in row {
            *v = Softmax::probability(exponential(*v), reciprocal);
        }
    }
}
