//! What each layer costs alone: how far the outputs are if it is rounded, weights and result, and nothing else is.

use super::calibrate::{Samples, run_float};
use super::candidate::Candidate;
use super::error::QuantizeError;
use super::measure::Distance;
use super::simulate::Simulation;
use crate::graph::Graph;
use std::collections::BTreeMap;

/// Samples on which layers are tried.
const TRIED: usize = 64;

/// For each value that is rounded the outputs' signal over noise in decibels if nothing else is; `None` where they stay exact.
///
/// # Errors
/// If the graph does not run.
pub(super) fn sensitivity(of: &Candidate, samples: &Samples) -> Result<BTreeMap<String, Option<f64>>, QuantizeError> {
    let (samples, simulation) = (samples.thin(TRIED), Simulation::new(of)?);
    let exact = outputs(&simulation.only(None), &samples)?;
    let mut found = BTreeMap::new();
    for step in &of.steps {
        let name = &of.float.value(step.output).name;
        let maker = &of.float.nodes[step.node].name;
        let said = outputs(&simulation.only(Some((name, maker))), &samples)?;
        found.insert(name.clone(), Distance::between(&exact, &said).snr_db());
    }
    Ok(found)
}

/// All outputs for all samples, one after another.
fn outputs(graph: &Graph, samples: &Samples) -> Result<Vec<f32>, QuantizeError> {
    let mut all = Vec::new();
    run_float(graph, samples, &graph.outputs, |_, tensors| {
        tensors.iter().for_each(|tensor| all.extend_from_slice(tensor.data()));
        Ok(())
    })?;
    Ok(all)
}

#[cfg(test)]
mod tests {
    use crate::quantize::testing::everything;
    use crate::quantize::{QuantSettings, quantize};

    #[test]
    fn a_layer_alone_costs_less_than_all_together() {
        let (graph, samples) = everything(7);
        let (_, report) = quantize(&graph, &samples, &QuantSettings::default()).unwrap();
        let all = report.snr_db.unwrap();
        let only: Vec<f64> = report.layers.iter().filter_map(|layer| layer.only_db).collect();
        assert!(only.len() > report.layers.len() / 2, "{:?}", report.layers);
        let noise = |decibels: f64| 10f64.powf(-decibels / 10.0);
        // Errors of layers are nearly independent, so their powers nearly add up.
        let sum: f64 = only.iter().map(|&only| noise(only)).sum();
        assert!(only.iter().all(|&only| only > all - 1.0), "{only:?} against {all}");
        assert!((0.3..3.0).contains(&(sum / noise(all))), "{sum} against {}", noise(all));
    }
}
