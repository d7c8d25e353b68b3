//! The losses of classifiers: cross entropy with smoothed labels, mixed with a teacher's softened outputs.

use super::examples::Target;
use serde::{Deserialize, Serialize};

/// What is minimized.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Loss {
    /// Probability spread evenly over all classes in the labels.
    pub smoothing: f32,
    /// How the teacher's outputs count, for examples that have them.
    pub distill: Option<Distill>,
    /// How the teacher's vectors count, for networks with a second output and examples that have them.
    pub hidden: Option<Hidden>,
}

/// How far the network's second output may be from a teacher's vector for the same example (Sanh et al. 2019, Jiao et al.
/// 2020).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hidden {
    /// What the distance is multiplied by before it is added to the other losses.
    pub weight: f32,
    /// What the distance is.
    pub distance: Distance,
}

/// A distance of two vectors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Distance {
    /// One minus the cosine of the angle between them.
    #[default]
    Cosine,
    /// The mean square of the difference.
    Mse,
}

impl Hidden {
    /// The loss of a batch, and the gradient of its mean with respect to the vectors (rows of one example each).
    pub(super) fn batch(&self, vectors: &[f32], targets: &[Target<'_>], grad: &mut [f32]) -> f64 {
        let width = (vectors.len() / targets.len().max(1)).max(1);
        let rows = vectors.chunks_exact(width).zip(grad.chunks_exact_mut(width));
        let mut total = 0.0;
        for ((own, grad), target) in rows.zip(targets) {
            let Some(wanted) = target.vector.filter(|vector| vector.len() == width) else { continue };
            total += self.distance.between(own, wanted, self.weight / targets.len() as f32, grad);
        }
        total * targets.len() as f64
    }
}

impl Distance {
    /// The distance of two vectors times `weight`; its gradient by the first is added to `grad`.
    pub(crate) fn between(self, own: &[f32], wanted: &[f32], weight: f32, grad: &mut [f32]) -> f64 {
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
        let values = || own.iter().zip(wanted);
        match self {
            Distance::Cosine => {
                let (length, other) = (dot(own, own).sqrt().max(SHORTEST), dot(wanted, wanted).sqrt().max(SHORTEST));
                let cosine = dot(own, wanted) / (length * other);
                for (grad, (own, wanted)) in grad.iter_mut().zip(values()) {
                    *grad += weight / length * (cosine * own / length - wanted / other);
                }
                f64::from(weight * (1.0 - cosine))
            }
            Distance::Mse => {
                let share = weight / own.len() as f32;
                for (grad, (own, wanted)) in grad.iter_mut().zip(values()) {
                    *grad += 2.0 * share * (own - wanted);
                }
                f64::from(share * values().map(|(own, wanted)| (own - wanted) * (own - wanted)).sum::<f32>())
            }
        }
    }
}

/// Keeps divisions by lengths of vectors away from zero.
const SHORTEST: f32 = 1e-6;

/// How a teacher's outputs count (Hinton, Vinyals, Dean 2015).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Distill {
    /// Both sides' logits are divided by it before the softmax.
    pub temperature: f32,
    /// The teacher's part of the loss; the labels have the rest.
    pub weight: f32,
}

/// Sums over the examples of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Sums {
    /// Of the loss.
    pub(crate) loss: f64,
    /// Of examples whose largest logit, the first one if several are equal, is that of their label.
    pub(crate) correct: usize,
}

impl std::ops::AddAssign for Sums {
    fn add_assign(&mut self, other: Self) {
        self.loss += other.loss;
        self.correct += other.correct;
    }
}

