//! Texts from a recipe to every command: what is answered, that it is the same again, and what is refused.

use crate::commands::assert_keys;
use crate::support::{MODEL, Run, assert_same_results, built, built_text, folder_with, program, refused, tiny_text};
use limbeck::data::text::Tokenized;
use limbeck::families::distilbert::{DistilBert, Head, named};
use limbeck::graph::{Pick, Unary};
use limbeck::pack::{PackInfo, pack};
use limbeck::plan::{PlanTarget, plan};
use limbeck::quantize::{QuantSettings, Samples, quantize};
use limbeck::teacher::safetensors;
use limbeck::text::Vocabulary;
use limbeck_runtime::Kernels;
use limbeck_targets::Target;
use serde_json::{Value, json};
use std::ffi::OsStr;
use std::path::Path;

/// A run on the model of texts, of which arguments may have blanks.
fn on_model(folder: &Path, command: &str, arguments: &[&str]) -> Run {
    let model = built_text().join(MODEL);
    let mut words = vec![OsStr::new(command), model.as_os_str()];
    words.extend(arguments.iter().map(OsStr::new));
    Run::of(program(folder).args(words).arg("--json").output().unwrap())
}

#[test]
fn a_recipe_of_texts_made_twice_gives_the_same_bytes() {
    let folder = folder_with(&tiny_text());
    let answer = Run::new(folder.path(), "build r.toml --json --quiet --work w").answer();
    let (first, second) = (built_text().join("limbeck-out/tiny"), folder.path().join("w"));
    assert_same_results(&first, &second);
    assert_eq!(answer["exact"]["n"], 40);
    let record: Value = serde_json::from_slice(&std::fs::read(second.join("record.json")).unwrap()).unwrap();
    let text = &record["data"]["text"];
    assert_eq!((&text["tokens"], record["data"].get("image")), (&json!(16), None));
    assert!(text["longest"].as_u64().unwrap() <= 16 && text["vocabulary"].as_u64().unwrap() > 20, "{text}");
    let again = Run::new(folder.path(), "build r.toml --work w");
    assert!(again.code == Some(0) && again.stderr.matches("(as before)").count() == 6, "{again:?}");
    assert!(again.stderr.contains("160 texts to learn from, 40 to be judged on"), "{again:?}");
    assert_same_results(&first, &second);
}

#[test]
fn texts_are_classified_and_every_table_says_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let long = "please ".repeat(40);
    let texts = ["please switch the lamp on", "Stop the RADIO!", &long];
    let run = on_model(folder.path(), "run", &texts).answer();
    let results = run["results"].as_array().unwrap();
    for (result, text) in results.iter().zip(texts) {
        assert_keys(result, "input label index probabilities digest tokens truncated");
        assert_eq!(result["input"], text);
        assert_eq!(result["probabilities"].as_array().unwrap().len(), 8);
        assert_eq!(result["truncated"], text == long);
    }
    assert_eq!(results[2]["tokens"], 16);
    assert_ne!(results[0]["digest"], results[1]["digest"]);

    let eval = on_model(folder.path(), "eval", &["--data", "generated", "--limit", "24"]).answer();
    assert_keys(&eval, "n accuracy cross_entropy calibration_error confusion digest truncated");
    assert_eq!(eval["n"], 24);
    for table in Kernels::all().map(|kernels| kernels.isa.name()) {
        let forced = on_model(folder.path(), "run", &[&texts[..], &["--table", table]].concat()).answer();
        let digests = |answer: &Value| {
            answer["results"].as_array().unwrap().iter().map(|r| r["digest"].clone()).collect::<Vec<_>>()
        };
        assert_eq!((forced["table"].as_str(), digests(&forced)), (Some(table), digests(&run)));
        let forced = on_model(folder.path(), "eval", &["--data", "generated", "--limit", "24", "--table", table]);
        assert_eq!(forced.answer()["digest"], eval["digest"]);
        let timed = on_model(folder.path(), "bench", &["--runs", "5", "--length", "7", "--table", table]).answer();
        assert_eq!((&timed["runs"], &timed["tokens"]), (&json!(5), &json!(7)));
    }
    assert_eq!(on_model(folder.path(), "bench", &["--runs", "2"]).answer()["tokens"], 16);

    let inspected = on_model(folder.path(), "inspect", &[]).answer();
    assert_keys(&inspected, "model bytes arena_bytes contract layout ops tables text labels certificate sha256");
    assert_keys(&inspected["text"], "tokens vocabulary vocabulary_bytes");
    assert_eq!(on_model(folder.path(), "fit", &["--target", "qemu-m4"]).answer()["fits"], true);
    let verified = on_model(folder.path(), "verify", &[]).answer();
    assert_eq!((&verified["n"], &verified["random"]), (&json!(64), &json!(true)));
    let shown = Run::of(program(folder.path()).arg("run").arg(built_text().join(MODEL)).arg(&long).output().unwrap());
    assert!(shown.code == Some(0) && shown.stdout.contains("16, cut off"), "{shown:?}");
}

