//! Published networks through our float graph: they must answer as their provenance says. Needs the data under `LIMBECK_DATA`.

use limbeck::data::{Dataset, Normalize, Part};
use limbeck::families::Task;
use limbeck::teacher::{Teacher, backbone};
use limbeck::train::{Images, evaluate, predict};
use limbeck_tests::data_folder;
use safetensors::SafeTensors;
use std::path::Path;

const TASK: Task = Task::of_images([32, 32, 3], 10);

fn teacher(root: &Path, name: &str) -> Teacher {
    let weights = root.join("cifar10_resnets").join(format!("{name}.safetensors"));
    Teacher::from_weights(name, &TASK, &weights, Normalize::imagenet()).unwrap()
}

#[test]
fn resnets_have_their_published_accuracy() {
    let Some(root) = data_folder() else { return };
    let test = Dataset::load(&root.join("cifar10"), Part::Test, None, None).unwrap();
    assert_eq!(test.len(), 5000);
    let all: Vec<usize> = (0..test.len()).collect();
    for (name, correct) in [("resnet20", 4571), ("resnet56", 4649)] {
        let teacher = teacher(&root, name);
        let result = evaluate(&teacher.graph, &Images::plain(&test, &all, &Normalize::imagenet()), 2).unwrap();
        assert_eq!(result.correct, correct, "{name}: {:.2} %", 100.0 * result.accuracy());
    }
}

#[test]
fn logits_are_those_of_pytorch() {
    let Some(root) = data_folder() else { return };
    let test = Dataset::load(&root.join("cifar10"), Part::Test, None, None).unwrap();
    let bytes = std::fs::read(root.join("cifar10_resnets/logits_test_public.safetensors")).unwrap();
    let reference = SafeTensors::deserialize(&bytes).unwrap();
    let some: Vec<usize> = (0..500).collect();
    for name in ["resnet20", "resnet32", "resnet44", "resnet56"] {
        let teacher = teacher(&root, name);
        let logits = predict(&teacher.graph, &Images::plain(&test, &some, &Normalize::imagenet()), 2).unwrap();
        let expected = reference.tensor(name).unwrap();
        let expected = expected.data().as_chunks().0.iter().map(|b| f32::from_le_bytes(*b));
        let worst = logits.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < 1e-4, "{name}: {worst}");
    }
}

/// The classes of ImageNet that the photos show: ants and bees.
const INSECTS: [usize; 2] = [310, 309];

#[test]
fn efficientnet_lite0_knows_ants_and_bees() {
    let Some(root) = data_folder() else { return };
    let weights = root.join("efficientnet_lite0/efficientnet_lite0_f16.safetensors");
    let graph = backbone::load(&weights, None, [224, 224, 3]).unwrap();
    assert_eq!((graph.name.as_str(), graph.shape(graph.outputs[0])), ("efficientnet-lite0", &[1, 1000][..]));
    let photos = Dataset::load(&root.join("hymenoptera"), Part::Test, None, Some([224, 224])).unwrap();
    let normalize = Normalize { mean: vec![127.0], deviation: vec![128.0] };
    let all: Vec<usize> = (0..photos.len()).collect();
    let logits = predict(&graph, &Images::plain(&photos, &all, &normalize), 2).unwrap();
    let in_top_five = |&(logits, &label): &(&[f32], &u32)| {
        let own = logits[INSECTS[label as usize]];
        logits.iter().filter(|&&logit| logit > own).count() < 5
    };
    let known = logits.chunks_exact(1000).zip(&photos.labels).filter(in_top_five).count();
    // 67 of the 77 by the file's provenance, where either insect counted and photos were scaled otherwise.
    assert!((60..=72).contains(&known), "{known} of {}", photos.len());
}
