//! Real ONNX networks: as import gives them they must answer like PyTorch, and as export writes them like themselves.
//! Needs the data under `LIMBECK_DATA`.

use limbeck::data::{Dataset, Normalize, Part};
use limbeck::families::{self, Task};
use limbeck::graph::{Tensor, rewrite};
use limbeck::ops::reference;
use limbeck::teacher::onnx::{export, import};
use limbeck::train::{Images, predict};
use limbeck_tests::{data_folder, skipped};
use safetensors::SafeTensors;

/// How far two of the numbers are apart, measured by the largest of the second.
fn difference(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    let size = expected.iter().fold(0.0_f32, |m, v| m.max(v.abs()));
    found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / size
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
}

#[test]
fn imported_teachers_answer_like_pytorch() {
    let Some(root) = data_folder() else { return };
    let folder = root.join("cifar10_resnets");
    let test = Dataset::load(&root.join("cifar10"), Part::Test, None, None).unwrap();
    let bytes = std::fs::read(folder.join("logits_test_public.safetensors")).unwrap();
    let logits = SafeTensors::deserialize(&bytes).unwrap();
    let some: Vec<usize> = (0..200).collect();
    for (file, name) in [("resnet20", "resnet20"), ("resnet20_bn_rawexport", "resnet20"), ("resnet56", "resnet56")] {
        let graph = import(&folder.join(file).with_extension("onnx")).unwrap();
        let found = predict(&graph, &Images::plain(&test, &some, &Normalize::imagenet()), 2).unwrap();
        let expected = floats(logits.tensor(name).unwrap().data());
        let worst = difference(&found, &expected[..found.len()]);
        assert!(worst < 1e-5, "{file}: {worst:e}");
    }
}

#[test]
fn exports_of_other_tools_answer_like_pytorch() {
    let Some(root) = data_folder() else { return };
    let models = root.join("../models");
    if !models.is_dir() {
        return skipped("there is no folder `models` beside that of LIMBECK_DATA");
    }
    for name in ["resnet8", "resnet20"] {
        let graph = import(&models.join(format!("{name}.fp32.onnx"))).unwrap();
        let input = floats(&std::fs::read(models.join(format!("inputs/{name}.input.bin"))).unwrap());
        let input = Tensor::new([1, 3, 32, 32], input).transpose(&[0, 2, 3, 1]);
        let text = std::fs::read_to_string(models.join(format!("inputs/{name}.json"))).unwrap();
        let text: serde_json::Value = serde_json::from_str(&text).unwrap();
        let expected: Vec<f32> = serde_json::from_value(text["ref"].clone()).unwrap();
        let found = reference::run(&graph, &[input]).unwrap();
        let worst = difference(found[0].data(), &expected);
        assert!(worst < 1e-5, "{name}: {worst:e}");
    }
}

#[test]
fn every_family_survives_the_way_to_onnx_and_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("student.onnx");
    let task = Task::of_images([32, 32, 3], 10);
    for name in ["resnet8", "resnet8-40", "resnet20", "resnet18", "resnet50"] {
        let graph = families::build(name, &task, 1).unwrap();
        let input = Tensor::new([1, 32, 32, 3], (0..3072).map(|i| (i as f32 * 0.7).sin()).collect());
        let expected = reference::run(&graph, std::slice::from_ref(&input)).unwrap();
        for written in [graph.clone(), rewrite::canonicalize(graph)] {
            export(&written, &path).unwrap();
            let found = reference::run(&import(&path).unwrap(), std::slice::from_ref(&input)).unwrap();
            let worst = difference(found[0].data(), expected[0].data());
            assert!(worst < 1e-5, "{name}: {worst:e}");
        }
    }
}