#[test]
fn files_of_all_formats_are_judged_alike() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("a.tsv", "lamp on\tswitch on the lamp, please\nradio off\tstop the radio\n");
    write("a.csv", "label,text\nlamp on,\"switch on the lamp, please\"\nradio off,stop the radio\n");
    write(
        "a.jsonl",
        "{\"label\": \"lamp on\", \"text\": \"switch on the lamp, please\"}\n{\"label\": 3, \"text\": \"stop the radio\"}\n",
    );
    write("labels.txt", "lamp on\nlamp off\nradio on\nradio off\n");
    let eval = |arguments: &[&str]| on_model(folder.path(), "eval", arguments);
    let expected = eval(&["--data", "a.tsv"]).answer();
    assert_eq!((&expected["n"], &expected["truncated"]), (&json!(2), &json!(0)));
    for file in ["a.csv", "a.jsonl"] {
        let answer = eval(&["--data", file]).answer();
        for key in ["n", "accuracy", "cross_entropy", "confusion", "digest"] {
            assert_eq!(answer[key], expected[key], "{key} of {file}");
        }
    }
    std::fs::rename(folder.path().join("a.tsv"), folder.path().join("texts")).unwrap();
    assert_eq!(eval(&["--data", "texts", "--format", "tsv"]).answer()["digest"], expected["digest"]);

    let check = |arguments: &[&str], part: &str| {
        let error = eval(arguments).error(1);
        assert!(error.contains(part), "{arguments:?} says `{error}`, without `{part}`");
    };
    write("b.tsv", "lamp on\tx\nsun off\ty\n");
    std::fs::remove_file(folder.path().join("labels.txt")).unwrap();
    check(&["--data", "b.tsv"], "tells 8 classes apart, but the texts are of 2");
    std::fs::write(folder.path().join("c.tsv"), b"0\tgood\n1\t\xff\n").unwrap();
    check(&["--data", "c.tsv"], "c.tsv:2: is not UTF-8");
    check(&["--data", "c.tsv", "--format", "folder"], "the model takes texts, but these are images");
    check(&["--data", "none.tsv"], "none.tsv");
}

#[test]
fn inputs_that_are_no_texts_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for empty in ["", " \t\n"] {
        let error = on_model(folder.path(), "run", &["fine", empty]).error(1);
        assert_eq!(error, "input 2 is an empty text");
    }
    let error = on_model(folder.path(), "bench", &["--length", "17"]).error(1);
    assert!(error.contains("17 tokens, the model takes 1 to 16"), "{error}");
    let images = built().join(MODEL);
    refused(folder.path(), &format!("bench {} --length 7", images.display()), &["the model takes images"]);
    refused(folder.path(), &format!("eval {} --data x --format csv", images.display()), &["the model takes images"]);
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt;
        let mut command = program(folder.path());
        command.arg("run").arg(built_text().join(MODEL)).arg(OsStr::from_bytes(b"good \xff")).arg("--json");
        let error = Run::of(command.output().unwrap()).error(1);
        assert_eq!(error, "input 1 is not UTF-8; the model takes texts");
    }
}

