//! How a long stage is watched and stopped.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

/// A stage of the pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Reading the examples.
    Data,
    /// Loading or training the teachers.
    Teacher,
    /// Writing down what the teachers say of each example.
    Label,
    /// Teaching the student words, from texts without labels.
    Pretrain,
    /// Training the student.
    Distill,
    /// Training it once more, without teachers.
    Compare,
    /// Making it int8.
    Quantize,
    /// Training it with rounding.
    Qat,
    /// Placing its tensors in memory.
    Plan,
    /// Writing the model files.
    Pack,
    /// Comparing tables and networks.
    Verify,
    /// Writing the document that a person reads.
    Report,
}

impl Stage {
    /// All of them, in order.
    pub const ALL: [Stage; 12] = [
        Stage::Data,
        Stage::Teacher,
        Stage::Label,
        Stage::Pretrain,
        Stage::Distill,
        Stage::Compare,
        Stage::Quantize,
        Stage::Qat,
        Stage::Plan,
        Stage::Pack,
        Stage::Verify,
        Stage::Report,
    ];

    /// The stage in one word.
    pub fn name(self) -> &'static str {
        match self {
            Stage::Data => "data",
            Stage::Teacher => "teacher",
            Stage::Label => "label",
            Stage::Pretrain => "pretrain",
            Stage::Distill => "distill",
            Stage::Compare => "compare",
            Stage::Quantize => "quantize",
            Stage::Qat => "qat",
            Stage::Plan => "plan",
            Stage::Pack => "pack",
            Stage::Verify => "verify",
            Stage::Report => "report",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Told what goes on, and asked whether to go on.
pub trait Watch: Sync {
    /// A stage begins.
    fn begin(&self, stage: Stage, what: &str);

    /// It is `done` of `total` steps along; `note` is for the reader, such as the loss.
    fn step(&self, done: u64, total: u64, note: &str);

    /// The stage is over; `reused` if its stored artifact was still good.
    fn end(&self, stage: Stage, result: &str, reused: bool);

    /// Set when the user wants to stop: a stage then keeps what it has and returns.
    fn stop(&self) -> &AtomicBool;

    /// Whether the user wants to stop.
    fn stopped(&self) -> bool {
        self.stop().load(Ordering::Relaxed)
    }
}

/// Watches nothing and never stops: for tests and for use as a library.
#[derive(Debug, Default)]
pub struct Unwatched(AtomicBool);

impl Watch for Unwatched {
    fn begin(&self, _: Stage, _: &str) {}
    fn step(&self, _: u64, _: u64, _: &str) {}
    fn end(&self, _: Stage, _: &str, _: bool) {}
    fn stop(&self) -> &AtomicBool {
        &self.0
    }
}
