//! Runs an int8 graph on this computer: planned and packed for its best table, through the real runtime.

use super::calibrate::Samples;
use super::error::QuantizeError;
use super::graph::{QuantGraph, TensorId};
use crate::pack::{PackInfo, pack};
use crate::plan::{PlanTarget, plan};
use limbeck_runtime::ops::AllOps;
use limbeck_runtime::{AlignedBytes, Kernels, Model, Session, arena_bytes};
use std::ops::Range;

/// An int8 graph as a model file in memory.
pub(super) struct Int8 {
    file: AlignedBytes,
    graph: QuantGraph,
    /// The tensor that each op of the file writes.
    writes: Vec<TensorId>,
}

impl Int8 {
    /// Packs a graph for this computer.
    ///
    /// # Errors
    /// If it cannot be packed.
    pub(super) fn new(graph: &QuantGraph) -> Result<Self, QuantizeError> {
        // Every tensor shall be seen, so no sum is fused; that does not change a byte.
        let target = PlanTarget { fuse_sums: false, ..PlanTarget::this_computer() };
        let plan = plan(graph, &target).map_err(failed)?;
        let file = pack(graph, &plan, &PackInfo::default()).map_err(failed)?;
        let writes = plan.steps.iter().map(|s| graph.nodes[s.node].output).collect();
        Ok(Int8 { file, graph: graph.clone(), writes })
    }

    /// Runs samples `range` on all cores and gives, sample by sample, what `look` makes of each computed tensor's bytes.
    ///
    /// # Errors
    /// If the model does not run.
    pub(super) fn run<T: Send>(
        &self,
        samples: &Samples,
        range: Range<usize>,
        look: impl Fn(usize, TensorId, &[i8]) -> Option<T> + Sync,
    ) -> Result<Vec<Vec<T>>, QuantizeError> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let share = range.len().div_ceil(threads).max(1);
        let starts: Vec<usize> = range.clone().step_by(share).collect();
        std::thread::scope(|scope| {
            let look = &look;
            let work = |start: usize| {
                let part = start..(start + share).min(range.end);
                scope.spawn(move || self.run_some(samples, part, look))
            };
            let running: Vec<_> = starts.into_iter().map(work).collect();
            let mut all = Vec::with_capacity(range.len());
            for thread in running {
                all.extend(thread.join().map_err(|_| failed("a thread ended early"))??);
            }
            Ok(all)
        })
    }

    fn run_some<T>(
        &self,
        samples: &Samples,
        range: Range<usize>,
        look: &impl Fn(usize, TensorId, &[i8]) -> Option<T>,
    ) -> Result<Vec<Vec<T>>, QuantizeError> {
        let model = Model::parse(&self.file).map_err(failed)?;
        let kernels = Kernels::best::<AllOps>(model.layout());
        let mut arena = AlignedBytes::zeroed(arena_bytes(&model, kernels.isa));
        let mut session = Session::with_kernels(&model, &mut arena, kernels).map_err(failed)?;
        let sample = |i: usize| {
            match samples.length(i) {
                Some(length) => {
                    let tokens: Vec<u16> = samples.sample(0, i)[..length].iter().map(|&id| id as u16).collect();
                    session.set_tokens(&tokens).map_err(failed)?;
                }
                None => {
                    for (k, &id) in self.graph.inputs.iter().enumerate() {
                        let affine = self.graph.tensor(id).affine;
                        let bytes = session.input_mut(k).iter_mut();
                        bytes.zip(samples.sample(k, i)).for_each(|(q, &x)| *q = affine.quantize(x));
                    }
                }
            }
            let mut seen = Vec::new();
            session.run_with(|step| seen.extend(look(i, self.writes[step.index], step.output)));
            Ok(seen)
        };
        range.map(sample).collect()
    }
}

fn failed(problem: impl ToString) -> QuantizeError {
    QuantizeError::Int8(problem.to_string())
}