#[test]
fn recipes_that_mix_images_and_texts_are_refused() {
    let rows = [
        (
            "distilbert-l1-h32-a2",
            "resnet8",
            "`student.network`: network `resnet8` takes images, but the data are texts",
        ),
        ("distilbert-l1-h32-a2", "distilbert-l1-h33-a2", "does not fit texts"),
        ("distilbert-l1-h32-a2", "bert-tny", "did you mean `bert-tiny`?"),
        ("tokens = 16", "tokens = 2", "`data.tokens`: is 2"),
        ("tokens = 16", "size = [8, 8]", "`data.size`: is for images, but the data are texts"),
        ("kind = \"intents\", ", "", "`data.tokens`: is for texts, but the data are images"),
        ("inherit = true", "vocabulary = 9", "a vocabulary of 9 cannot hold"),
        ("inherit = true", "augment = { mask = 2.0 }", "`mask` is 2"),
        ("hold_out = 8", "augment = { flip = false }", "`student.train.augment`: is for images"),
        ("[[teacher]]\n", "[[teacher]]\nmean = [0.5, 0.5, 0.5]\n", "`teacher.mean`: is for images"),
    ];
    for (good, bad, part) in rows {
        let folder = folder_with(&tiny_text().replacen(good, bad, 1));
        refused(folder.path(), "build r.toml --work w", &[part]);
    }
    let student = tiny_text();
    let student = student.split_once("[[teacher]]").unwrap().0.to_owned() + "[student]\nnetwork = \"bert-pico\"\n";
    let folder = folder_with(&(student.clone() + "inherit = true\n"));
    refused(folder.path(), "build r.toml --work w", &["`student.inherit`: there is no teacher to inherit from"]);
    let folder = folder_with(&(student + "[accept]\nkept = 0.9\n"));
    refused(folder.path(), "build r.toml --work w", &["`accept.kept`: there is no teacher to compare with"]);
}

/// Words that are a tokenizer of 64 rows together with what stands before them.
fn vocabulary() -> String {
    let words =
        "[PAD] [UNK] [CLS] [SEP] [MASK] lamp light radio heater fan turn switch on off the please stop start and , . !";
    let letters = ('a'..='u').map(|letter| letter.to_string());
    words
        .split(' ')
        .map(str::to_owned)
        .chain(letters)
        .chain(('a'..='u').map(|c| format!("##{c}")))
        .collect::<Vec<_>>()
        .join("\n")
}

/// A Hugging Face folder with a tiny classifier, whose classes are those of the generated requests the other way round.
fn teacher_folder(folder: &Path) {
    let classes = 8;
    let head = Head::Classify { classes, pick: Pick::First, dense: Some(Unary::Relu) };
    let net = DistilBert { head, ..named("distilbert-l2-h32-a2", 64, 20, classes).unwrap() };
    let graph = net.build("teacher", Some(3)).unwrap();
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join("model.safetensors"), safetensors::to_bytes(&graph)).unwrap();
    let mut names = Vec::new();
    for device in ["lamp", "radio", "heater", "fan"] {
        names.extend([format!("{device} on"), format!("{device} off")]);
    }
    let labels: serde_json::Map<String, Value> =
        names.into_iter().rev().enumerate().map(|(class, name)| (class.to_string(), name.into())).collect();
    let config = json!({
        "model_type": "distilbert", "architectures": ["DistilBertForSequenceClassification"],
        "vocab_size": 64, "max_position_embeddings": 20, "dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 128,
        "activation": "gelu", "id2label": labels,
    });
    std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
    std::fs::write(folder.join("vocab.txt"), vocabulary()).unwrap();
    std::fs::write(folder.join("tokenizer_config.json"), "{\"do_lower_case\": true}").unwrap();
}

/// A recipe with a folder for a teacher.
fn taught_by_folder(teacher: &str, student: &str) -> String {
    let recipe = tiny_text();
    let head = recipe.split_once("[[teacher]]").unwrap().0;
    let train = "train = { epochs = 1, batch = 16, optimizer = { kind = \"adamw\" }, learning_rate = 1e-3 }";
    format!(
        "{head}[[teacher]]\nweights = \"t\"\n{}[student]\nnetwork = \"distilbert-l1-h32-a2\"\n{student}{train}\n",
        teacher.replace("TRAIN", train)
    )
}

