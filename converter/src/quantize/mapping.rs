//! Chooses scale and zero point of every int8 tensor, one for each group of tensors that must share them.

use super::calibrate::Calibration;
use super::error::QuantizeError;
use super::observer::{Calibrator, Choice, Observer};
use super::scheme::Affine;
use super::steps::Step;
use crate::graph::{Graph, Op, ValueId};
use crate::ops::softmax;
use std::collections::BTreeMap;

/// Which calibrators may be used, and what is fixed beforehand.
#[derive(Clone, Debug)]
pub(super) struct Rules<'a> {
    /// Calibrators to choose from, for tensors inside the graph.
    pub calibrators: &'a [Calibrator],
    /// Share of values that [`Calibrator::Percentile`] keeps, in percent.
    pub percentile: f64,
    /// Mapping of the graph's inputs, if given.
    pub input: Option<Affine>,
    /// Smallest scales: an operator asked for them, because finer ones leave the range of its multiplier.
    pub floors: &'a BTreeMap<ValueId, f32>,
}

/// Scale and zero point of each value that becomes an int8 tensor.
#[derive(Clone, Debug)]
pub(super) struct Mapping {
    chosen: BTreeMap<ValueId, Chosen>,
    rescaled: Vec<(usize, usize)>,
}

/// The choice for one value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Chosen {
    /// Scale and zero point.
    pub affine: Affine,
    /// Who chose them; `None` if they were fixed beforehand.
    pub calibrator: Option<Calibrator>,
}

impl Mapping {
    /// Chooses for all inputs and step outputs of `graph`.
    ///
    /// # Errors
    /// If a value was not observed or is not finite.
    pub(super) fn choose(
        graph: &Graph,
        steps: &[Step],
        calibration: &Calibration,
        rules: &Rules<'_>,
    ) -> Result<Mapping, QuantizeError> {
        let mut groups = Groups::new(graph.values.len());
        let mut rescaled = Vec::new();
        let mut fixed = BTreeMap::new();
        if let Some(affine) = rules.input {
            fixed.extend(graph.inputs.iter().map(|&id| (id, affine)));
        }
        for step in steps {
            let node = &graph.nodes[step.node];
            match node.op {
                Op::Softmax { .. } => drop(fixed.insert(step.output, softmax::OUTPUT)),
                Op::MaxPool(_) | Op::Reshape(_) | Op::Transpose(_) | Op::Pad { .. } | Op::Slice { .. } => {
                    groups.join(node.inputs[0], step.output);
                }
                _ => {}
            }
        }
        let fixed_of = |groups: &mut Groups, id| {
            let members = groups.members(id);
            fixed.iter().find(|(v, _)| members.contains(v)).map(|(_, affine)| *affine)
        };
        for (i, step) in steps.iter().enumerate() {
            let node = &graph.nodes[step.node];
            if !matches!(node.op, Op::Concat { .. }) {
                continue;
            }
            let whole = width(observer(graph, calibration, step.output)?);
            for (k, &input) in node.inputs.iter().enumerate() {
                // One scale for all costs an input at most one bit, or it gets a table that changes its scale.
                let wide = width(observer(graph, calibration, input)?) >= whole / 2.0;
                if wide && fixed_of(&mut groups, input).is_none() {
                    groups.join(input, step.output);
                } else {
                    rescaled.push((i, k));
                }
            }
        }
        let values: Vec<ValueId> = graph.inputs.iter().copied().chain(steps.iter().map(|s| s.output)).collect();
        let mut chosen = BTreeMap::new();
        for &id in &values {
            let first = groups.members(id)[0];
            if let Some(&done) = chosen.get(&first) {
                chosen.insert(id, done);
                continue;
            }
            let members: Vec<ValueId> = groups.members(id).into_iter().filter(|m| values.contains(m)).collect();
            if let Some(affine) = fixed_of(&mut groups, id) {
                chosen.insert(id, Chosen { affine, calibrator: None });
                continue;
            }
            let observers = members.iter().map(|&m| observer(graph, calibration, m)).collect::<Result<Vec<_>, _>>()?;
            // Clipping an output could tie the best answers, so outputs keep all that was seen.
            let is_output = members.iter().any(|m| graph.outputs.contains(m));
            let allowed = if is_output { &[Calibrator::MinMax][..] } else { rules.calibrators };
            let Choice { mut affine, calibrator, .. } = Observer::choose(&observers, allowed, rules.percentile)
                .ok_or_else(|| QuantizeError::NonFiniteActivation { tensor: graph.value(id).name.clone() })?;
            let floor = members.iter().filter_map(|m| rules.floors.get(m)).copied().fold(0.0, f32::max);
            if affine.scale < floor {
                affine.scale = floor;
            }
            chosen.insert(id, Chosen { affine, calibrator: Some(calibrator) });
        }
        Ok(Mapping { chosen, rescaled })
    }

    /// The choice for a value; `None` for values that never become int8.
    pub(super) fn get(&self, id: ValueId) -> Option<Chosen> {
        self.chosen.get(&id).copied()
    }

    /// Whether input number `input` of step number `step` needs a table that changes its scale.
    pub(super) fn rescales(&self, step: usize, input: usize) -> bool {
        self.rescaled.contains(&(step, input))
    }

    /// All choices, in order of the values.
    pub(super) fn iter(&self) -> impl Iterator<Item = (ValueId, Chosen)> + '_ {
        self.chosen.iter().map(|(&id, &chosen)| (id, chosen))
    }
}

fn observer<'a>(graph: &Graph, calibration: &'a Calibration, id: ValueId) -> Result<&'a Observer, QuantizeError> {
    let stats = calibration.stats(id);
    stats
        .map(|s| &s.observer)
        .ok_or_else(|| QuantizeError::NonFiniteActivation { tensor: graph.value(id).name.clone() })
}

fn width(observer: &Observer) -> f32 {
    observer.bounds().map_or(0.0, |(lo, hi)| hi.max(0.0) - lo.min(0.0))
}

/// Values that share one mapping.
struct Groups(Vec<u32>);

impl Groups {
    fn new(n: usize) -> Self {
        Groups((0..n as u32).collect())
    }

    fn root(&self, id: ValueId) -> u32 {
        self.0[id.0 as usize]
    }

    fn join(&mut self, a: ValueId, b: ValueId) {
        let (keep, drop) = (self.root(a), self.root(b));
        for root in &mut self.0 {
            if *root == drop {
                *root = keep;
            }
        }
    }

    fn members(&mut self, id: ValueId) -> Vec<ValueId> {
        let root = self.root(id);
        (0..self.0.len() as u32).map(ValueId).filter(|&m| self.root(m) == root).collect()
    }
}
