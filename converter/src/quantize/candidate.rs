//! One way of quantizing a graph: what was rounded, with which scales, what it became, and how far that is from the floats.

use super::calibrate::{Calibration, Samples};
use super::elements::{Eight, Elements, Form, NARROWED};
use super::error::QuantizeError;
use super::lower::{Origin, lower};
use super::mapping::{Mapping, Rules};
use super::measure::{self, LayerError};
use super::steps::{Step, steps};
use super::{QuantReport, QuantSettings, TensorReport, Trial};
use crate::graph::{Graph, ValueId};
use std::collections::BTreeMap;

/// Rounds of coarser scales before giving up: each settles the operators that the former one disturbed.
const ROUNDS: usize = 16;

/// A float graph, what it became, and how well.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    /// What the int8 graph should compute.
    pub ideal: Graph,
    /// What was rounded: the same values, except where mistakes were made on purpose to balance those of rounding.
    pub float: Graph,
    pub steps: Vec<Step>,
    pub eight: Eight,
    pub calibration: Calibration,
    pub mapping: Mapping,
    /// Smallest scales, which operators asked for.
    pub floors: Floors,
    pub origin: Origin,
    errors: measure::Errors,
}

/// Smallest scales of tensors.
pub(super) type Floors = BTreeMap<Form, f32>;

impl Candidate {
    /// Calibrates a graph, lowers it, and compares that with what it should compute.
    ///
    /// # Errors
    /// If something has no int8 form, or the samples do not fit.
    pub(super) fn new(
        ideal: Graph,
        float: Graph,
        eight: Eight,
        samples: &Samples,
        settings: &QuantSettings,
    ) -> Result<Candidate, QuantizeError> {
        let steps = steps(&float);
        let elements = Elements::new(&float, &steps, &eight);
        let inputs = float.inputs.iter().copied().filter(|&id| elements.is_observed(id));
        let taps: Vec<ValueId> = inputs.chain(steps.iter().map(|s| s.output)).collect();
        let calibration = Calibration::run(&float, samples, &elements, &taps)?;
        let (mapping, floors, origin) =
            lower_with(&float, (&steps, &elements), &calibration, Floors::new(), samples, settings)?;
        let errors = measure::compare(&ideal, &origin, samples)?;
        Ok(Candidate { ideal, float, steps, eight, calibration, mapping, floors, origin, errors })
    }

    /// The same with other parameters in what is rounded, and with the scales that there are.
    ///
    /// # Errors
    /// If the parameters have no int8 form.
    pub(super) fn with_float(
        &self,
        float: Graph,
        samples: &Samples,
        settings: &QuantSettings,
    ) -> Result<Candidate, QuantizeError> {
        let elements = Elements::new(&float, &self.steps, &self.eight);
        let (mapping, floors, origin) =
            lower_with(&float, (&self.steps, &elements), &self.calibration, self.floors.clone(), samples, settings)?;
        let errors = measure::compare(&self.ideal, &origin, samples)?;
        Ok(Candidate { float, mapping, floors, origin, errors, ..self.clone() })
    }

    /// How far the outputs are from the float graph's with some tensors in 8 bits; `None` if there is no scale that they could have.
    ///
    /// # Errors
    /// If the graph cannot be lowered or run.
    pub(super) fn narrowed(
        &self,
        eight: &Eight,
        samples: &Samples,
        settings: &QuantSettings,
    ) -> Result<Option<measure::Distance>, QuantizeError> {
        let elements = Elements::new(&self.float, &self.steps, eight);
        let of = (&self.steps[..], &elements);
        match lower_with(&self.float, of, &self.calibration, self.floors.clone(), samples, settings) {
            Ok((_, _, origin)) => Ok(Some(measure::compare(&self.ideal, &origin, samples)?.0)),
            Err(QuantizeError::NoScale { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The largest magnitude in each channel of a value.
    pub(super) fn peaks(&self, id: ValueId) -> Option<Vec<f32>> {
        self.calibration.stats(id).map(|stats| stats.peaks.clone())
    }

    /// Signal over noise of the outputs in decibels.
    pub(super) fn snr_db(&self) -> Option<f64> {
        self.errors.0.snr_db()
    }

    /// Sum of squared errors of the outputs.
    pub(super) fn noise(&self) -> f64 {
        self.errors.0.noise()
    }

    /// What is known of it; `alone` are tensors that could have 8 bits, with what that costs.
    pub(super) fn report(&self, samples: usize, trials: Vec<Trial>, alone: &[(String, Option<f64>)]) -> QuantReport {
        let tensors = self.mapping.iter().map(|(form, chosen)| {
            let name = self.float.value(form.value).name.clone();
            let name = if form.narrowed { name + NARROWED } else { name };
            let seen =
                self.calibration.stats(form.value).and_then(|stats| stats.observer.bounds()).map(<[f32; 2]>::from);
            TensorReport { name, affine: chosen.affine, calibrator: chosen.calibrator, seen }
        });
        let layers = self.errors.1.iter().cloned().map(|layer| {
            let found = alone.iter().find(|(name, _)| *name == layer.tensor);
            LayerError { alone_db: found.and_then(|(_, alone_db)| *alone_db), ..layer }
        });
        QuantReport { samples, trials, snr_db: self.snr_db(), tensors: tensors.collect(), layers: layers.collect() }
    }
}

/// Chooses scales and lowers, with coarser scales where an operator's multipliers ask for them.
fn lower_with(
    graph: &Graph,
    (steps, elements): (&[Step], &Elements),
    calibration: &Calibration,
    mut floors: Floors,
    samples: &Samples,
    settings: &QuantSettings,
) -> Result<(Mapping, Floors, Origin), QuantizeError> {
    for _ in 0..ROUNDS {
        let rules = Rules {
            calibrators: &settings.calibrators,
            percentile: settings.percentile,
            input: samples.mapping(),
            floors: &floors,
        };
        let mapping = Mapping::choose(graph, steps, elements, calibration, &rules)?;
        match lower(graph, steps, elements, &mapping)? {
            Ok(origin) => return Ok((mapping, floors, origin)),
            Err(coarser) => floors.extend(coarser),
        }
    }
    let value = floors.keys().next().map_or(ValueId(0), |form: &Form| form.value);
    Err(QuantizeError::NoScale { tensor: graph.value(value).name.clone() })
}