#[test]
fn each_token_is_told_where_a_model_says_something_of_each() {
    let folder = tempfile::tempdir().unwrap();
    teacher_folder(&folder.path().join("t"));
    let vocabulary = Vocabulary::read(&folder.path().join("t")).unwrap();
    let net = DistilBert { head: Head::Tokens { classes: 3 }, ..named("distilbert-l1-h32-a2", 64, 12, 3).unwrap() };
    let texts = Tokenized {
        ids: vec![2, 5, 6, 3, 2, 7, 8, 9, 3],
        begins: vec![0, 4, 9],
        labels: vec![0; 2],
        classes: Vec::new(),
        truncated: 0,
    };
    let samples = Samples::of_texts(&texts, 12).unwrap();
    let (graph, _) = quantize(&net.build("tags", Some(1)).unwrap(), &samples, &QuantSettings::default()).unwrap();
    let plan = plan(&graph, &PlanTarget::new(Target::find("qemu-m4").unwrap()).unwrap()).unwrap();
    let labels = ["none", "device", "state"].map(str::to_owned).to_vec();
    let info = PackInfo { labels, vocabulary: vocabulary.section().unwrap(), ..PackInfo::default() };
    std::fs::write(folder.path().join("tags.lmb"), &*pack(&graph, &plan, &info).unwrap()).unwrap();
    let run = |arguments: &[&str]| {
        Run::of(program(folder.path()).args(["run", "tags.lmb"]).args(arguments).output().unwrap())
    };
    let answer = run(&["Stop the lamp!", "--json"]).answer();
    let result = &answer["results"][0];
    assert_eq!((&result["tokens"], &result["truncated"]), (&json!(6), &json!(false)));
    let spans = result["spans"].as_array().unwrap();
    let found: Vec<_> =
        spans.iter().map(|span| (&span["start"], &span["end"], span["text"].as_str().unwrap())).collect();
    let expected = [(0, 4, "Stop"), (5, 8, "the"), (9, 13, "lamp"), (13, 14, "!")];
    for ((start, end, text), expected) in found.into_iter().zip(expected) {
        assert_eq!((start.as_u64(), end.as_u64(), text), (Some(expected.0), Some(expected.1), expected.2));
    }
    assert!(spans.len() == 4 && spans.iter().all(|span| span["probability"].as_f64().unwrap() > 0.3), "{answer}");
    let shown = run(&["Stop the lamp!"]);
    assert!(shown.code == Some(0) && shown.stdout.contains("9..13  lamp"), "{shown:?}");
    std::fs::write(folder.path().join("a.tsv"), "0\tstop\n1\tstart\n").unwrap();
    refused(folder.path(), "eval tags.lmb --data a.tsv", &["the class of each token", "one label for each text"]);
    assert_eq!(Run::new(folder.path(), "verify tags.lmb --json").answer()["n"], 64);
}

#[test]
fn folders_teach_as_they_are_or_fine_tuned() {
    let folder = folder_with(&taught_by_folder("TRAIN\n", "inherit = true\nvocabulary = 60\naugment = {}\n"));
    teacher_folder(&folder.path().join("t"));
    let answer = Run::new(folder.path(), "distill r.toml --work w --json").answer();
    assert_eq!((&answer["teachers"], &answer["views"]), (&json!("t"), &json!(2)));
    assert!(folder.path().join("w/teacher1.safetensors").is_file());
    let again = Run::new(folder.path(), "distill r.toml --work w");
    assert_eq!(again.stderr.matches("(as before)").count(), 3, "{again:?}");

    // As it is, with its classes in the order of the data; and quantized itself.
    std::fs::write(folder.path().join("r.toml"), taught_by_folder("", "")).unwrap();
    assert_eq!(Run::new(folder.path(), "label r.toml --work w").code, Some(0));
    let itself = taught_by_folder("", "").split_once("[student]").unwrap().0.to_owned();
    std::fs::write(folder.path().join("r.toml"), itself).unwrap();
    let packed = Run::new(folder.path(), "pack r.toml --work x --json").answer();
    assert_eq!(packed["models"].as_array().unwrap().len(), 2);
    let told = Run::new(folder.path(), "inspect x/tiny.lmb --json").answer();
    assert_eq!((&told["text"]["vocabulary"], &told["text"]["tokens"]), (&json!(64), &json!(16)));
}

