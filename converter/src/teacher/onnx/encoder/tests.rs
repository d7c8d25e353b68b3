//! Exports of small encoders against the same encoders from Hugging Face directories, and files that are none.
//!
//! `encoders/make.py` has made the files: both exporters of PyTorch, attention written out, fused and as an operator, lengths open and
//! fixed, from opset 11, where all is written out, to 23.

use super::*;
use crate::graph::{Graph, Tensor};
use crate::teacher::hf_dir::tests::{case, load};
use crate::train::exec::Infer;
use prost::Message;
use std::path::PathBuf;

/// Every file, and what it was exported from.
const FILES: [(&str, &str); 10] = [
    ("bert_11", "bert"),
    ("bert_17_fixed", "bert"),
    ("bert_embed_14", "bert_embed"),
    ("bert_embed_20", "bert_embed"),
    ("distilbert_14", "distilbert"),
    ("distilbert_23", "distilbert"),
    ("electra_18", "electra"),
    ("electra_texts_17", "electra_texts"),
    ("roberta_14", "roberta"),
    ("roberta_18", "roberta"),
];

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/teacher/onnx/encoders").join(name).with_extension("onnx")
}

fn names(graph: &Graph) -> Vec<&str> {
    graph.values.iter().map(|value| value.name.as_str()).collect()
}

#[test]
fn exports_become_the_networks_that_directories_do() {
    for (name, model) in FILES {
        let case = case(model);
        let (found, expected) = (import_encoder(&file(name), 12).unwrap(), load(&case).unwrap());
        assert_eq!(found.net, expected.net, "{name}");
        assert_eq!(
            (names(&found.graph), &found.graph.nodes),
            (names(&expected.graph), &expected.graph.nodes),
            "{name}"
        );
        let expected_names = names(&expected.graph);
        for ((id, found), (_, expected)) in found.graph.params().zip(expected.graph.params()) {
            // Sums of tables are rounded in another order.
            let near = |(a, b): (&f32, &f32)| (a - b).abs() <= 1e-6;
            let name = format!("{name}: {}", expected_names[id.0 as usize]);
            assert!(found.data().iter().zip(expected.data()).all(near), "{name}");
        }
        let ids = case.texts.iter().flat_map(|text| text.iter().copied().chain(std::iter::repeat(-1.0)).take(12));
        let ids = Tensor::new([case.texts.len(), 12], ids.collect());
        let outputs = Infer::new(&found.graph, 1).unwrap().run(&ids).unwrap().remove(0);
        let item = outputs.len() / case.texts.len();
        for (row, expected) in outputs.data().chunks(item).zip(&case.outputs) {
            for (found, expected) in row.iter().zip(expected) {
                assert!((found - expected).abs() < 1e-5, "{name}: {row:?} instead of {expected:?}");
            }
        }
    }
}

#[test]
fn shorter_texts_need_no_other_file() {
    for name in ["bert_11", "bert_17_fixed"] {
        let [long, short] = [12, 5].map(|tokens| import_encoder(&file(name), tokens).unwrap());
        assert_eq!((short.net.tokens, short.graph.shape(short.graph.inputs[0])), (5, &[1, 5][..]));
        let ids = Tensor::new([1, 5], vec![2.0, 7.0, 9.0, 3.0, -1.0]);
        let wide = Tensor::new([1, 12], [ids.data(), &[-1.0; 7]].concat());
        let run = |graph: &Graph, ids: &Tensor| Infer::new(graph, 1).unwrap().run(ids).unwrap().remove(0);
        assert_eq!(run(&short.graph, &ids), run(&long.graph, &wide), "{name}");
    }
}

/// The message for a file that was changed.
fn message(name: &str, tokens: usize, change: impl Fn(&mut pb::GraphProto)) -> String {
    let mut model = pb::ModelProto::decode(&*std::fs::read(file(name)).unwrap()).unwrap();
    change(model.graph.as_mut().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("changed.onnx");
    std::fs::write(&path, model.encode_to_vec()).unwrap();
    let text = import_encoder(&path, tokens).unwrap_err().to_string();
    text.replace(&folder.path().display().to_string(), "")
}

fn nodes<'g>(graph: &'g mut pb::GraphProto, op: &str) -> Vec<&'g mut pb::NodeProto> {
    graph.node.iter_mut().filter(|node| node.op_type == op).collect()
}

#[test]
fn what_is_not_known_is_named_with_a_remedy() {
    type Change = fn(&mut pb::GraphProto);
    let rows: [(&str, usize, Change, &[&str]); 11] = [
        ("bert_11", 13, |_| (), &["takes no texts of 13 tokens", "ask for fewer"]),
        ("bert_17_fixed", 13, |_| (), &["tensor `input_ids` is for 12 tokens, but 13 are asked for; ask for fewer"]),
        (
            "bert_11",
            12,
            |g| g.input[1].name = "lengths".into(),
            &["`lengths`", "is none of the inputs of an encoder", "attention_mask"],
        ),
        (
            "bert_11",
            12,
            |g| g.input.iter_mut().for_each(|input| input.name = format!("{}.ids", input.name.len())),
            &["exactly one must be token ids", "`input_ids`"],
        ),
        (
            "bert_11",
            12,
            |g| nodes(g, "Tanh")[0].op_type = "Softsign".into(),
            &["Softsign of opset 11", "no such operator in the float graph"],
        ),
        (
            "bert_11",
            12,
            |g| nodes(g, "Erf")[0].op_type = "Tanh".into(),
            &["stands where the function of a feed-forward part is expected", "is no encoder of the kind of BERT"],
        ),
        (
            "distilbert_23",
            12,
            |g| nodes(g, "Gelu")[0].op_type = "Relu".into(),
            &["stands where a layer of 2 heads and 12 values with"],
        ),
        (
            "electra_18",
            12,
            |g| nodes(g, "Softmax")[0].attribute.iter_mut().for_each(|axis| axis.i = 1),
            &["stands where attention is expected"],
        ),
        (
            "bert_embed_20",
            12,
            |g| nodes(g, "MatMul")[0].domain = "com.microsoft".into(),
            &["com.microsoft.MatMul", "before a runtime optimizes it"],
        ),
        (
            "electra_18",
            12,
            |g| nodes(g, "MatMul")[0].op_type = "MatMulInteger".into(),
            &["the float model that it was made from"],
        ),
        (
            "roberta_14",
            12,
            |g| nodes(g, "Equal")[0].input[1] = "inner.roberta.embeddings.LayerNorm.weight".into(),
            &["Equal of opset 14", "token ids with that of padding, 0 or 1"],
        ),
    ];
    for (name, tokens, change, parts) in rows {
        let text = message(name, tokens, change);
        for part in parts {
            assert!(text.contains(part), "{text} lacks {part}");
        }
    }
}