impl Loss {
    /// The loss of a batch, and the gradient of its mean with respect to the logits (rows of one example each).
    pub(super) fn batch(&self, logits: &[f32], targets: &[Target<'_>], grad: &mut [f32]) -> Sums {
        let classes = logits.len() / targets.len().max(1);
        let mean = 1.0 / targets.len() as f32;
        let mut sums = Sums::default();
        let (mut student, mut teacher) = (vec![0.0; classes], vec![0.0; classes]);
        let rows = logits.chunks_exact(classes).zip(grad.chunks_exact_mut(classes));
        for ((logits, grad), target) in rows.zip(targets) {
            let label = target.label as usize;
            let distill = self.distill.filter(|_| target.teacher.is_some());
            let hard = mean * (1.0 - distill.map_or(0.0, |d| d.weight));
            let log_sum = softmax(logits, 1.0, &mut student);
            let even = self.smoothing / classes as f32;
            let (other, share) = target.mixed.map_or((label, 0.0), |(other, share)| (other as usize, share));
            let mut loss = 0.0;
            for (class, grad) in grad.iter_mut().enumerate() {
                let part = |of: usize, share: f32| if class == of { share } else { 0.0 };
                let wanted = even + (1.0 - self.smoothing) * (part(label, 1.0 - share) + part(other, share));
                *grad = hard * (student[class] - wanted);
                loss += hard * wanted * (log_sum - logits[class]);
            }
            if let (Some(Distill { temperature, weight }), Some(wanted)) = (distill, target.teacher) {
                let soft = mean * weight * temperature;
                let student_sum = softmax(logits, temperature, &mut student);
                let teacher_sum = softmax(wanted, temperature, &mut teacher);
                for (class, grad) in grad.iter_mut().enumerate() {
                    *grad += soft * (student[class] - teacher[class]);
                    let gap = (wanted[class] / temperature - teacher_sum) - (logits[class] / temperature - student_sum);
                    // The square of the temperature keeps the size of the gradient as the temperature changes.
                    loss += soft * temperature * teacher[class] * gap;
                }
            }
            sums.loss += f64::from(loss) * targets.len() as f64;
            sums.correct += usize::from(first_max(logits) == label);
        }
        sums
    }
}

/// The index of the largest value; of equal ones the first.
pub(super) fn first_max(values: &[f32]) -> usize {
    let mut best = 0;
    for (index, value) in values.iter().enumerate() {
        if *value > values[best] {
            best = index;
        }
    }
    best
}

/// Writes the softmax of `logits / temperature`; returns the logarithm of its denominator.
fn softmax(logits: &[f32], temperature: f32, out: &mut [f32]) -> f32 {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for (out, logit) in out.iter_mut().zip(logits) {
        *out = ((logit - largest) / temperature).exp();
        sum += *out;
    }
    for out in out {
        *out /= sum;
    }
    sum.ln() + largest / temperature
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGITS: [f32; 6] = [1.0, -0.5, 2.0, 0.25, 0.5, -1.5];
    const TEACHER: [f32; 6] = [3.0, 0.5, -1.0, -2.0, 4.0, 1.0];

    fn targets(with_teacher: bool) -> [Target<'static>; 2] {
        let teacher = |row: usize| with_teacher.then(|| &TEACHER[3 * row..][..3]);
        [(2, 0), (0, 1)].map(|(label, row)| Target { label, mixed: None, teacher: teacher(row), vector: teacher(row) })
    }

    #[test]
    fn cross_entropy_is_that_of_the_textbook() {
        let mut grad = [0.0; 6];
        let sums = Loss::default().batch(&LOGITS, &targets(false), &mut grad);
        // log(e^1 + e^-0.5 + e^2) - 2 and log(e^0.25 + e^0.5 + e^-1.5) - 0.25
        assert!((sums.loss - (0.371_540 + 0.899_266)).abs() < 1e-4, "{}", sums.loss);
        assert_eq!(sums.correct, 1);
    }

    #[test]
    fn gradients_are_those_of_the_loss() {
        for (loss, with_teacher) in [
            (Loss::default(), false),
            (Loss { smoothing: 0.1, ..Loss::default() }, false),
            (Loss { smoothing: 0.1, distill: Some(Distill { temperature: 4.0, weight: 0.7 }), hidden: None }, true),
            (Loss { distill: Some(Distill { temperature: 1.0, weight: 1.0 }), ..Loss::default() }, true),
        ] {
            let targets = targets(with_teacher);
            let (mut grad, mut unused) = ([0.0; 6], [0.0; 6]);
            loss.batch(&LOGITS, &targets, &mut grad);
            for (i, grad) in grad.iter().enumerate() {
                let mut at = |delta: f32| {
                    let mut logits = LOGITS;
                    logits[i] += delta;
                    loss.batch(&logits, &targets, &mut unused).loss / 2.0
                };
                let slope = (at(1e-2) - at(-1e-2)) / 2e-2;
                assert!((slope - f64::from(*grad)).abs() < 1e-4, "{loss:?} at {i}: {slope} and {grad}");
            }
        }
    }

    #[test]
    fn vectors_are_drawn_to_the_teachers() {
        for distance in [Distance::Cosine, Distance::Mse] {
            let hidden = Hidden { weight: 0.5, distance };
            let (mut grad, mut unused) = ([0.0; 6], [0.0; 6]);
            hidden.batch(&LOGITS, &targets(true), &mut grad);
            for (i, grad) in grad.iter().enumerate() {
                let mut at = |delta: f32| {
                    let mut vectors = LOGITS;
                    vectors[i] += delta;
                    hidden.batch(&vectors, &targets(true), &mut unused) / 2.0
                };
                let slope = (at(1e-2) - at(-1e-2)) / 2e-2;
                assert!((slope - f64::from(*grad)).abs() < 1e-4, "{distance:?} at {i}: {slope} and {grad}");
            }
            assert!(hidden.batch(&TEACHER, &targets(true), &mut grad).abs() < 1e-6);
            assert_eq!(hidden.batch(&LOGITS, &targets(false), &mut [0.0; 6]), 0.0);
        }
    }

    #[test]
    fn a_student_equal_to_its_teacher_has_nothing_to_learn() {
        let loss = Loss { distill: Some(Distill { temperature: 3.0, weight: 1.0 }), ..Loss::default() };
        let mut grad = [1.0; 6];
        let sums = loss.batch(&TEACHER, &targets(true), &mut grad);
        assert!(sums.loss.abs() < 1e-6 && grad.iter().all(|g| g.abs() < 1e-7), "{sums:?} {grad:?}");
    }
}