#[test]
fn folders_that_do_not_fit_are_told() {
    let folder = folder_with(&taught_by_folder("", ""));
    let teacher = folder.path().join("t");
    let check = |parts: &[&str]| {
        refused(folder.path(), "label r.toml --work w", parts);
        teacher_folder(&teacher);
    };
    check(&["r.toml:9: `teacher.weights`: there is no file or folder", "t"]);
    std::fs::remove_file(teacher.join("vocab.txt")).unwrap();
    check(&["t has no tokenizer", "`tokenizer.json`, or `vocab.txt`"]);
    std::fs::remove_file(teacher.join("config.json")).unwrap();
    check(&["t has no config.json"]);
    std::fs::remove_file(teacher.join("model.safetensors")).unwrap();
    check(&["t has no model.safetensors"]);
    let config = |from: &str, to: &str| {
        let text = std::fs::read_to_string(teacher.join("config.json")).unwrap();
        assert!(text.contains(from), "{text}");
        std::fs::write(teacher.join("config.json"), text.replace(from, to)).unwrap();
    };
    config("\"model_type\":\"distilbert\"", "\"model_type\":\"gpt2\"");
    check(&["config.json: `model_type` is \"gpt2\"", "bert, distilbert"]);
    config("\"n_layers\":2", "\"n_layers\":1");
    check(&["model.safetensors: has tensors that", "transformer.layer.1."]);
    config("\"vocab_size\":64", "\"vocab_size\":63");
    check(&["model.safetensors: tensor", "has shape [64, 32]"]);
    config("\"max_position_embeddings\":20", "\"max_position_embeddings\":12");
    check(&["`max_position_embeddings` leaves room for 12 tokens, but 16 are asked for"]);
    std::fs::write(teacher.join("vocab.txt"), vocabulary() + "\nmore").unwrap();
    check(&["a tokenizer of 65 words, but a table of 64 rows"]);
    config("ForSequenceClassification", "Model");
    check(&["t has no head that classifies texts: add `[teacher.train]`"]);
    std::fs::write(folder.path().join("r.toml"), taught_by_folder("network = \"bert-tiny\"\n", "")).unwrap();
    check(&["a teacher brings its own network with its weights"]);
    std::fs::remove_dir_all(&teacher).unwrap();
    std::fs::write(&teacher, "").unwrap();
    std::fs::write(folder.path().join("r.toml"), taught_by_folder("", "")).unwrap();
    refused(folder.path(), "label r.toml --work w", &["`teacher.weights`: is a file; a teacher of texts is a folder"]);
}

/// An encoder of two classes in an ONNX file, as it was exported, in a folder of its own below that of its tokenizer.
#[cfg(feature = "onnx")]
fn onnx_teacher(folder: &Path) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../converter/src/teacher/onnx/encoders/distilbert_14.onnx");
    std::fs::create_dir_all(folder.join("onnx")).unwrap();
    std::fs::copy(file, folder.join("onnx/model.onnx")).unwrap();
    let words: Vec<String> = vocabulary().lines().take(23).map(str::to_owned).collect();
    std::fs::write(folder.join("vocab.txt"), words.join("\n")).unwrap();
    std::fs::write(folder.join("tokenizer_config.json"), "{\"do_lower_case\": true}").unwrap();
}

#[test]
#[cfg(feature = "onnx")]
fn encoders_in_onnx_files_teach_as_folders_do() {
    let recipe = |teacher: &str| {
        let recipe = taught_by_folder(teacher, "inherit = true\n");
        recipe
            .replace("\"t\"", "\"t/onnx/model.onnx\"")
            .replace("tokens = 16", "tokens = 12")
            .replace("h32-a2", "h8-a2-f12")
    };
    let folder = folder_with(&recipe("TRAIN\n"));
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let teacher = folder.path().join("t");
    onnx_teacher(&teacher);
    let answer = Run::new(folder.path(), "distill r.toml --work w --json").answer();
    assert_eq!(answer["teachers"], "model");
    assert!(folder.path().join("w/teacher1.safetensors").is_file());
    let itself = recipe("TRAIN\n").split_once("[student]").unwrap().0.to_owned();
    write("r.toml", &itself);
    assert_eq!(Run::new(folder.path(), "pack r.toml --work x").code, Some(0));
    let told = Run::new(folder.path(), "inspect x/tiny.lmb --json").answer();
    assert_eq!((&told["text"]["vocabulary"], &told["text"]["tokens"]), (&json!(23), &json!(12)));

    let check = |parts: &[&str]| {
        refused(folder.path(), "label r.toml --work w", parts);
        onnx_teacher(&teacher);
    };
    write("r.toml", &recipe("").replace("tokens = 12", "tokens = 16"));
    check(&["model.onnx takes no texts of 16 tokens", "ask for fewer"]);
    write("r.toml", &recipe(""));
    check(&["model.onnx tells 2 classes apart, but the data have 8: add `[teacher.train]`"]);
    write("t/config.json", "{\"id2label\": {\"0\": \"a\", \"1\": \"b\", \"2\": \"c\"}}");
    check(&["model.onnx tells 2 classes apart, but its `config.json` names 3"]);
    std::fs::remove_file(teacher.join("config.json")).unwrap();
    write("t/vocab.txt", &vocabulary());
    check(&["a tokenizer of 64 words, but a table of 23 rows"]);
    std::fs::remove_file(teacher.join("vocab.txt")).unwrap();
    check(&["onnx has no tokenizer", "`tokenizer.json`, or `vocab.txt`"]);
    write("t/onnx/model.onnx", "");
    check(&["model.onnx is no complete ONNX model"]);
}
