//! Networks made by hand that are good enough only in a later way of quantizing, or in none.

use super::*;
use crate::artifact::Digest;
use crate::data::{Dataset, Normalize, Reader, Set};
use crate::graph::{Dim, Graph, Op, Tensor, Unary, Window};
use crate::teacher::Teacher;
use crate::watch::Unwatched;

/// Images of one pixel.
const IMAGES: usize = 400;

/// Says whether the second channel of the pixel is above the third, through a layer whose first channel is 0 but where that of the
/// pixel is very bright: then it is in the hundreds. It counts nothing.
fn student() -> Student {
    let mut graph = Graph::new("handmade");
    let x = graph.input("image", [1, 1, 1, 3]);
    let weight = [[500.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]].concat();
    let weight = graph.add_param("conv.weight", Tensor::new([3, 1, 1, 3], weight));
    let bias = graph.add_param("conv.bias", Tensor::new([3], vec![-750.0, 0.0, 0.0]));
    let conv =
        graph.add("conv", Op::Conv2d { window: Window::square(1, 1, 0), groups: 1 }, &[x, weight, bias]).unwrap();
    let relu = graph.add("relu", Op::Unary(Unary::Relu), &[conv]).unwrap();
    let flat = graph.add("flat", Op::Reshape(vec![Dim::Same(0), Dim::Rest]), &[relu]).unwrap();
    let weight = graph.add_param("fc.weight", Tensor::new([2, 3], vec![0.0, 1.0, -1.0, 0.0, -1.0, 1.0]));
    let logits = graph.add("fc", Op::Linear, &[flat, weight]).unwrap();
    graph.outputs.push(logits);
    let network = Teacher { graph, reader: Reader::from(Normalize::student()) };
    Student { network, training: None, digest: Digest::of(b"handmade") }
}

/// Pixels of which `of` says what they are by their number.
fn data(of: impl Fn(usize) -> [u8; 3]) -> Data {
    let classes = vec!["second".to_owned(), "third".to_owned()];
    let pixels: Vec<[u8; 3]> = (0..IMAGES).map(of).collect();
    let labels = pixels.iter().map(|pixel| u32::from(pixel[2] > pixel[1])).collect();
    let train = Set::Images(Dataset { shape: [1, 1, 3], pixels: pixels.concat(), labels, classes });
    let student = Reader::from(Normalize::student());
    let (teachers, incomplete) = (Vec::new(), Vec::new());
    Data { test: train.clone(), train, unlabelled: None, teachers, student, words: None, incomplete }
}

/// Second and third channel, `step` apart, one or the other brighter in turn.
fn apart(index: usize, step: usize) -> [u8; 2] {
    let dark = 128 + index % 3 * step / 2;
    let [dark, bright] = [dark, dark + step].map(|value| value as u8);
    if index.is_multiple_of(2) { [dark, bright] } else { [bright, dark] }
}

/// What is rarely very bright, by which ranges become so wide that nothing is left of the other channels.
fn glaring(index: usize) -> [u8; 3] {
    let [second, third] = apart(index, 40);
    [if index % 100 == 50 { 255 } else { 128 }, second, third]
}

fn recipe(quantize: &str) -> Recipe {
    let text = format!(
        "name = \"r\"\n[data]\ngenerated = {{ train = 8, test = 8 }}\n[student]\nnetwork = \"resnet8\"\n\
         [quantize]\nequalize = false\nbias_correction = false\n{quantize}\n[accept]\nint8_drop = 0.02\n"
    );
    Recipe::from_text("r.toml", &text).unwrap()
}

fn names(quantized: &Quantized) -> Vec<(&str, bool)> {
    quantized.attempts.iter().map(|attempt| (attempt.name.as_str(), attempt.met)).collect()
}

#[test]
fn the_second_way_is_taken_where_the_first_saw_too_little() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    // Only dark pixels are among the first samples.
    let data = data(|index| {
        let [second, third] = apart(index, if index.is_multiple_of(100) { 2 } else { 40 });
        [128, second, third]
    });
    let recipe = recipe("samples = 4\ncalibrators = [\"min-max\"]");
    let watch = Unwatched::default();
    let build = Build::new(&recipe, &store, &watch, 1);
    let quantized = build.quantize(&data, &student()).unwrap();
    assert_eq!(names(&quantized), [("as the recipe says", false), ("16 samples instead of 4", true)]);
    assert!(quantized.attempts[0].drop > 0.1, "{:?}", quantized.attempts);
    let again = build.quantize(&data, &student()).unwrap();
    assert_eq!((&again.digest, &again.attempts), (&quantized.digest, &quantized.attempts));
    assert!(again.graph == quantized.graph && again.settings.samples == 16 && again.file == "int8-taken.safetensors");
}

#[test]
fn the_third_way_is_taken_where_errors_of_values_mislead() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let recipe = recipe("samples = 64\npercentile = 95.0\ncalibrators = [\"percentile\", \"min-max\"]");
    let watch = Unwatched::default();
    let build = Build::new(&recipe, &store, &watch, 1);
    let quantized = build.quantize(&data(glaring), &student()).unwrap();
    let expected =
        [("as the recipe says", false), ("256 samples instead of 64", false), ("ranges by percentile alone", true)];
    assert_eq!(names(&quantized), expected);
    // It is good enough, so nothing is trained.
    let after = build.qat(&data(glaring), &student(), quantized.clone()).unwrap();
    assert_eq!((after.digest, after.attempts.len()), (quantized.digest, 3));
}

#[test]
fn what_no_way_can_do_is_refused_with_all_that_was_tried() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let recipe = recipe("samples = 64\ncalibrators = [\"min-max\"]");
    let watch = Unwatched::default();
    let make = |accept_loss: bool| {
        let build = Build::new(&recipe, &store, &watch, 1).accept_loss(accept_loss);
        let quantized = build.quantize(&data(glaring), &student())?;
        build.qat(&data(glaring), &student(), quantized)
    };
    let error = make(false).unwrap_err().to_string();
    for text in [
        "`accept.int8_drop` allows 2.00 points",
        "as the recipe says",
        "256 samples instead of 64",
        "trained with rounding for 3 epochs",
        "layers that cost most",
        "relu (conv2d): outputs",
        "`--accept-loss`",
    ] {
        assert!(error.contains(text), "{text}: {error}");
    }
    let taken = make(true).unwrap();
    assert!(!taken.is_good_enough() && taken.training.is_none());
}

#[test]
fn held_out_examples_are_the_judges_where_there_are_enough() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let watch = Unwatched::default();
    let (mut recipe, data) = (recipe("samples = 10"), data(|index| [0, (index % 256) as u8, (index / 256) as u8]));
    let judges = Build::new(&recipe, &store, &watch, 1).judges(&data).unwrap();
    // Of 400 images, those that four times the samples would see are left out.
    assert_eq!(judges.len(), 360);
    recipe.student.as_mut().unwrap().train.hold_out = 20;
    let few = Build::new(&recipe, &store, &watch, 1).judges(&data).unwrap();
    assert_eq!(few, judges, "20 are too few to judge by");
}
