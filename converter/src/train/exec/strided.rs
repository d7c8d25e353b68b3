//! Loops over several tensors at once, each with its own strides: broadcasting and every kind of copy.

/// A loop over `V` tensors of one shape, axes merged where all of them allow it.
#[derive(Clone, Debug)]
pub(super) struct Strided<const V: usize> {
    /// Sizes and steps of the axes, outermost first; the last is the inner loop.
    axes: Vec<(usize, [usize; V])>,
    start: [usize; V],
}

impl<const V: usize> Strided<V> {
    /// A loop over `shape` where tensor `v` begins at `start[v]` and has strides `strides[v]`.
    pub(super) fn new(shape: &[usize], strides: [&[usize]; V], start: [usize; V]) -> Self {
        let mut axes: Vec<(usize, [usize; V])> = Vec::new();
        for (axis, &size) in shape.iter().enumerate() {
            let steps = strides.map(|s| s[axis]);
            match axes.last_mut() {
                _ if size == 1 => {}
                Some((outer, outer_steps)) if (0..V).all(|v| outer_steps[v] == steps[v] * size) => {
                    (*outer, *outer_steps) = (*outer * size, steps);
                }
                _ => axes.push((size, steps)),
            }
        }
        if axes.is_empty() {
            axes.push((1, [0; V]));
        }
        Strided { axes, start }
    }

    /// Calls `inner(begins, length, steps)` for each inner loop, in order.
    pub(super) fn runs(&self, mut inner: impl FnMut([usize; V], usize, [usize; V])) {
        let [outer @ .., (len, steps)] = self.axes.as_slice() else { return };
        self.descend(outer, self.start, &mut |at| inner(at, *len, *steps));
    }

    fn descend(&self, axes: &[(usize, [usize; V])], mut at: [usize; V], inner: &mut impl FnMut([usize; V])) {
        let [(size, steps), rest @ ..] = axes else { return inner(at) };
        for _ in 0..*size {
            self.descend(rest, at, inner);
            for v in 0..V {
                at[v] += steps[v];
            }
        }
    }
}

/// Distances between neighbours along each axis of a dense tensor.
pub(super) fn dense(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis];
    }
    strides
}

/// Strides of a dense tensor of `shape` read as one of shape `to` by NumPy's rule.
pub(super) fn broadcast(shape: &[usize], to: &[usize]) -> Vec<usize> {
    let lead = to.len() - shape.len();
    let mut strides = vec![0; to.len()];
    for (axis, (stride, &size)) in dense(shape).into_iter().zip(shape).enumerate() {
        if size > 1 {
            strides[lead + axis] = stride;
        }
    }
    strides
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_merge_and_broadcast() {
        let out = [2, 3, 4];
        let (a, b) = (dense(&out), broadcast(&[3, 1], &out));
        let walk = Strided::new(&out, [&a, &b], [0, 0]);
        let mut seen = Vec::new();
        walk.runs(|[x, y], len, [sx, sy]| (0..len).for_each(|i| seen.push((x + i * sx, y + i * sy))));
        let expected: Vec<_> = (0..24).map(|i| (i, i / 4 % 3)).collect();
        assert_eq!(seen, expected);
        assert_eq!(Strided::new(&out, [&a, &a], [0, 0]).axes, [(24, [1, 1])]);
    }
}
