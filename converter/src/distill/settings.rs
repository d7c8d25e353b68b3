//! What a recipe says about distillation.

use crate::train::{Distance, Distill, Hidden};
use serde::{Deserialize, Serialize};

/// How a student learns from a teacher's answers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DistillSettings {
    /// Both sides' logits are divided by it before they are compared, which brings out the classes that are not the first.
    pub temperature: f32,
    /// The teacher's part of the loss, from 0 to 1; the labels have the rest.
    pub weight: f32,
    /// How much the distance between the student's and the teacher's vector of a text counts beside these; 0 does without.
    // What is as usual is not written: results of former recipes keep their keys.
    #[serde(skip_serializing_if = "is_zero")]
    pub hidden: f32,
    /// What a distance of vectors is: `"cosine"` or `"mse"`.
    #[serde(skip_serializing_if = "is_usual")]
    pub distance: Distance,
    /// How much the distance of the student's and the first teacher's vectors of each token counts, layer by layer; 0 does without.
    #[serde(skip_serializing_if = "is_zero")]
    pub states: f32,
    /// How much it counts that both see other tokens of a text belong together, in their last layers; 0 does without. For this and
    /// for `states` the teacher runs beside the student in every step.
    #[serde(skip_serializing_if = "is_zero")]
    pub attention: f32,
}

fn is_zero(value: &f32) -> bool {
    *value == 0.0
}

fn is_usual(distance: &Distance) -> bool {
    *distance == Distance::default()
}

impl Default for DistillSettings {
    fn default() -> Self {
        DistillSettings {
            temperature: 4.0,
            weight: 0.9,
            hidden: 0.0,
            distance: Distance::Cosine,
            states: 0.0,
            attention: 0.0,
        }
    }
}

impl DistillSettings {
    /// The loss of these settings.
    pub(super) fn loss(&self) -> Distill {
        Distill { temperature: self.temperature, weight: self.weight }
    }

    /// The loss of vectors, if it counts.
    pub(super) fn vectors(&self) -> Option<Hidden> {
        (self.hidden > 0.0).then_some(Hidden { weight: self.hidden, distance: self.distance })
    }

    /// Whether a student is to be like its teacher on the way to the answers, too: then the teacher runs beside it.
    pub(crate) fn looks_inside(&self) -> bool {
        self.states > 0.0 || self.attention > 0.0
    }

    /// What makes no sense, if anything.
    pub(crate) fn problem(&self) -> Option<String> {
        let not_negative = |(name, value): (&str, f32)| {
            (!(value.is_finite() && value >= 0.0)).then(|| format!("`{name}` is {value}, but must not be negative"))
        };
        if !(self.temperature.is_finite() && self.temperature > 0.0) {
            Some(format!("`temperature` is {}, but must be above 0", self.temperature))
        } else if !(0.0..=1.0).contains(&self.weight) {
            Some(format!("`weight` is {}, but must be from 0 to 1", self.weight))
        } else {
            let distances = [("hidden", self.hidden), ("states", self.states), ("attention", self.attention)];
            distances.into_iter().find_map(not_negative)
        }
    }
}

/// How a teacher's answers are made and stored.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LabelSettings {
    /// Fixed ways to look at each image, each with its own answer: the image, mirrored, changed at random.
    pub views: usize,
    /// Type of the stored numbers.
    pub precision: Precision,
    /// How the answers of several teachers become one.
    pub ensemble: Ensemble,
}

impl Default for LabelSettings {
    fn default() -> Self {
        LabelSettings { views: 8, precision: Precision::F16, ensemble: Ensemble::Logits }
    }
}

/// Type of stored numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Half precision: 11 bits, up to 65504.
    F16,
    /// Single precision.
    F32,
}

/// How the answers of several teachers become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ensemble {
    /// The mean of the logits.
    Logits,
    /// The logarithm of the mean of the probabilities.
    Probabilities,
}

impl Ensemble {
    /// Adds a teacher's logits to the sums of all, to which it contributes `share`.
    pub(super) fn add(self, sums: &mut [f32], logits: &[f32], share: f32) {
        match self {
            Ensemble::Logits => sums.iter_mut().zip(logits).for_each(|(sum, value)| *sum += share * value),
            Ensemble::Probabilities => {
                let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let total: f32 = logits.iter().map(|v| (v - largest).exp()).sum();
                for (sum, value) in sums.iter_mut().zip(logits) {
                    *sum += share * (value - largest).exp() / total;
                }
            }
        }
    }

    /// Makes logits of the sums.
    pub(super) fn finish(self, sums: &mut [f32]) {
        if self == Ensemble::Probabilities {
            // Far below any probability that matters, and still a finite logarithm.
            sums.iter_mut().for_each(|p| *p = p.max(1e-30).ln());
        }
    }
}
