//! Predicted work and time of each step on a board, from the cost figures of its core.

use super::Plan;
use crate::quantize::{QuantGraph, QuantOp};
use limbeck_targets::{Device, Work};
use serde::Serialize;

/// What a run is predicted to cost.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cost {
    /// Instructions of each step.
    pub steps: Vec<f64>,
    /// Instructions of all steps.
    pub instructions: f64,
    /// Milliseconds at the board's clock.
    pub milliseconds: f64,
}

/// The predicted cost of a plan on a board.
pub fn cost(graph: &QuantGraph, plan: &Plan, device: &Device) -> Cost {
    let one = |node: usize| device.instructions(graph.nodes[node].op.name(), work(graph, node));
    let steps: Vec<f64> = plan.steps.iter().map(|s| one(s.node) + s.add.map_or(0.0, one)).collect();
    let instructions = steps.iter().sum();
    Cost { steps, instructions, milliseconds: device.milliseconds(instructions) }
}

fn work(graph: &QuantGraph, node: usize) -> Work {
    let node = &graph.nodes[node];
    let [height, width, channels] = graph.tensor(node.output).shape;
    let input = graph.tensor(node.inputs[0]).shape;
    let (pixels, outputs) = ((height * width) as u64, (height * width * channels) as u64);
    let gathered = |kernel: [usize; 2]| pixels * (kernel[0] * kernel[1] * input[2]) as u64;
    match &node.op {
        QuantOp::Conv2d { window, .. } => Work { macs: graph.macs(node), outputs, gathered: gathered(window.kernel) },
        QuantOp::Depthwise { .. } | QuantOp::Linear { .. } | QuantOp::Attention { .. } => {
            Work { macs: graph.macs(node), outputs, gathered: 0 }
        }
        QuantOp::MaxPool { window } | QuantOp::AvgPool { window, .. } => {
            Work { macs: 0, outputs, gathered: gathered(window.kernel) }
        }
        _ => Work { macs: 0, outputs, gathered: 0 },
    }
}
