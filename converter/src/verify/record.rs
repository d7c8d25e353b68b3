//! The record of a build: all that was found about its result, as plain data that repeats byte for byte.
//!
//! What depends on the machine (times) is in [`Measured`], beside the record and never in it.

use super::accuracy::Scores;
use crate::data::Kind;
use serde::{Deserialize, Serialize};

/// Everything found about one build.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The recipe's name.
    pub name: String,
    /// Version of the program that made it.
    pub limbeck: String,
    /// Version of the integer contract.
    pub contract: u32,
    /// What was learned from and judged on.
    pub data: DataRecord,
    /// The teachers together; absent where none taught.
    pub teacher: Option<Network>,
    /// The float student.
    pub student: Network,
    /// The int8 student, judged through the runtime.
    pub int8: Scores,
    /// How far the networks say the same.
    pub agreement: Agreement,
    /// Error that quantization brings, layer by layer, in execution order.
    pub layers: Vec<Layer>,
    /// How the trainings went; those of this build only.
    pub trainings: Vec<Training>,
    /// The model files.
    pub models: Vec<ModelRecord>,
    /// What each target makes of them.
    pub targets: Vec<TargetRecord>,
    /// The proof of equal bytes.
    pub exact: Exact,
    /// The recipe's bars.
    pub bars: Vec<Bar>,
    /// Checks that could not be made here, each with its reason.
    pub not_run: Vec<String>,
}

/// The examples of a build.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DataRecord {
    /// Where they came from, as the recipe says it.
    pub source: String,
    /// Names of the classes.
    pub classes: Vec<String>,
    /// What each of them is.
    #[serde(flatten)]
    pub input: InputRecord,
    /// Examples learned from.
    pub train: usize,
    /// Examples judged on.
    pub test: usize,
}

/// What an example is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InputRecord {
    /// Height, width, channels of an image.
    Image([usize; 3]),
    /// Texts.
    Text(TextRecord),
}

/// How texts are seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextRecord {
    /// Tokens that the student knows.
    pub vocabulary: usize,
    /// The longest text that it takes, in tokens.
    pub tokens: usize,
    /// The longest test text, so cut.
    pub longest: usize,
    /// Training texts that were cut off.
    pub truncated_train: usize,
    /// Test texts that were cut off.
    pub truncated_test: usize,
}

impl InputRecord {
    /// What the examples are.
    pub fn kind(&self) -> Kind {
        match self {
            InputRecord::Image(_) => Kind::Images,
            InputRecord::Text(_) => Kind::Texts,
        }
    }
}

/// A float network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Network {
    /// Its name, or those of an ensemble.
    pub name: String,
    /// Stored numbers.
    pub parameters: usize,
    /// Judgement on the test part.
    pub scores: Scores,
}

/// Shares of test examples on which two networks say the same.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Agreement {
    /// Float student and teachers.
    pub student_teacher: Option<f64>,
    /// Int8 and float student.
    pub int8_student: f64,
}

/// How far a layer's int8 output is from the float one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Layer {
    /// The node.
    pub name: String,
    /// Its operator.
    pub op: String,
    /// Signal over noise in decibels, all errors of the layers before included; absent where there is no error at all.
    pub snr_db: Option<f64>,
    /// Bits of its numbers.
    #[serde(default = "eight")]
    pub bits: u8,
    /// Where it could have 16 bits or 8: signal over noise of the network's outputs if it has 8 and of the
    /// others only the sums that then cannot have 16, in decibels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alone_db: Option<f64>,
}

fn eight() -> u8 {
    8
}

/// One training, epoch by epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Training {
    /// The network.
    pub name: String,
    /// Mean loss of each epoch.
    pub loss: Vec<f64>,
    /// Share right of each epoch while learning.
    pub accuracy: Vec<f64>,
    /// Share right of the examples held out, where some were.
    pub held_out: Vec<Option<f64>>,
}

/// A model file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelRecord {
    /// Its name in the work folder.
    pub file: String,
    /// The order of its weights.
    pub layout: String,
    /// Its length.
    pub bytes: u64,
    /// Working memory of a run.
    pub arena_bytes: u64,
    /// SHA-256 of the file.
    pub sha256: String,
}

/// A target, and what it makes of the model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TargetRecord {
    /// The target.
    pub name: String,
    /// The model file for it.
    pub file: String,
    /// The kernel table that it was planned for.
    pub table: String,
    /// Bytes of the model, and how many there may be; absent on hosts.
    pub flash: Option<[u64; 2]>,
    /// Bytes of the arena, and how many there may be; absent on hosts.
    pub ram: Option<[u64; 2]>,
    /// Predicted milliseconds of a run; absent on hosts.
    pub predicted_ms: Option<f64>,
}

/// What was compared, and found equal, byte for byte.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Exact {
    /// Examples of the whole set.
    #[serde(alias = "images")]
    pub n: usize,
    /// What was run: each file on each table of this CPU in the table's own layout over all examples, and on scalar in
    /// every other layout over some.
    pub tables: Vec<TableRun>,
    /// Digest of all outputs one after another.
    pub digest: String,
}

/// A table run over examples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TableRun {
    /// The model file.
    pub file: String,
    /// The table.
    pub table: String,
    /// The layout that the file was written in for it.
    pub layout: String,
    /// How many examples.
    #[serde(alias = "images")]
    pub n: usize,
}

/// A bar of the recipe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bar {
    /// The recipe's key.
    pub name: String,
    /// The bound.
    pub bound: f64,
    /// What was reached.
    pub reached: f64,
    /// Whether that is enough.
    pub met: bool,
}

/// What one machine took: never the same twice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// The table.
    pub table: String,
    /// The layout of the file that it ran.
    pub layout: String,
    /// Tokens of the text that it ran over; absent for images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<usize>,
    /// Shortest time of a run, in milliseconds.
    pub min_ms: f64,
    /// Median time of a run, in milliseconds.
    pub median_ms: f64,
    /// Runs timed.
    pub runs: u32,
}
