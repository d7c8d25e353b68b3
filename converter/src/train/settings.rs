//! What a recipe says about training.

use crate::data::Augment;
use serde::{Deserialize, Serialize};

/// How a network is trained. The result depends on these and the data alone, not on the number of threads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainSettings {
    /// Times that every image is seen.
    pub epochs: usize,
    /// Images of a step.
    pub batch: usize,
    /// Of first weights, order, and augmentation.
    pub seed: u64,
    /// Training images kept apart to watch progress on; the final network of a recipe may learn from all.
    pub hold_out: usize,
    /// How gradients change weights.
    pub optimizer: OptimizerSettings,
    /// The highest learning rate.
    pub learning_rate: f32,
    /// How the learning rate moves.
    pub schedule: Schedule,
    /// Epochs in which the learning rate rises from zero.
    pub warmup: f32,
    /// Pull of weights towards zero; biases and normalizations are left alone.
    pub weight_decay: f32,
    /// Probability spread evenly over all classes in the labels.
    pub label_smoothing: f32,
    /// Share of the old value in the running mean of the weights that becomes the result; 0 takes the last weights.
    pub ema: f32,
    /// Longest gradient, over all parameters together; longer ones are scaled down to it.
    pub clip_norm: Option<f32>,
    /// How images are changed.
    pub augment: Augment,
    /// Share of the values of an encoder of texts that each step drops, in the places where BERT does, which drops 0.1.
    // What is as usual is not written: results of former recipes keep their keys.
    #[serde(skip_serializing_if = "is_zero")]
    pub dropout: f32,
    /// What stays as it is.
    #[serde(skip_serializing_if = "Freeze::is_nothing")]
    pub freeze: Freeze,
    /// Epochs after which one more layer learns, from the last one down (Howard and Ruder 2018); 0 lets all learn at once.
    #[serde(skip_serializing_if = "is_zero")]
    pub unfreeze: f32,
    /// The learning rate of each layer as a share of that of the next one up; 1 gives all the same.
    #[serde(skip_serializing_if = "is_one")]
    pub layer_decay: f32,
}

fn is_zero(value: &f32) -> bool {
    *value == 0.0
}

fn is_one(value: &f32) -> bool {
    *value == 1.0
}

/// Parts of a network that are not trained.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "`freeze` is `true`, or a list of parts of the network such as [\"embeddings\", \"layer1\"]"
)]
pub enum Freeze {
    /// `true`: all but the last layer.
    Body(bool),
    /// By the beginnings of their parameters' names (`embeddings`, `layer1`).
    Parts(Vec<String>),
}

impl Default for Freeze {
    fn default() -> Self {
        Freeze::Body(false)
    }
}

impl Freeze {
    /// Whether everything learns.
    pub(crate) fn is_nothing(&self) -> bool {
        !self.is_body() && self.parts().is_empty()
    }

    /// Whether the last layer alone learns.
    pub(crate) fn is_body(&self) -> bool {
        *self == Freeze::Body(true)
    }

    /// The parts that are named.
    pub(super) fn parts(&self) -> &[String] {
        match self {
            Freeze::Body(_) => &[],
            Freeze::Parts(parts) => parts,
        }
    }
}

/// How gradients change weights.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum OptimizerSettings {
    /// Stochastic gradient descent.
    Sgd {
        /// Share of the former step in the next.
        #[serde(default = "momentum")]
        momentum: f32,
        /// Look ahead along the momentum (Nesterov).
        #[serde(default)]
        nesterov: bool,
    },
    /// Adam with decoupled weight decay (Loshchilov and Hutter 2019).
    AdamW {
        /// Share of the old mean gradient.
        #[serde(default = "beta1")]
        beta1: f32,
        /// Share of the old mean square.
        #[serde(default = "beta2")]
        beta2: f32,
    },
}

fn momentum() -> f32 {
    0.9
}

fn beta1() -> f32 {
    0.9
}

fn beta2() -> f32 {
    0.999
}

/// How the learning rate moves over a training.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// Warm-up, then constant.
    Constant,
    /// Warm-up, then half a cosine down to zero (Loshchilov and Hutter 2017).
    Cosine,
    /// Up in the first 30 %, down in the rest, both along cosines (Smith 2018); `warmup` is not used.
    OneCycle,
}

impl Default for TrainSettings {
    fn default() -> Self {
        TrainSettings {
            epochs: 100,
            batch: 128,
            seed: 1,
            hold_out: 0,
            optimizer: OptimizerSettings::Sgd { momentum: momentum(), nesterov: true },
            learning_rate: 0.1,
            schedule: Schedule::Cosine,
            warmup: 2.0,
            weight_decay: 5e-4,
            label_smoothing: 0.0,
            ema: 0.999,
            clip_norm: None,
            augment: Augment::default(),
            dropout: 0.0,
            freeze: Freeze::default(),
            unfreeze: 0.0,
            layer_decay: 1.0,
        }
    }
}

