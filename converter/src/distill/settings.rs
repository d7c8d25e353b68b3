//! What a recipe says about distillation.

use crate::train::Distill;
use serde::{Deserialize, Serialize};

/// How a student learns from a teacher's answers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DistillSettings {
    /// Both sides' logits are divided by it before they are compared, which brings out the classes that are not the first.
    pub temperature: f32,
    /// The teacher's part of the loss, from 0 to 1; the labels have the rest.
    pub weight: f32,
}

impl Default for DistillSettings {
    fn default() -> Self {
        DistillSettings { temperature: 4.0, weight: 0.9 }
    }
}

impl DistillSettings {
    /// The loss of these settings.
    pub(super) fn loss(&self) -> Distill {
        Distill { temperature: self.temperature, weight: self.weight }
    }

    /// What makes no sense, if anything.
    pub(super) fn problem(&self) -> Option<String> {
        if !(self.temperature.is_finite() && self.temperature > 0.0) {
            Some(format!("`temperature` is {}, but must be above 0", self.temperature))
        } else if !(0.0..=1.0).contains(&self.weight) {
            Some(format!("`weight` is {}, but must be from 0 to 1", self.weight))
        } else {
            None
        }
    }
}

/// How a teacher's answers are made and stored.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LabelSettings {
    /// Fixed ways to look at each image, each with its own answer: the image, mirrored, mirrored and shifted at random.
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
