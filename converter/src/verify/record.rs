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
    /// Networks that came before these or are trained for comparison, on the same test part.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub compared: Vec<Network>,
    /// How far the networks say the same.
    pub agreement: Agreement,
    /// Error that quantization brings, layer by layer, in execution order.
    pub layers: Vec<Layer>,
    /// Ways to quantize that were tried until the bar was met, in order; none where the recipe has no such bar.
    #[serde(default)]
    pub attempts: Vec<Attempt>,
    /// How the trainings went; those of this build only.
    pub trainings: Vec<Training>,
    /// What the stages made, in order, by its hash.
    #[serde(default)]
    pub artifacts: Vec<Artifact>,
    /// Where tensors lie in the arena, for each model file.
    #[serde(default)]
    pub memory: Vec<Memory>,
    /// Test examples taken evenly, and what the networks say of them.
    #[serde(default)]
    pub examples: Vec<Example>,
    /// Test examples on which the int8 student is furthest from its teachers, or else from the float student.
    #[serde(default)]
    pub disagreements: Vec<Example>,
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
    /// Signal over noise of the network's outputs if this layer alone is rounded, in decibels; absent where they stay exact, or
    /// where it was not measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only_db: Option<f64>,
    /// How its integers stand for real numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mapping: Option<Mapping>,
}

fn eight() -> u8 {
    8
}

/// How integers of a tensor stand for real numbers: `real = scale * (integer - zero_point)`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mapping {
    /// Size of a step.
    pub scale: f32,
    /// The integer that means zero.
    pub zero_point: i32,
    /// The least and the greatest number that it can hold.
    pub range: [f32; 2],
    /// The least and the greatest number that calibration saw.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<[f32; 2]>,
    /// Who chose the range; absent if it was fixed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibrator: Option<String>,
}

/// A way to quantize, judged on examples of the training part that nothing was calibrated on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// What was changed in the recipe's settings.
    pub name: String,
    /// Examples that it was judged on.
    pub n: usize,
    /// Accuracy that it costs there.
    pub drop: f64,
    /// Share of them of which it says what the float network says.
    pub agreement: f64,
    /// Signal over noise of the outputs on the calibration samples in decibels; absent where there is no error at all.
    pub snr_db: Option<f64>,
    /// Whether it costs no more than the recipe allows.
    pub met: bool,
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
    /// Mean cross entropy of the examples held out, where some were.
    #[serde(default)]
    pub held_out_loss: Vec<Option<f64>>,
    /// Learning rate at the end of each epoch.
    #[serde(default)]
    pub learning_rate: Vec<f64>,
}

/// What a stage made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Artifact {
    /// The stage.
    pub stage: String,
    /// What it made.
    pub what: String,
    /// Its hash, or that of all that it is made from.
    pub sha256: String,
}

/// The arena of a model file, op by op.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// The model file.
    pub file: String,
    /// Size of the arena.
    pub arena_bytes: u64,
    /// Bytes in use in the worst op: no arena for this order could be smaller.
    pub live_bytes: u64,
    /// The ops in order.
    pub ops: Vec<OpRecord>,
    /// What lies in the arena.
    pub blocks: Vec<Block>,
}

/// An op of a model file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OpRecord {
    /// Its name in the graph.
    pub name: String,
    /// What it does.
    pub kind: String,
}

/// Bytes of the arena that are in use from one op to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// The tensor, or the op whose working memory it is.
    pub name: String,
    /// What it is for.
    pub role: Role,
    /// First byte.
    pub offset: usize,
    /// How many.
    pub bytes: usize,
    /// The first op that uses it.
    pub first: usize,
    /// The last op that uses it.
    pub last: usize,
}

/// What bytes of the arena are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// What a run is given.
    Input,
    /// What passes from op to op.
    Tensor,
    /// What a run gives.
    Output,
    /// Working memory of one op.
    Scratch,
}

/// A test example, and what the networks say of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Example {
    /// Its number in the test part.
    pub index: usize,
    /// Itself, if it is a text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Its class.
    pub class: usize,
    /// What the teachers together say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub teacher: Option<Said>,
    /// What the float student says.
    pub student: Said,
    /// What the int8 student says.
    pub int8: Said,
    /// Total variation between the int8 student's probabilities and the teachers', or else the float student's: from 0, where
    /// they are the same, to 1.
    pub distance: f64,
}

/// The class that a network finds most likely.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Said {
    /// The class.
    pub class: usize,
    /// Its probability.
    pub probability: f64,
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
    /// What its bytes are for, in the order in which they lie there.
    #[serde(default)]
    pub sections: Vec<SectionRecord>,
}

/// A part of a model file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SectionRecord {
    /// What it holds.
    pub name: String,
    /// How many bytes.
    pub bytes: u64,
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
    /// What that is made of; absent on hosts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prediction: Option<Prediction>,
}

/// How the time of a run on a board is predicted: instructions by fitted costs, cycles by a mean, time by the clock.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// The core whose figures are used.
    pub core: String,
    /// Instructions of a run.
    pub instructions: f64,
    /// Mean cycles of one.
    pub cycles_per_instruction: f64,
    /// Cycles of a second.
    pub clock_hz: u32,
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
    /// Median time of each op in order, in milliseconds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ops_ms: Vec<f64>,
}

/// How long a stage took on the machine that ran it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageTime {
    /// The stage.
    pub stage: String,
    /// What it said of its result.
    pub result: String,
    /// Seconds, those before interruptions included; absent where it was made by a program that did not keep them.
    pub seconds: Option<f64>,
    /// Whether this build found its result in the work folder.
    pub reused: bool,
}
