//! Every command on good input: what it answers, and that it answers the same again.

use crate::support::{
    MODEL, Run, STUDENT, assert_same_results, built, files, folder_with, head, program, refused, results, tiny,
};
use limbeck_runtime::Kernels;
use serde_json::Value;
use std::process::Stdio;

/// Demands that the answer has these keys.
pub(crate) fn assert_keys(answer: &Value, keys: &str) {
    for key in keys.split_whitespace() {
        assert!(answer.get(key).is_some(), "no `{key}` in {answer}");
    }
}

#[test]
fn a_recipe_made_twice_gives_the_same_bytes() {
    let folder = folder_with(&tiny());
    let answer = Run::new(folder.path(), "build r.toml --json --quiet --work w --output out").answer();
    assert_keys(
        &answer,
        "recipe model teacher_accuracy float_accuracy int8_accuracy agreement models targets exact bars not_run \
         measured report work",
    );
    let (first, second) = (built().join("limbeck-out/tiny"), folder.path().join("w"));
    assert_same_results(&first, &second);
    let read = |path: &str| std::fs::read(folder.path().join(path)).unwrap();
    assert_eq!(read("out/tiny.lmb"), read("w/tiny.lmb"));
    assert_eq!(read("out/tiny.json"), read("w/record.json"));

    let again = Run::new(folder.path(), "build r.toml --work w");
    assert!(again.code == Some(0) && again.stderr.matches("(as before)").count() == 6, "{again:?}");
    assert_same_results(&first, &second);
}

#[test]
fn stages_are_commands() {
    let folder = folder_with(&tiny());
    let rows = [
        ("train", "recipe teachers trained", "teacher1.safetensors"),
        ("label", "recipe n views folder", "labels-"),
        ("distill", "recipe teachers student parameters training sha256 file", "student.safetensors"),
        ("quantize", "recipe sha256 file report", "int8.safetensors"),
        ("pack", "recipe models", "tiny.lmb"),
        ("report", "recipe report exact", "report.html"),
    ];
    for (command, keys, made) in rows {
        assert!(!files(folder.path()).iter().any(|file| file.contains(made)), "{made} is there before {command}");
        assert_keys(&Run::new(folder.path(), &format!("{command} r.toml --json --work w")).answer(), keys);
        assert!(files(folder.path()).iter().any(|file| file.contains(made)), "{command} makes no {made}");
    }
    assert_same_results(&built().join("limbeck-out/tiny"), &folder.path().join("w"));
}

#[test]
fn a_changed_recipe_repeats_what_depends_on_the_change() {
    let folder = folder_with(&(head("generated = { train = 64, test = 16 }") + STUDENT));
    let file = folder.path().join("r.toml");
    assert_eq!(Run::new(folder.path(), "pack r.toml --work w").code, Some(0));
    let student = || std::fs::read(folder.path().join("w/student.safetensors")).unwrap();
    let (before, trained) = (results(&folder.path().join("w")), student());

    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("samples = 16", "samples = 8")).unwrap();
    let run = Run::new(folder.path(), "pack r.toml --work w");
    let lines: Vec<&str> = run.stderr.lines().filter(|line| line.contains("as before")).collect();
    assert!(run.code == Some(0) && lines.len() == 1 && lines[0].contains("distill"), "{run:?}");
    assert_eq!(student(), trained);

    std::fs::write(&file, text).unwrap();
    assert_eq!(Run::new(folder.path(), "pack r.toml --work w").code, Some(0));
    assert!(results(&folder.path().join("w")) == before, "going back gives what was");
}

#[test]
fn a_missed_bar_fails_the_build_and_sets_the_model_aside() {
    let recipe = head("generated = { train = 64, test = 16 }") + STUDENT + "[accept]\nint8_accuracy = 1.0\n";
    let folder = folder_with(&recipe);
    let parts = ["`int8_accuracy` is", "instead of 1", "`--accept-loss` takes it"];
    refused(folder.path(), "build r.toml --work w --output out", &parts);
    let report = std::fs::read_to_string(folder.path().join("w/report.html")).unwrap();
    assert!(report.contains("missed"));
    let is_file = |file: &str| folder.path().join(file).is_file();
    assert_eq!(["w/tiny.lmb", "w/tiny.refused.lmb", "out/tiny.lmb"].map(is_file), [false, true, false]);
    let run = Run::new(folder.path(), "build r.toml --work w --output out --accept-loss --json").answer();
    assert_eq!(run["bars"][0]["met"], false);
    assert_eq!(["w/tiny.lmb", "out/tiny.lmb"].map(is_file), [true, true]);
}

