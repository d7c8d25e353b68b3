//! The program's commands: what was typed (`args`), what it means (`settings`), and one file for each group of them.

pub mod args;
mod build;
mod demo;
mod inspect;
mod model;
mod output;
mod run;
mod settings;
mod targets;
mod ui;
mod verify;

use args::{BuildArgs, Cli, Command};
use clap::Parser;
use output::Output;
use std::process::ExitCode;
use ui::Ui;

/// Exit status after Ctrl-C, as shells have it.
pub(crate) const INTERRUPTED: u8 = 130;

/// What a command fails with; its text is for a person.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Runs the program on the arguments of the process.
pub fn main() -> ExitCode {
    let Cli { json, quiet, command } = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return output::misuse(&error),
    };
    let output = Output { json };
    let ui = Ui::new(quiet);
    let result = obey(command, &output, &ui);
    // A bar that is still drawn would be mixed with the message.
    ui.clear();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => output.failure(&*error),
    }
}

fn obey(command: Command, output: &Output, ui: &Ui) -> Result<(), Failure> {
    match command {
        Command::Demo(args) => demo::demo(&args, output, ui),
        Command::Train(args) => build::train(&args, output, ui),
        Command::Label(args) => build::label(&args, output, ui),
        Command::Distill(args) => build::distill(&args, output, ui),
        Command::Quantize(args) => build::quantize(&args, output, ui),
        Command::Pack(args) => build::pack(&args, output, ui),
        Command::Build(args) => build::all(&args, output, ui),
        Command::Report(judged) => build::all(&BuildArgs { judged, output: None }, output, ui),
        Command::Export(args) => build::export(&args, output, ui),
        Command::Run(args) => run::run(&args, output, ui),
        Command::Eval(args) => model::eval(&args, output, ui),
        Command::Bench(args) => model::bench(&args, output, ui),
        Command::Verify(args) => verify::verify(&args, output, ui),
        Command::Inspect(args) => inspect::inspect(&args, output),
        Command::Fit(args) => inspect::fit_target(&args, output),
        Command::Targets => targets::list(output),
    }
}
