//! Chooses scale and zero point of every tensor, one for each group of tensors that must share them.

use super::calibrate::Calibration;
use super::elements::{Elements, Form};
use super::error::QuantizeError;
use super::observer::{Aim, Calibrator, Choice, Observer, Span};
use super::scheme::Affine;
use super::steps::{Step, sole_function};
use crate::graph::{Graph, Op, Pick, ValueId};
use crate::ops::softmax;
use limbeck_runtime::Element;
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
    pub floors: &'a BTreeMap<Form, f32>,
}

/// Scale and zero point of each tensor to be.
#[derive(Clone, Debug)]
pub(super) struct Mapping {
    chosen: BTreeMap<Form, Chosen>,
    rescaled: Vec<(usize, usize)>,
}

/// The choice for one tensor.
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
        elements: &Elements,
        calibration: &Calibration,
        rules: &Rules<'_>,
    ) -> Result<Mapping, QuantizeError> {
        let mut ties = Ties::of(graph, steps, elements, rules.input);
        let rescaled = ties.join_concatenations(graph, steps, elements, calibration)?;
        let values = graph.inputs.iter().copied().chain(steps.iter().map(|s| s.output));
        let forms: Vec<Form> = values.flat_map(|value| elements.forms(graph, value)).collect();
        let mut chosen = BTreeMap::new();
        for &form in &forms {
            let members: Vec<Form> = forms.iter().copied().filter(|&other| ties.groups.joined(other, form)).collect();
            let choice = match chosen.get(&members[0]) {
                Some(&done) => done,
                None => ties.choose(graph, elements, calibration, &members, rules)?,
            };
            chosen.insert(form, choice);
        }
        Ok(Mapping { chosen, rescaled })
    }

    /// The choice for a tensor; `None` for values that become none.
    pub(super) fn get(&self, form: Form) -> Option<Chosen> {
        self.chosen.get(&form).copied()
    }

    /// Whether operand number `operand` of step number `step` needs a table that changes its scale.
    pub(super) fn rescales(&self, step: usize, operand: usize) -> bool {
        self.rescaled.contains(&(step, operand))
    }

    /// All choices, in order of the values.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Form, Chosen)> + '_ {
        self.chosen.iter().map(|(&form, &chosen)| (form, chosen))
    }
}

/// What is known of mappings before anything is measured.
struct Ties {
    /// Tensors that have one mapping.
    groups: Groups,
    /// Mappings that are given.
    fixed: Vec<(Form, Affine)>,
    /// Tensors without a zero point.
    centered: Vec<Form>,
}

impl Ties {
    fn of(graph: &Graph, steps: &[Step], elements: &Elements, input: Option<Affine>) -> Ties {
        let mut ties = Ties { groups: Groups::new(graph.values.len()), fixed: Vec::new(), centered: Vec::new() };
        for &value in &graph.inputs {
            let form = Form { value, narrowed: false };
            let given = if elements.of(form) == Element::Token { Some(Affine::TOKENS) } else { input };
            ties.fixed.extend(given.map(|affine| (form, affine)));
        }
        for step in steps {
            let node = &graph.nodes[step.node];
            let output = Form { value: step.output, narrowed: false };
            match node.op {
                Op::Softmax { .. } => ties.fixed.push((output, softmax::OUTPUT)),
                Op::MaxPool(_)
                | Op::Reshape(_)
                | Op::Transpose(_)
                | Op::Pad { .. }
                | Op::Slice { .. }
                | Op::Pick(Pick::First) => ties.groups.join(elements.read(node, node.inputs[0]), output),
                Op::Attention { .. } => {
                    ties.centered.extend(node.inputs[..3].iter().map(|&id| elements.read(node, id)))
                }
                _ => {}
            }
        }
        ties
    }

    /// Ties what is concatenated to the result, and gives the operands of steps for which that would cost too much.
    fn join_concatenations(
        &mut self,
        graph: &Graph,
        steps: &[Step],
        elements: &Elements,
        calibration: &Calibration,
    ) -> Result<Vec<(usize, usize)>, QuantizeError> {
        let mut rescaled = Vec::new();
        for (i, step) in steps.iter().enumerate() {
            let node = &graph.nodes[step.node];
            if !matches!(node.op, Op::Concat { .. }) {
                continue;
            }
            let whole = width(observer(graph, calibration, step.output)?);
            for (k, &input) in node.inputs.iter().enumerate() {
                // One scale for all costs an input at most one bit, or it gets a table that changes its scale.
                let wide = width(observer(graph, calibration, input)?) >= whole / 2.0;
                let form = elements.read(node, input);
                if wide && self.fixed(form).is_none() {
                    self.groups.join(form, Form { value: step.output, narrowed: false });
                } else {
                    rescaled.push((i, k));
                }
            }
        }
        Ok(rescaled)
    }

    /// The given mapping of a tensor's group.
    fn fixed(&self, form: Form) -> Option<Affine> {
        self.fixed.iter().find(|(other, _)| self.groups.joined(*other, form)).map(|(_, affine)| *affine)
    }

    /// The mapping of a group.
    fn choose(
        &self,
        graph: &Graph,
        elements: &Elements,
        calibration: &Calibration,
        members: &[Form],
        rules: &Rules<'_>,
    ) -> Result<Chosen, QuantizeError> {
        let first = members[0];
        if let Some(affine) = self.fixed(first) {
            return Ok(Chosen { affine, calibrator: None });
        }
        let observers = members.iter().map(|m| observer(graph, calibration, m.value)).collect::<Result<Vec<_>, _>>()?;
        // Clipping an output could tie the best answers, so outputs keep all that was seen; and 16 bits have room for it.
        let is_output = members.iter().any(|m| graph.outputs.contains(&m.value));
        let is_centered = self.centered.iter().any(|&form| self.groups.joined(form, first));
        let (span, allowed) = match elements.of(first) {
            Element::Int16 => (Span::Wide, &[Calibrator::MinMax][..]),
            _ if is_centered => (Span::Centered, rules.calibrators),
            _ if is_output => (Span::Free, &[Calibrator::MinMax][..]),
            _ => (Span::Free, rules.calibrators),
        };
        let function = sole_function(graph, first.value).filter(|_| members.len() == 1);
        let read_by = |x: f32| function.map_or(x, |f| f.apply(x));
        let aim = Aim { span, calibrators: allowed, percentile: rules.percentile, read_by: &read_by };
        let Choice { mut affine, calibrator, .. } = calibration
            .choice((members.to_vec(), span), || Observer::choose(&observers, &aim))
            .ok_or_else(|| QuantizeError::NonFiniteActivation { tensor: graph.value(first.value).name.clone() })?;
        let floor = members.iter().filter_map(|m| rules.floors.get(m)).copied().fold(0.0, f32::max);
        affine.scale = affine.scale.max(floor);
        Ok(Chosen { affine, calibrator: Some(calibrator) })
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

/// Tensors that share one mapping.
struct Groups(Vec<u32>);

impl Groups {
    /// Each of the forms of `values` by itself.
    fn new(values: usize) -> Self {
        Groups((0..2 * values as u32).collect())
    }

    fn root(&self, form: Form) -> u32 {
        self.0[2 * form.value.0 as usize + usize::from(form.narrowed)]
    }

    fn join(&mut self, a: Form, b: Form) {
        let (keep, drop) = (self.root(a), self.root(b));
        self.0.iter_mut().filter(|root| **root == drop).for_each(|root| *root = keep);
    }

    fn joined(&self, a: Form, b: Form) -> bool {
        self.root(a) == self.root(b)
    }
}
