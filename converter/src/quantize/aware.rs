//! Quantization-aware training: the weights learn what rounding does, until the network says in int8 what it says in float.

use super::error::QuantizeError;
use super::graph::QuantGraph;
use super::search::Search;
use super::simulate::{Simulation, take_params};
use super::{QuantReport, QuantSettings, Samples, Trial};
use crate::data::hex;
use crate::graph::{Graph, Tensor};
use crate::train::exec::{Infer, Param};
use crate::train::{
    self, Batch, Control, Distill, Epoch, Examples, Loss, Objective, Sums, Target, TrainError, TrainSettings,
};
use sha2::{Digest, Sha256};

/// What a network learns rounding from.
#[derive(Clone, Copy)]
pub struct Lessons<'a> {
    /// Inputs; what the float network says of them is what is wanted, whatever their labels are.
    pub examples: &'a dyn Examples,
    /// How it is trained.
    pub settings: &'a TrainSettings,
    /// Both sides' logits are divided by it before they are compared.
    pub temperature: f32,
    /// How the training is run, stopped and watched.
    pub control: &'a Control<'a>,
}

/// A network that has learned what rounding does.
#[derive(Clone, Debug)]
pub struct Learned {
    /// In integers.
    pub int8: QuantGraph,
    /// In floats that are rounded as the integers are.
    pub simulated: Graph,
    /// What was tried and measured; the last trial is the training.
    pub report: QuantReport,
    /// How each epoch went.
    pub history: Vec<Epoch>,
}

/// Why a network could not learn rounding.
#[derive(Debug, thiserror::Error)]
pub enum AwareError {
    /// It has no int8 form.
    #[error(transparent)]
    Quantize(#[from] QuantizeError),
    /// The training ended early.
    #[error(transparent)]
    Train(#[from] TrainError),
}

/// Makes a classifier int8 as [`quantize`](super::quantize()) does, and then trains it with its values and weights rounded, to say
/// what the float network says.
///
/// # Errors
/// As of [`quantize`](super::quantize()), or if the training fails or is interrupted.
pub fn learn_rounding(
    graph: &Graph,
    samples: &Samples,
    settings: &QuantSettings,
    lessons: &Lessons<'_>,
) -> Result<Learned, AwareError> {
    let samples = samples.thin(settings.samples);
    let mut search = Search::new(graph, &samples, settings)?;
    search.run()?;
    let simulation = Simulation::new(&search.best)?;
    let mut mirror = Mirror::new(graph, &simulation, lessons)?;
    let trained =
        train::fit_to(&simulation.graph, lessons.examples, None, &mut mirror, lessons.settings, lessons.control)?;
    let mut float = search.best.float.clone();
    take_params(&mut float, &trained.graph);
    search.best = search.best.with_float(float, &samples, settings)?;
    search.trials.push(Trial { name: "trained with rounding".into(), snr_db: search.best.snr_db(), kept: true });
    let simulated = Simulation::new(&search.best)?.rounded();
    let (int8, report) = search.result()?;
    Ok(Learned { int8, simulated, report, history: trained.history })
}

/// How far the rounded network is from the float one.
struct Mirror<'a> {
    float: Infer,
    /// Of the inputs.
    shape: Vec<usize>,
    simulation: &'a Simulation,
    loss: Loss,
    of: String,
}

impl<'a> Mirror<'a> {
    fn new(float: &Graph, simulation: &'a Simulation, lessons: &Lessons<'_>) -> Result<Self, TrainError> {
        let mut hasher = Sha256::new();
        hasher.update(format!("{float} {}", simulation.describe()));
        for (_, tensor) in float.params() {
            tensor.data().iter().for_each(|value| hasher.update(value.to_le_bytes()));
        }
        let distill = Some(Distill { temperature: lessons.temperature, weight: 1.0 });
        Ok(Mirror {
            shape: float.inputs.first().map(|&id| float.shape(id).to_vec()).unwrap_or_default(),
            float: Infer::new(float, lessons.control.threads)?,
            simulation,
            loss: Loss { distill, ..Loss::default() },
            of: hex(&hasher.finalize()),
        })
    }
}

impl Objective for Mirror<'_> {
    fn judge(&mut self, batch: Batch<'_>, outputs: &[Vec<f32>], grads: &mut [Vec<f32>]) -> Result<Sums, TrainError> {
        let count = batch.indices.len();
        if let Some(size) = self.shape.first_mut() {
            *size = count;
        }
        let said = self.float.run(&Tensor::new(self.shape.clone(), batch.input.to_vec()))?;
        let said = said.first().map_or(&[][..], Tensor::data);
        let rows = said.chunks_exact((said.len() / count.max(1)).max(1));
        let targets: Vec<Target<'_>> =
            batch.targets.iter().zip(rows).map(|(target, row)| Target { teacher: Some(row), ..*target }).collect();
        self.loss.judge(Batch { targets: &targets, ..batch }, outputs, grads)
    }

    fn shown(&self, params: &[Param]) -> Option<Vec<Vec<f32>>> {
        Some(self.simulation.shown(params))
    }

    fn describe(&self) -> String {
        format!("{:?} {}", self.loss, self.of)
    }
}