impl TrainSettings {
    /// What makes no sense, if anything.
    pub(crate) fn problem(&self) -> Option<String> {
        let share = |name: &str, value: f32| {
            (!(0.0..1.0).contains(&value)).then(|| format!("`{name}` is {value}, but must be at least 0 and below 1"))
        };
        let positive = |name: &str, value: f32| {
            (!(value.is_finite() && value > 0.0)).then(|| format!("`{name}` is {value}, but must be above 0"))
        };
        let not_negative = |name: &str, value: f32| {
            (!(value.is_finite() && value >= 0.0)).then(|| format!("`{name}` is {value}, but must not be negative"))
        };
        let some = |name: &str, value: usize| (value == 0).then(|| format!("`{name}` is 0, but must be 1 or more"));
        let optimizer = match self.optimizer {
            OptimizerSettings::Sgd { momentum, .. } => share("momentum", momentum),
            OptimizerSettings::AdamW { beta1, beta2 } => share("beta1", beta1).or_else(|| share("beta2", beta2)),
        };
        some("epochs", self.epochs)
            .or_else(|| some("batch", self.batch))
            .or_else(|| positive("learning_rate", self.learning_rate))
            .or_else(|| not_negative("warmup", self.warmup))
            .or_else(|| not_negative("weight_decay", self.weight_decay))
            .or_else(|| share("label_smoothing", self.label_smoothing))
            .or_else(|| share("ema", self.ema))
            .or_else(|| share("dropout", self.dropout))
            .or_else(|| not_negative("unfreeze", self.unfreeze))
            .or_else(|| positive("layer_decay", self.layer_decay))
            .or_else(|| self.augment.problem())
            .or_else(|| self.clip_norm.and_then(|norm| positive("clip_norm", norm)))
            .or(optimizer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipes_say_what_differs_from_the_defaults() {
        let settings: TrainSettings = toml::from_str(
            "epochs = 3\nschedule = \"one-cycle\"\noptimizer = { kind = \"adamw\", beta2 = 0.95 }\naugment = { shift = 2 }",
        )
        .unwrap();
        let expected = TrainSettings {
            epochs: 3,
            schedule: Schedule::OneCycle,
            optimizer: OptimizerSettings::AdamW { beta1: 0.9, beta2: 0.95 },
            augment: Augment { shift: 2, ..Augment::default() },
            ..TrainSettings::default()
        };
        assert_eq!(settings, expected);
    }

    #[test]
    fn usual_layers_leave_no_trace() {
        let written = serde_json::to_string(&TrainSettings::default()).unwrap();
        assert!(!written.contains("freeze") && !written.contains("layer_decay"), "{written}");
        let settings = TrainSettings { unfreeze: 0.5, layer_decay: 0.9, ..TrainSettings::default() };
        let again: TrainSettings = serde_json::from_str(&serde_json::to_string(&settings).unwrap()).unwrap();
        assert_eq!(again, settings);
    }

    #[test]
    fn all_but_the_last_layer_or_named_parts_are_frozen() {
        let freeze = |text: &str| toml::from_str::<TrainSettings>(text).map(|settings| settings.freeze);
        assert!(freeze("freeze = true").unwrap().is_body());
        assert!(freeze("freeze = []").unwrap().is_nothing() && freeze("").unwrap().is_nothing());
        assert_eq!(freeze("freeze = [\"layer1\"]").unwrap().parts(), ["layer1"]);
        let error = freeze("freeze = \"layer1\"").unwrap_err().to_string();
        assert!(error.contains("`freeze` is `true`, or a list"), "{error}");
        let written = serde_json::to_string(&freeze("freeze = [\"a\"]").unwrap()).unwrap();
        assert_eq!(written, "[\"a\"]");
    }

    #[test]
    fn unknown_keys_and_impossible_values_are_refused() {
        for text in ["epoch = 3", "augment = { flipp = true }", "optimizer = { kind = \"sgd\", beta1 = 0.9 }"] {
            assert!(toml::from_str::<TrainSettings>(text).is_err(), "{text}");
        }
        let rows = [
            "epochs = 0",
            "batch = 0",
            "learning_rate = nan",
            "ema = 1.0",
            "clip_norm = 0.0",
            "dropout = 1.0",
            "optimizer = { kind = \"sgd\", momentum = 1.5 }",
        ];
        for text in rows {
            let settings: TrainSettings = toml::from_str(text).unwrap();
            let field = text.split([' ', '=']).find(|word| *word != "optimizer").unwrap();
            let problem = settings.problem().unwrap();
            assert!(problem.contains(field) || problem.contains("momentum"), "{problem}");
        }
        assert_eq!(TrainSettings::default().problem(), None);
    }
}