#[test]
fn models_are_looked_at() {
    let run = |words: &str| Run::new(built(), &format!("{words} --json")).answer();
    let inspected = run(&format!("inspect {MODEL}"));
    assert_keys(&inspected, "model bytes arena_bytes contract layout ops tables image labels certificate sha256");
    let file = std::fs::read(built().join(MODEL)).unwrap();
    assert_eq!(inspected["bytes"], file.len());
    assert_eq!(inspected["labels"].as_array().unwrap().len(), 8);

    let fits = run(&format!("fit {MODEL} --target qemu-m4"));
    assert_keys(&fits, "model target bytes arena_bytes table flash_room ram_room");
    assert_eq!(fits["fits"], true);
    let targets = run("targets");
    let names: Vec<&str> = targets["targets"].as_array().unwrap().iter().map(|t| t["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"qemu-m4") && names.contains(&"x86_64-linux"), "{names:?}");
    for words in ["targets", &format!("inspect {MODEL}"), &format!("fit {MODEL} --target qemu-m4")] {
        let text = Run::new(built(), words);
        assert!(text.code == Some(0) && !text.stdout.starts_with('{') && text.stderr.is_empty(), "{text:?}");
    }
}

#[test]
fn models_are_run_and_every_table_says_the_same() {
    let (folder, model) = (tempfile::tempdir().unwrap(), built().join(MODEL));
    let picture = image::RgbImage::from_fn(32, 32, |x, y| image::Rgb([8 * x as u8, 8 * y as u8, 90]));
    picture.save(folder.path().join("a.png")).unwrap();
    // The model comes right after the command.
    let run = |words: &str| {
        let (command, rest) = words.split_once(' ').unwrap_or((words, ""));
        Run::new(folder.path(), &format!("{command} {} {rest} --json", model.display()))
    };
    let answer = run("run a.png").answer();
    let result = &answer["results"][0];
    assert_keys(result, "input label index probabilities digest");
    assert_eq!(result["probabilities"].as_array().unwrap().len(), 8);
    let eval = run("eval --data generated --limit 24").answer();
    assert_keys(&eval, "n accuracy cross_entropy calibration_error confusion digest");
    assert_eq!(eval["n"], 24);
    let verified = run("verify --data generated --device cpu").answer();
    assert_keys(&verified, "n equal accuracy device seconds tables digest self_tests certificate not_run");
    assert!(verified["equal"] == true && verified["device"].is_null(), "{verified}");
    assert!(run("verify --device cpu --trace").error(1).contains("leave out `--device cpu`"));
    let on_gpu = run("verify --data generated --device gpu");
    if cfg!(not(feature = "gpu")) {
        assert_eq!(on_gpu.error(1), "this build has no GPU kernels: use `--device cpu`");
    } else if on_gpu.code == Some(1) {
        assert!(on_gpu.error(1).starts_with("there is no GPU: "));
        limbeck_tests::skipped("there is no GPU for `limbeck verify`: `cargo xtask setup` installs one of software");
    } else {
        let on_gpu = on_gpu.answer();
        assert_keys(&on_gpu["device"], "name kind driver version backend");
        for key in ["n", "equal", "accuracy", "digest", "certificate"] {
            assert_eq!(on_gpu[key], verified[key], "{key}");
        }
        let traced = run("verify --device auto --trace --batch 50").answer();
        assert!(traced["tensors"].as_u64() > on_gpu["tensors"].as_u64(), "{traced}");
        assert_eq!((&traced["batch"], &traced["not_run"]), (&Value::from(50), &serde_json::json!([])));
        let error = run("verify --device gpu --batch 999999999999").error(1);
        assert!(error.contains(" are too many for the GPU ") && error.contains("try `--batch "), "{error}");
    }

    let inspected = run("inspect").answer();
    assert!(inspected["tables"].as_array().unwrap().contains(&Value::from("scalar")), "{inspected}");
    for table in Kernels::all().map(|kernels| kernels.isa.name()) {
        let of = |words: &str| run(&format!("{words} --table {table}"));
        let (forced, digest) = (of("run a.png").answer(), &result["digest"]);
        assert_eq!((forced["table"].as_str(), &forced["results"][0]["digest"]), (Some(table), digest));
        assert_eq!(of("eval --data generated --limit 24").answer()["digest"], eval["digest"]);
        let timed = of("bench --runs 5").answer();
        assert_keys(&timed, "model table min_ms median_ms runs load_ms");
        assert_eq!((timed["table"].as_str(), &timed["runs"]), (Some(table), &Value::from(5)));
    }
    assert_eq!(run("verify --table scalar --device cpu").answer()["random"], true);
    for words in ["run a.png", "eval --data generated", "bench", "verify"] {
        let error = run(&format!("{words} --table sse9")).error(1);
        assert!(error.starts_with("no kernel table is called `sse9`; there are: scalar, "), "{error}");
    }
}

#[test]
fn the_student_is_exported_or_the_missing_feature_named() {
    if cfg!(not(feature = "onnx")) {
        refused(built(), "export r.toml --output s.onnx", &["without the feature `onnx`", "--features onnx"]);
        let recipe = head("generated = { train = 64, test = 16 }") + "[[teacher]]\nweights = \"t.onnx\"\n";
        let folder = folder_with(&recipe);
        std::fs::write(folder.path().join("t.onnx"), b"anything").unwrap();
        refused(folder.path(), "build r.toml", &["t.onnx is an ONNX file", "without the feature `onnx`"]);
        return;
    }
    let folder = folder_with(&tiny());
    let work = built().join("limbeck-out/tiny");
    // A copy: the folder itself is for one build at a time.
    let copied = folder.path().join("w");
    std::fs::create_dir(&copied).unwrap();
    for file in files(&work).iter().filter(|file| file.starts_with("student.") || file.starts_with("teacher1.")) {
        std::fs::copy(work.join(file), copied.join(file)).unwrap();
    }
    let answer = Run::new(folder.path(), "export r.toml --json --work w").answer();
    assert_keys(&answer, "recipe student file");
    // What was exported is a teacher, or a network to be quantized, like any other.
    let recipe = head("generated = { train = 64, test = 16 }")
        + "[[teacher]]\nweights = \"w/tiny.onnx\"\nmean = [0.50196078, 0.50196078, 0.50196078]\n\
           std = [0.25098039, 0.25098039, 0.25098039]\n";
    std::fs::write(folder.path().join("r.toml"), recipe).unwrap();
    let quantized = Run::new(folder.path(), "pack r.toml --json --work x").answer();
    assert_eq!(quantized["models"].as_array().unwrap().len(), 2);
    refused(folder.path(), "export r.toml --work x --output /dev/full", &["cannot write /dev/full", "make room"]);
}

#[test]
fn help_is_short_and_complete() {
    let help = Run::new(built(), "help");
    assert_eq!(help.code, Some(0));
    let commands =
        "demo build train label distill quantize pack report export verify eval run bench inspect fit targets";
    for command in commands.split(' ') {
        assert!(help.stdout.contains(&format!("\n  {command} ")), "{command}: {}", help.stdout);
        let help = Run::new(built(), &format!("{command} --help"));
        assert!(help.code == Some(0) && help.stdout.contains("Usage: limbeck"), "{help:?}");
        assert!(help.stdout.lines().all(|line| line.len() <= 120), "{}", help.stdout);
    }
}

#[test]
fn misuse_is_told_in_json_too() {
    for (words, part) in [
        ("--json", "requires a subcommand"),
        ("--json biuld r.toml", "biuld"),
        ("--json eval model.lmb", "--data"),
        ("--json bench model.lmb --runs 0", "runs"),
        ("--json eval model.lmb --data x --limit 0", "limit"),
        ("--json eval model.lmb --data x --format tvs", "folder"),
        ("--json bench model.lmb --length 0", "length"),
    ] {
        let error = Run::new(built(), words).error(2);
        assert!(error.contains(part), "{words}: {error}");
    }
}

#[test]
#[cfg(unix)]
fn a_reader_that_goes_away_is_no_failure_and_a_full_disk_is_one() {
    let mut child = program(built()).arg("targets").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let run = Run::of(child.wait_with_output().unwrap());
    assert!(run.code == Some(0) && run.stderr.is_empty(), "{run:?}");
    if let Ok(full) = std::fs::File::options().write(true).open("/dev/full") {
        let run = Run::of(program(built()).arg("targets").stdout(full).output().unwrap());
        assert!(run.code == Some(1) && run.stderr.contains("cannot write the answer to stdout"), "{run:?}");
    }
    let mut failing = program(built());
    failing.args(["inspect", "no.lmb", "--json"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = failing.spawn().unwrap();
    drop(child.stderr.take());
    let run = Run::of(child.wait_with_output().unwrap());
    assert!(run.code == Some(1) && run.json()["error"].as_str().unwrap().contains("no.lmb"), "{run:?}");
}
