//! Imports of small encoders against the outputs of Hugging Face's `transformers`, and of broken directories.
//!
//! `encoders.json` holds configurations, names and shapes of tensors, and what `transformers` 5.23 computes in double precision with
//! weights that follow from a formula, so that no file of weights is needed.

use super::*;
use crate::graph::Pick;
use crate::train::exec::Infer;
use ::safetensors::tensor::{Dtype, TensorView, serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;

/// Tensors by name: shape and bytes.
type Tensors = BTreeMap<String, (Vec<usize>, Vec<u8>)>;

pub(in crate::teacher) struct Case {
    pub(in crate::teacher) texts: Vec<Vec<f32>>,
    config: Value,
    tensors: Tensors,
    pub(in crate::teacher) outputs: Vec<Vec<f32>>,
}

fn floats_of(value: &Value) -> Vec<f32> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap() as f32).collect()
}

pub(in crate::teacher) fn case(name: &str) -> Case {
    let json: Value = serde_json::from_str(include_str!("encoders.json")).unwrap();
    let model = &json["models"][name];
    let names = model["tensors"].as_object().unwrap();
    let mut sorted: Vec<&String> = names.keys().collect();
    sorted.sort();
    let tensor = |(index, name): (usize, &String)| {
        let shape: Vec<usize> = floats_of(&names[name]).into_iter().map(|size| size as usize).collect();
        let one = f64::from(u8::from(name.ends_with("LayerNorm.weight") || name.ends_with("layer_norm.weight")));
        let value = |i: u64| {
            let bits = ((i + 7919 * index as u64) * 2_654_435_761 % (1 << 32)) >> 20;
            ((bits as f64 - 2048.0) / 2048.0 * 0.5 + one) as f32
        };
        let len = shape.iter().product::<usize>() as u64;
        (name.clone(), (shape, (0..len).flat_map(|i| value(i).to_le_bytes()).collect()))
    };
    Case {
        texts: json["texts"].as_array().unwrap().iter().map(floats_of).collect(),
        config: model["config"].clone(),
        tensors: sorted.into_iter().enumerate().map(tensor).collect(),
        outputs: model["outputs"].as_array().unwrap().iter().map(floats_of).collect(),
    }
}

fn write(folder: &Path, config: &Value, tensors: &Tensors) {
    fs::write(folder.join("config.json"), config.to_string()).unwrap();
    let views = tensors
        .iter()
        .map(|(name, (shape, bytes))| (name.clone(), TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap()));
    fs::write(folder.join("model.safetensors"), serialize(views, None).unwrap()).unwrap();
}

pub(in crate::teacher) fn load(case: &Case) -> Result<Pretrained, HfError> {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &case.config, &case.tensors);
    import(folder.path(), &Import::default())
}

#[test]
fn outputs_are_those_of_transformers() {
    for name in ["bert", "bert_embed", "distilbert", "electra", "electra_texts", "roberta"] {
        let case = case(name);
        let model = load(&case).unwrap();
        let room = model.net.tokens;
        assert_eq!(room, 12, "{name}");
        let mut ids = Vec::new();
        for text in &case.texts {
            ids.extend(text.iter().copied().chain(std::iter::repeat(-1.0)).take(room));
        }
        let ids = Tensor::new([case.texts.len(), room], ids);
        let found = Infer::new(&model.graph, 1).unwrap().run(&ids).unwrap().remove(0);
        let item = found.len() / case.texts.len();
        for (row, expected) in found.data().chunks(item).zip(&case.outputs) {
            for (found, expected) in row.iter().zip(expected) {
                assert!((found - expected).abs() < 1e-5, "{name}: {row:?} instead of {expected:?}");
            }
        }
    }
}

#[test]
fn heads_and_labels_are_those_of_the_directory() {
    let bert = load(&case("bert")).unwrap();
    assert_eq!(bert.labels, ["no", "maybe", "yes"]);
    assert_eq!(bert.net.head, Head::Classify { classes: 3, pick: Pick::First, dense: Some(crate::graph::Unary::Tanh) });
    assert_eq!(load(&case("electra")).unwrap().net.head, Head::Tokens { classes: 3 });
    assert_eq!(load(&case("bert_embed")).unwrap().net.head, Head::Embed { pick: Pick::Mean, normalize: true });
    assert_eq!(load(&case("distilbert")).unwrap().labels, ["LABEL_0", "LABEL_1"]);
}

#[test]
fn an_encoder_alone_and_shorter_texts_can_be_asked_for() {
    let (folder, case) = (tempfile::tempdir().unwrap(), case("bert"));
    write(folder.path(), &case.config, &case.tensors);
    let model = import(folder.path(), &Import { head: Some(Head::Hidden), tokens: Some(5) }).unwrap();
    assert_eq!(model.graph.shape(model.graph.outputs[0]), [1, 5, 8]);
    let error = import(folder.path(), &Import { head: None, tokens: Some(13) }).unwrap_err().to_string();
    assert!(error.contains("room for 12 tokens, but 13"), "{error}");
}

