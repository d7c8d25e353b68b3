//! Measures other inference engines and this project in turn on the same networks, through `benches/peers/latency.py`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::process::{output, succeeds};
use crate::{Result, root};

/// The engines, at the versions that the records name.
const PACKAGES: [&str; 3] = ["onnxruntime==1.32.0", "openvino==2026.4.1", "ai-edge-litert==2.3.0"];

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder of network files named NETWORK.FORM.onnx or .tflite: a network that `cargo bench --bench session` knows
    /// (resnet8, bert-tiny@128), the form anything but fp32. `benches/peers/encoder.py` makes such files of encoders.
    #[arg(long)]
    models: PathBuf,
    /// Networks to measure; all in the folder if none is named.
    networks: Vec<String>,
    /// Turns of each program.
    #[arg(long, default_value_t = 12)]
    rounds: u32,
    /// Seconds of a turn.
    #[arg(long, default_value_t = 0.25)]
    seconds: f32,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result {
    let mut networks = networks(&args.models)?;
    if let Some(unknown) = args.networks.iter().find(|name| !networks.contains_key(*name)) {
        let names: Vec<_> = networks.keys().map(String::as_str).collect();
        return Err(format!("{}: no file of {unknown}; there are {}", args.models.display(), names.join(", ")).into());
    }
    networks.retain(|name, _| args.networks.is_empty() || args.networks.contains(name));
    let (python, program) = (python()?, program()?);
    let mut results = Vec::new();
    for (network, files) in &networks {
        eprintln!("{network}: {} files", files.len());
        let text = output(
            Command::new(&python)
                .arg(root().join("benches/peers/latency.py"))
                .args(["--json", "--rounds", &args.rounds.to_string(), "--seconds", &args.seconds.to_string()])
                .arg("--program")
                .arg(&program)
                .arg(network)
                .args(files),
        )?;
        let result: Value = serde_json::from_str(text.trim())?;
        if !args.json {
            print!("{}", table(&result));
        }
        results.push(result);
    }
    if args.json {
        println!("{}", Value::Array(results));
    }
    Ok(())
}

/// The quantized files of a folder by network.
fn networks(folder: &Path) -> Result<BTreeMap<String, Vec<PathBuf>>> {
    let mut networks = BTreeMap::<_, Vec<_>>::new();
    let entries = fs::read_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    for path in entries.flatten().map(|entry| entry.path()) {
        if let Some(network) = path.file_name().and_then(|name| network_of(name.to_str()?)) {
            networks.entry(network).or_default().push(path);
        }
    }
    networks.values_mut().for_each(|files| files.sort());
    match networks.is_empty() {
        true => Err(format!("{}: no files named NETWORK.FORM.onnx or .tflite", folder.display()).into()),
        false => Ok(networks),
    }
}

/// What the session benchmark calls the network of a file; nothing for files of floats and of other kinds.
fn network_of(file: &str) -> Option<String> {
    let (name, suffix) = file.rsplit_once('.')?;
    let (network, form) = name.split_once('.')?;
    if !["onnx", "tflite"].contains(&suffix) || ["fp32", "float", "fused"].contains(&form) {
        return None;
    }
    // Files of one length of text carry it in their name.
    Some(match network.split_once("-s") {
        Some((family, tokens)) if tokens.bytes().all(|b| b.is_ascii_digit()) && !tokens.is_empty() => {
            format!("{}@{tokens}", if family == "berttiny" { "bert-tiny" } else { family })
        }
        _ => network.to_owned(),
    })
}

/// A Python with the engines, in `target/peers`.
fn python() -> Result<PathBuf> {
    let folder = root().join("target/peers");
    let python = folder.join("bin/python");
    let stamp = folder.join("packages");
    let wanted = PACKAGES.join(" ");
    if fs::read_to_string(&stamp).is_ok_and(|there| there == wanted) && succeeds(Command::new(&python).arg("--version"))
    {
        return Ok(python);
    }
    eprintln!("installing {wanted} in target/peers");
    output(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder))?;
    output(
        Command::new(&python).args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(PACKAGES),
    )?;
    fs::write(&stamp, wanted)?;
    Ok(python)
}

/// The session benchmark, built.
fn program() -> Result<PathBuf> {
    let mut build = Command::new("cargo");
    build.current_dir(root()).stderr(Stdio::inherit());
    build.args(["bench", "-p", "limbeck-benches", "--bench", "session", "--no-run", "--message-format", "json"]);
    let text = output(&mut build)?;
    let messages = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut program =
        messages.filter(|m| m["target"]["name"] == "session").filter_map(|m| Some(m["executable"].as_str()?.into()));
    program.next_back().ok_or_else(|| "cargo built no session benchmark".into())
}

/// For people: a line for each program, with how many times longer it takes.
fn table(result: &Value) -> String {
    let rows = result["rows"].as_array().map_or(&[][..], Vec::as_slice);
    let time = |row: &Value, key: &str| row[key].as_f64().unwrap_or(f64::NAN);
    let mut text = format!("{:<50} {:>9} {:>10} {:>8} {:>8}\n", "", "min ms", "median ms", "x min", "x median");
    for row in rows {
        let [min, median] = ["min_ms", "median_ms"].map(|key| time(row, key));
        let [by_min, by_median] = ["min_ms", "median_ms"].map(|key| time(row, key) / time(&rows[0], key));
        let name = row["name"].as_str().unwrap_or("?");
        text += &format!("{name:<50} {min:>9.4} {median:>10.4} {by_min:>8.2} {by_median:>8.2}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_tell_their_network() {
        let of = |file: &str| network_of(file);
        assert_eq!(of("resnet8.qdq-u8.onnx").as_deref(), Some("resnet8"));
        assert_eq!(of("berttiny-s128.dyn.onnx").as_deref(), Some("bert-tiny@128"));
        assert_eq!(of("bert-tiny.dynamic.onnx").as_deref(), Some("bert-tiny"));
        assert_eq!(of("distilbert.int8.tflite").as_deref(), Some("distilbert"));
        for other in ["resnet8.fp32.onnx", "bert-tiny.fused.onnx", "resnet8.onnx", "notes.of.txt", "README"] {
            assert_eq!(of(other), None, "{other}");
        }
    }

    #[test]
    fn ratios_are_to_the_first_row() {
        let rows = serde_json::json!([
            { "name": "limbeck", "min_ms": 1.0, "median_ms": 2.0 },
            { "name": "other", "min_ms": 3.0, "median_ms": 5.0 },
        ]);
        let text = table(&serde_json::json!({ "rows": rows }));
        assert!(text.ends_with("3.0000     5.0000     3.00     2.50\n"), "{text}");
    }
}
