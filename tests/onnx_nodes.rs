//! The ONNX project's own node tests: every case of every operator in our list is computed rightly or refused aloud.
//!
//! The cases ship in the Python wheel `onnx==1.22.0`. They are found through `LIMBECK_ONNX_NODE_TESTS` (the folder `node`),
//! or in the virtual environment `target/venv` that `cargo xtask test` makes.

use limbeck::graph::{Graph, Tensor, rewrite};
use limbeck::ops::reference;
use limbeck::teacher::onnx::{ImportError, import_verbatim, read_tensor};
use limbeck::train::exec::Infer;
use limbeck_tests::skipped;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// An operator, how the names of its cases begin (after `test_`), and how many of them must pass.
const OPERATORS: &[(&str, &[&str], usize)] = &[
    ("Add", &["add", "add_*"], 2),
    ("Attention", &["attention_4d*"], 1),
    ("AveragePool", &["averagepool_*"], 14),
    ("BatchNormalization", &["batchnorm_*"], 2),
    ("Cast", &["cast_*"], 6),
    ("Clip", &["clip", "clip_*"], 9),
    ("Concat", &["concat_*"], 12),
    ("Constant", &["constant"], 1),
    ("Conv", &["basic_conv_*", "conv_*"], 6),
    ("Div", &["div", "div_*"], 3),
    ("Dropout", &["dropout_*", "training_dropout*"], 4),
    ("Flatten", &["flatten_*"], 9),
    ("Gelu", &["gelu_*"], 4),
    ("Gemm", &["gemm_*"], 11),
    ("GlobalAveragePool", &["globalaveragepool*"], 2),
    ("HardSigmoid", &["hardsigmoid*"], 3),
    ("HardSwish", &["hardswish*"], 1),
    ("Identity", &["identity*"], 1),
    ("LeakyRelu", &["leakyrelu*"], 3),
    ("LpNormalization", &["l2normalization_*"], 1),
    ("MatMul", &["matmul_*"], 7),
    ("MaxPool", &["maxpool_*"], 12),
    ("Mul", &["mul", "mul_*"], 3),
    ("Pad", &["constant_pad*", "edge_pad", "reflect_pad", "wrap_pad"], 3),
    ("ReduceMean", &["reduce_mean_*"], 8),
    ("Relu", &["relu"], 1),
    ("Reshape", &["reshape_*"], 9),
    ("Sigmoid", &["sigmoid*"], 2),
    ("Slice", &["slice*"], 6),
    ("Softmax", &["softmax_*"], 7),
    ("Squeeze", &["squeeze*"], 2),
    ("Sub", &["sub", "sub_*"], 3),
    ("Sum", &["sum_*"], 3),
    ("Tanh", &["tanh*"], 2),
    ("Transpose", &["transpose_*"], 7),
    ("Unsqueeze", &["unsqueeze_*"], 7),
];

/// How a case came out.
enum Outcome {
    /// Every way of running it gives the expected numbers; and whether the fast executor ran it too.
    Passed { fast: bool },
    /// It is outside our scope, and the import says so.
    Refused(String),
    /// It gives other numbers, or fails for another reason than its scope.
    Wrong(String),
}