#[test]
fn sentence_transformers_say_how_texts_become_vectors() {
    let (folder, case) = (tempfile::tempdir().unwrap(), case("bert_embed"));
    write(folder.path(), &case.config, &case.tensors);
    fs::write(folder.path().join("modules.json"), r#"[{"type": "sentence_transformers.models.Pooling"}]"#).unwrap();
    fs::create_dir(folder.path().join("1_Pooling")).unwrap();
    let pooling = folder.path().join("1_Pooling").join("config.json");
    fs::write(&pooling, r#"{"pooling_mode_cls_token": true}"#).unwrap();
    let net = import(folder.path(), &Import::default()).unwrap().net;
    assert_eq!(net.head, Head::Embed { pick: Pick::First, normalize: false });
    fs::write(&pooling, r#"{"pooling_mode_max_tokens": true}"#).unwrap();
    let error = import(folder.path(), &Import::default()).unwrap_err().to_string();
    assert!(error.contains("`pooling_mode_max_tokens` is true"), "{error}");
}

#[test]
fn names_of_tensorflow_are_read() {
    let mut case = case("bert");
    let turn =
        |name: String| name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta");
    case.tensors = case.tensors.into_iter().map(|(name, tensor)| (turn(name), tensor)).collect();
    let [turned, plain] = [&case, &self::case("bert")].map(|case| load(case).unwrap().graph);
    assert!(turned.params().eq(plain.params()));
}

#[test]
fn misfits_name_file_and_field_or_tensor() {
    type Change = fn(&mut Case);
    let rows: [(Change, &[&str]); 16] = [
        (|c| c.config["model_type"] = "t5".into(), &["config.json: `model_type` is \"t5\"", "roberta"]),
        (|c| drop(c.config.as_object_mut().unwrap().remove("hidden_size")), &["`hidden_size` is missing"]),
        (|c| c.config["hidden_size"] = "wide".into(), &["`hidden_size` is \"wide\""]),
        (|c| c.config["hidden_act"] = "silu".into(), &["`hidden_act` is \"silu\"", "gelu"]),
        (|c| c.config["num_attention_heads"] = 3.into(), &["config.json", "3 heads do not divide"]),
        (|c| c.config["num_attention_heads"] = 0.into(), &["`num_attention_heads` is 0"]),
        (|c| c.config["vocab_size"] = 24.into(), &["tensor `bert.embeddings.word_embeddings.weight`", "[24, 8]"]),
        (|c| c.config["num_hidden_layers"] = 16_000_000.into(), &["`vocab_size`", "billion"]),
        (
            |c| c.config["num_hidden_layers"] = 3.into(),
            &["model.safetensors: lacks", "encoder.layer.2.output.dense.weight"],
        ),
        (|c| c.config["num_hidden_layers"] = 1.into(), &["has tensors that", "encoder.layer.1.output.dense.weight"]),
        (|c| c.config["max_position_embeddings"] = 20.into(), &["position_embeddings", "[12, 8]", "[20, 8]"]),
        (|c| c.config["type_vocab_size"] = 1.into(), &["token_type_embeddings", "[2, 8]"]),
        (|c| drop(c.tensors.remove("bert.pooler.dense.bias")), &["lacks", "bert.pooler.dense.bias"]),
        (|c| c.config["id2label"] = serde_json::json!({"0": "a", "2": "b"}), &["`id2label`", "without a gap"]),
        (
            |c| c.config["architectures"] = serde_json::json!(["BertForQuestionAnswering"]),
            &["`architectures`", "BertForQ"],
        ),
        (|c| c.config["position_embedding_type"] = "relative_key".into(), &["`position_embedding_type`", "absolute"]),
    ];
    for (change, parts) in rows {
        let mut case = case("bert");
        change(&mut case);
        let error = load(&case).unwrap_err().to_string();
        for part in parts {
            assert!(error.contains(part), "{error} lacks {part}");
        }
    }
}

#[test]
fn missing_and_foreign_files_are_told_with_a_remedy() {
    let (folder, case) = (tempfile::tempdir().unwrap(), case("bert"));
    let message = || import(folder.path(), &Import::default()).unwrap_err().to_string();
    assert!(message().contains("has no config.json"), "{}", message());
    write(folder.path(), &case.config, &case.tensors);
    let weights = folder.path().join("model.safetensors");
    let bytes = fs::read(&weights).unwrap();
    fs::write(&weights, &bytes[..bytes.len() - 1]).unwrap();
    assert!(message().contains("not a whole .safetensors file"), "{}", message());
    fs::remove_file(&weights).unwrap();
    assert!(message().contains("has no model.safetensors"), "{}", message());
    fs::write(folder.path().join("pytorch_model.bin.index.json"), b"{}").unwrap();
    assert!(message().contains("in parts") && message().contains("max_shard_size"), "{}", message());
    fs::write(folder.path().join("pytorch_model.bin"), b"").unwrap();
    assert!(message().contains("pytorch_model.bin: it is no zip archive"), "{}", message());
    fs::write(folder.path().join("config.json"), "{").unwrap();
    assert!(message().contains("config.json is not JSON"), "{}", message());
}

#[test]
fn checkpoints_of_torch_are_read_as_well() {
    let case = case("bert");
    let expected = load(&case).unwrap().graph;
    let archive = &include_bytes!("../torch/bert.bin")[..];
    let older = &include_bytes!("../torch/bert_before_1_6.bin")[..];
    for (bytes, exact) in [(archive, true), (older, false)] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("config.json"), case.config.to_string()).unwrap();
        fs::write(folder.path().join("pytorch_model.bin"), bytes).unwrap();
        let found = import(folder.path(), &Import::default()).unwrap().graph;
        for ((id, found), (_, expected)) in found.params().zip(expected.params()) {
            // The older file holds halves.
            let near = |(a, b): (&f32, &f32)| a == b || !exact && (a - b).abs() <= 1e-3 * b.abs();
            assert!(
                found.data().iter().zip(expected.data()).all(near),
                "{}",
                self::load(&case).unwrap().graph.value(id).name
            );
        }
    }
}
