//! How alike two networks see which tokens of a text belong together: the divergence of their shares of attention.
//!
//! Both rows of vectors (queries and keys, or values twice) are cut into the same number of heads, which need not be as wide in
//! one network as in the other (Wang et al. 2020 and 2021).

/// Two rows of vectors, one for each token, of one width.
#[derive(Clone, Copy)]
pub(super) struct Pair<'a> {
    pub(super) a: &'a [f32],
    pub(super) b: &'a [f32],
}

/// The divergence of the student's shares from the teacher's (Kullback and Leibler), the mean over heads and tokens of a text
/// times `weight`; its gradients by the student's rows are added to `grads`.
pub(super) fn diverge(
    own: Pair<'_>,
    wanted: Pair<'_>,
    [tokens, heads]: [usize; 2],
    weight: f32,
    [grad_a, grad_b]: [&mut [f32]; 2],
) -> f64 {
    let width = own.a.len() / tokens.max(1);
    let depth = width / heads.max(1);
    let mean = weight / (heads * tokens) as f32;
    let mut total = 0.0;
    for head in 0..heads {
        let [own_logs, wanted_logs] = [own, wanted].map(|pair| pair.log_shares(tokens, [head, heads]));
        for (i, (own_row, wanted_row)) in
            own_logs.chunks_exact(tokens).zip(wanted_logs.chunks_exact(tokens)).enumerate()
        {
            for (j, (own_log, wanted_log)) in own_row.iter().zip(wanted_row).enumerate() {
                let share = wanted_log.exp();
                total += f64::from(mean * share * (wanted_log - own_log));
                let slope = mean * (own_log.exp() - share) / (depth as f32).sqrt();
                let (at_a, at_b) = (i * width + head * depth, j * width + head * depth);
                for channel in 0..depth {
                    grad_a[at_a + channel] += slope * own.b[at_b + channel];
                    grad_b[at_b + channel] += slope * own.a[at_a + channel];
                }
            }
        }
    }
    total
}

impl Pair<'_> {
    /// The logarithms of the shares that each token of a head gives each token.
    fn log_shares(self, tokens: usize, [head, heads]: [usize; 2]) -> Vec<f32> {
        let width = self.a.len() / tokens.max(1);
        let depth = width / heads.max(1);
        let row =
            |rows: &'_ [f32], token: usize| -> Vec<f32> { rows[token * width + head * depth..][..depth].to_vec() };
        let others: Vec<Vec<f32>> = (0..tokens).map(|token| row(self.b, token)).collect();
        let mut logs = Vec::with_capacity(tokens * tokens);
        for token in 0..tokens {
            let own = row(self.a, token);
            let product = |other: &Vec<f32>| own.iter().zip(other).map(|(a, b)| a * b).sum::<f32>();
            let scores: Vec<f32> = others.iter().map(|other| product(other) / (depth as f32).sqrt()).collect();
            let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let log_sum = largest + scores.iter().map(|score| (score - largest).exp()).sum::<f32>().ln();
            logs.extend(scores.iter().map(|score| score - log_sum));
        }
        logs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wave(len: usize, seed: usize) -> Vec<f32> {
        (0..len).map(|i| (((i + seed) * 7919 % 101) as f32 - 50.0) / 40.0).collect()
    }

    #[test]
    fn the_divergence_is_that_of_the_definition() {
        // One head of one channel, two tokens: scores are products.
        let (own, wanted) = ([1.0, -1.0], [0.5, 2.0]);
        let mut unused = [vec![0.0; 2], vec![0.0; 2]];
        let [a, b] = &mut unused;
        let [own, wanted] = [&own, &wanted].map(|row| Pair { a: row, b: row });
        let found = diverge(own, wanted, [2, 1], 1.0, [a, b]);
        let softmax = |x: f64, y: f64| [x.exp() / (x.exp() + y.exp()), y.exp() / (x.exp() + y.exp())];
        let rows = [(softmax(1.0, -1.0), softmax(0.25, 1.0)), (softmax(-1.0, 1.0), softmax(1.0, 4.0))];
        let expected: f64 = rows.iter().map(|(s, t)| (0..2).map(|j| t[j] * (t[j] / s[j]).ln()).sum::<f64>()).sum();
        assert!((found - expected / 2.0).abs() < 1e-6, "{found} instead of {}", expected / 2.0);
    }

    #[test]
    fn gradients_are_those_of_the_divergence() {
        // Teacher and student are of different widths; of values both rows are the same.
        let (tokens, heads) = (3, 2);
        let (q, k, teacher) = (wave(12, 1), wave(12, 5), [wave(24, 3), wave(24, 9)]);
        let wanted = Pair { a: &teacher[0], b: &teacher[1] };
        for shared in [false, true] {
            let at = |q: &[f32], k: &[f32], grads: [&mut [f32]; 2]| {
                diverge(Pair { a: q, b: if shared { q } else { k } }, wanted, [tokens, heads], 0.7, grads)
            };
            let (mut dq, mut dk) = (vec![0.0; 12], vec![0.0; 12]);
            at(&q, &k, [&mut dq, &mut dk]);
            for i in 0..12 {
                let moved = |by: f32| {
                    let mut q = q.clone();
                    q[i] += by;
                    at(&q, &k, [&mut [0.0; 12], &mut [0.0; 12]])
                };
                let slope = (moved(1e-2) - moved(-1e-2)) / 2e-2;
                let found = dq[i] + if shared { dk[i] } else { 0.0 };
                assert!((slope - f64::from(found)).abs() < 1e-4, "{i}: {slope} and {found}");
            }
        }
        let same = Pair { a: &q, b: &k };
        assert!(diverge(same, same, [tokens, heads], 1.0, [&mut [0.0; 12], &mut [0.0; 12]]).abs() < 1e-6);
    }
}