#[test]
fn node_tests_pass_or_are_refused() {
    let Some(folder) = folder() else {
        return skipped(
            "no ONNX node tests. Run `cargo xtask test`, or install onnx==1.22.0 and set LIMBECK_ONNX_NODE_TESTS to its \
             onnx/backend/test/data/node",
        );
    };
    let cases = cases(&folder);
    let mut table = format!("{:<20}{:>7}{:>6}{:>9}{:>5}\n", "operator", "passed", "fast", "refused", "of");
    let mut failures = Vec::new();
    for (operator, patterns, floor) in OPERATORS {
        let own: Vec<&PathBuf> = cases.iter().filter(|case| patterns.iter().any(|p| matches(p, case))).collect();
        let (mut passed, mut fast, mut refused) = (0, 0, 0);
        for case in &own {
            match run(case) {
                Outcome::Passed { fast: ran } => {
                    passed += 1;
                    fast += usize::from(ran);
                }
                Outcome::Refused(reason) => {
                    refused += 1;
                    println!("refused {}: {reason}", name(case));
                }
                Outcome::Wrong(reason) => failures.push(format!("{}: {reason}", name(case))),
            }
        }
        writeln!(table, "{operator:<20}{passed:>7}{fast:>6}{refused:>9}{:>5}", own.len()).unwrap();
        if passed < *floor {
            failures.push(format!("{operator}: {passed} cases pass, {floor} did before"));
        }
    }
    let _ = write!(std::io::stderr(), "{table}");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

fn folder() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("LIMBECK_ONNX_NODE_TESTS") {
        let folder = PathBuf::from(named);
        assert!(folder.is_dir(), "LIMBECK_ONNX_NODE_TESTS names no folder: {}", folder.display());
        return Some(folder);
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let target = target.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"));
    let pythons = std::fs::read_dir(target.join("venv/lib")).ok()?;
    let node = |python: PathBuf| python.join("site-packages/onnx/backend/test/data/node");
    pythons.flatten().map(|python| node(python.path())).find(|folder| folder.is_dir())
}

fn cases(folder: &Path) -> Vec<PathBuf> {
    let mut cases: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    cases
}

fn name(case: &Path) -> &str {
    case.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

/// Whether a case has a name, or begins as a pattern that ends in a star.
fn matches(pattern: &str, case: &Path) -> bool {
    let Some(name) = name(case).strip_prefix("test_") else { return false };
    // These are written out in other operators.
    if name.contains("_expanded") {
        return false;
    }
    pattern.strip_suffix('*').map_or(name == pattern, |start| name.starts_with(start))
}

/// Runs a case with all its inputs open, and with all but the first stored in the model: one of both must be in scope.
fn run(case: &Path) -> Outcome {
    let data = case.join("test_data_set_0");
    let files: Vec<PathBuf> =
        (0..).map(|i| data.join(format!("input_{i}.pb"))).take_while(|file| file.exists()).collect();
    let mut refusal = None;
    let mut passed = None;
    for stored in if files.len() > 1 { 0..2 } else { 0..1 } {
        let open = if stored == 0 { files.len() } else { 1 };
        let model = std::fs::read(case.join("model.onnx")).unwrap();
        let file = with_stored(model, &files[open..]);
        let graph = match import_verbatim(file.path()) {
            Ok(graph) => graph,
            Err(error @ (ImportError::Unsupported { .. } | ImportError::Tensor { .. })) => {
                let text = error.to_string();
                let told = text.split_once(".onnx: ").map_or(text.clone(), |(_, told)| told.to_owned());
                refusal = Some(told);
                continue;
            }
            Err(error) => return Outcome::Wrong(error.to_string()),
        };
        match compare(&graph, &files[..open], &data.join("output_0.pb"), name(case)) {
            Ok(fast) => passed = Some(passed.unwrap_or(false) || fast),
            Err(reason) => return Outcome::Wrong(reason),
        }
    }
    match (passed, refusal) {
        (Some(fast), _) => Outcome::Passed { fast },
        (None, Some(reason)) => Outcome::Refused(reason),
        (None, None) => Outcome::Wrong("nothing ran".to_owned()),
    }
}

/// The model with tensors of files added to its stored ones, in a file that goes away with the handle.
///
/// Parts of a protobuf message may follow one another: what comes later is merged into what was there.
fn with_stored(mut model: Vec<u8>, tensors: &[PathBuf]) -> tempfile::NamedTempFile {
    const GRAPH: u8 = 7;
    const INITIALIZER: u8 = 5;
    let field = |number: u8, bytes: &[u8]| {
        let mut field = vec![number << 3 | 2];
        let mut len = bytes.len();
        while len >= 0x80 {
            field.push(len as u8 | 0x80);
            len >>= 7;
        }
        field.push(len as u8);
        [&field, bytes].concat()
    };
    let stored: Vec<u8> = tensors.iter().flat_map(|file| field(INITIALIZER, &std::fs::read(file).unwrap())).collect();
    model.extend(field(GRAPH, &stored));
    let mut file = tempfile::Builder::new().suffix(".onnx").tempfile().unwrap();
    file.write_all(&model).unwrap();
    file
}

/// Runs a graph as it is, in canonical form, and in the fast executor; says whether the last one took it.
fn compare(graph: &Graph, inputs: &[PathBuf], output: &Path, name: &str) -> Result<bool, String> {
    let tensor = |file: &PathBuf| read_tensor(file).map(|(_, tensor)| tensor).map_err(|e| e.to_string());
    let inputs = inputs.iter().map(tensor).collect::<Result<Vec<Tensor>, _>>()?;
    let expected = tensor(&output.to_owned())?;
    // Half-precision numbers are kept in full precision, so they differ by what rounding to them would lose.
    // One case has its expected numbers written with four digits.
    let rounded = ["float16", "fp16"].iter().any(|half| name.to_lowercase().contains(half))
        || name.ends_with("ceil_last_window_starts_on_pad");
    let tolerance = if rounded { 1e-3 } else { 1e-5 };
    let check = |how: &str, found: &[Tensor]| close(&found[0], &expected, tolerance).map_err(|e| format!("{how}: {e}"));
    check("as imported", &reference::run(graph, &inputs).map_err(|e| e.to_string())?)?;
    let canonical = rewrite::canonicalize(graph.clone());
    check("in canonical form", &reference::run(&canonical, &inputs).map_err(|e| format!("{e}\n{canonical}"))?)?;
    let inputs: Vec<&Tensor> = inputs.iter().collect();
    let Ok(found) = Infer::new(&canonical, 1).and_then(|mut infer| infer.run_all(&inputs)) else { return Ok(false) };
    check("in the fast executor", &found)?;
    Ok(true)
}

fn close(found: &Tensor, expected: &Tensor, tolerance: f32) -> Result<(), String> {
    if found.shape() != expected.shape() {
        return Err(format!("shape {:?}, not {:?}", found.shape(), expected.shape()));
    }
    let same = |a: f32, b: f32| a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= tolerance * b.abs().max(1.0);
    let wrong = found.data().iter().zip(expected.data()).position(|(a, b)| !same(*a, *b));
    wrong.map_or(Ok(()), |i| Err(format!("element {i} is {}, not {}", found.data()[i], expected.data()[i])))
}
