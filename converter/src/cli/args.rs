//! What the user typed: the commands and their options, nothing opened or checked yet.

use crate::data::Format;
use clap::builder::RangedU64ValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::ffi::OsString;
use std::path::PathBuf;

/// Distills large teacher models into small int8 students that run bit for bit the same everywhere.
#[derive(Debug, Parser)]
#[command(name = "limbeck", bin_name = "limbeck", version, propagate_version = true, arg_required_else_help = true)]
pub struct Cli {
    /// Print exactly one JSON object on stdout instead of text.
    #[arg(long, global = true)]
    pub json: bool,
    /// Show no progress.
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Every command, in the order of a model's life.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the whole pipeline on built-in data, in a couple of minutes.
    Demo(DemoArgs),
    /// Make everything that a recipe asks for; finished stages are not repeated.
    Build(BuildArgs),
    /// Only up to the teachers: load them, or train those that the recipe trains.
    Train(RecipeArgs),
    /// Only up to the teachers' outputs for all training images.
    Label(RecipeArgs),
    /// Only up to the float student.
    Distill(RecipeArgs),
    /// Only up to the int8 graph and its error table.
    Quantize(JudgedArgs),
    /// Only up to the model files.
    Pack(JudgedArgs),
    /// Write the report of a recipe again from what is stored.
    Report(JudgedArgs),
    /// Write the float student as an ONNX file.
    Export(ExportArgs),
    /// Run a model on every kernel table of this CPU, in every weight layout, and on a GPU, and demand equal bytes.
    Verify(VerifyArgs),
    /// Measure a model's accuracy.
    Eval(EvalArgs),
    /// Classify image files, or texts.
    Run(RunArgs),
    /// Measure the time of a run.
    Bench(BenchArgs),
    /// Show what is in a model file.
    Inspect(ModelArgs),
    /// Say whether a model fits a target, by how much, or what would fit.
    Fit(FitArgs),
    /// List chips, boards and hosts.
    Targets,
}

/// A recipe and where its artifacts are kept.
#[derive(Debug, Args)]
pub struct RecipeArgs {
    /// The recipe file.
    pub recipe: PathBuf,
    /// Folder for the artifacts [default: limbeck-out/NAME].
    #[arg(long, value_name = "FOLDER")]
    pub work: Option<PathBuf>,
}

/// A recipe of which the result is judged by its bars.
#[derive(Debug, Args)]
pub struct JudgedArgs {
    /// The recipe and its work folder.
    #[command(flatten)]
    pub recipe: RecipeArgs,
    /// Take a result that misses the recipe's bars; what it misses is still said.
    #[arg(long)]
    pub accept_loss: bool,
}

/// `limbeck build`
#[derive(Debug, Args)]
pub struct BuildArgs {
    /// The recipe, and whether it may be missed.
    #[command(flatten)]
    pub judged: JudgedArgs,
    /// Also write NAME.lmb and NAME.json into this folder.
    #[arg(long, value_name = "FOLDER")]
    pub output: Option<PathBuf>,
}

/// `limbeck demo`
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Understand texts instead of pictures.
    #[arg(long)]
    pub text: bool,
    /// Folder for the artifacts [default: limbeck-out/demo, limbeck-out/demo-text].
    #[arg(long, value_name = "FOLDER")]
    pub work: Option<PathBuf>,
}

/// `limbeck export`
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// The recipe and its work folder.
    #[command(flatten)]
    pub recipe: RecipeArgs,
    /// The file to write [default: NAME.onnx in the work folder].
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// A model file.
#[derive(Debug, Args)]
pub struct ModelArgs {
    /// The model file (`.lmb`).
    pub model: PathBuf,
}

/// A model file and the kernels that run it.
#[derive(Debug, Args)]
pub struct RunnerArgs {
    /// The model file (`.lmb`).
    pub model: PathBuf,
    /// Kernel table to use, such as `scalar` [default: the best here for the file's layout].
    #[arg(long, value_name = "NAME")]
    pub table: Option<String>,
}

/// Labelled images or texts.
#[derive(Debug, Args)]
pub struct DataArgs {
    /// Images or texts: a folder, a file, or `generated`.
    #[arg(long, value_name = "PATH")]
    pub data: PathBuf,
    /// Layout of the data; guessed when clear.
    #[arg(long, value_parser = format)]
    pub format: Option<Format>,
}

/// Where integer kernels run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Device {
    /// Every table of the CPU, and a GPU if there is one: discrete, integrated or of software, in this order.
    Auto,
    /// A GPU alone, against the best table of the CPU.
    Gpu,
    /// Every table of the CPU alone.
    Cpu,
}

/// `limbeck verify`
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The model file (`.lmb`).
    pub model: PathBuf,
    /// Images or texts: a folder, a file, or `generated` [default: random ones].
    #[arg(long, value_name = "PATH")]
    pub data: Option<PathBuf>,
    /// Layout of the data; guessed when clear.
    #[arg(long, value_parser = format)]
    pub format: Option<Format>,
    /// Where to run.
    #[arg(long, value_enum, default_value_t = Device::Auto)]
    pub device: Device,
    /// Examples that a GPU runs at once [default: as many as are good for it].
    #[arg(long, value_name = "N", value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    pub batch: Option<usize>,
    /// Compare what every op writes on a GPU, and not only the outputs.
    #[arg(long)]
    pub trace: bool,
    /// Compare only this table with scalar, and a GPU with it [default: all that this CPU has, and the best].
    #[arg(long, value_name = "NAME")]
    pub table: Option<String>,
}

/// `limbeck eval`
#[derive(Debug, Args)]
pub struct EvalArgs {
    /// The model.
    #[command(flatten)]
    pub model: RunnerArgs,
    /// The examples.
    #[command(flatten)]
    pub data: DataArgs,
    /// Only the first so many examples.
    #[arg(long, value_name = "N", value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    pub limit: Option<usize>,
}

/// `limbeck run`
#[derive(Debug, Args)]
pub struct RunArgs {
    /// The model.
    #[command(flatten)]
    pub model: RunnerArgs,
    /// Image files (png, jpeg), which are scaled to what the model takes; or texts, each one argument.
    #[arg(required = true, value_name = "INPUT")]
    pub inputs: Vec<OsString>,
}

/// `limbeck bench`
#[derive(Debug, Args)]
pub struct BenchArgs {
    /// The model.
    #[command(flatten)]
    pub model: RunnerArgs,
    /// How many runs to time.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    pub runs: u32,
    /// Tokens of the text, for models of texts [default: as many as the model takes].
    #[arg(long, value_name = "N", value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    pub length: Option<usize>,
}

/// `limbeck fit`
#[derive(Debug, Args)]
pub struct FitArgs {
    /// The model file (`.lmb`).
    pub model: PathBuf,
    /// The target's name; `limbeck targets` lists them.
    #[arg(long, value_name = "NAME")]
    pub target: String,
}

/// The format of a name, by the names that recipes use.
fn format(name: &str) -> Result<Format, serde::de::value::Error> {
    use serde::Deserialize;
    use serde::de::IntoDeserializer;
    Format::deserialize(name.into_deserializer())
}
