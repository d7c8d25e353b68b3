//! Published networks through our float graph: they must answer as their provenance says. Needs the data under `LIMBECK_DATA`.

use limbeck::data::{Dataset, Normalize, Part};
use limbeck::families::Task;
use limbeck::teacher::Teacher;
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
