//! Small random encoders of texts through the whole stage, and what must be refused.

use super::int8::Int8;
use super::testing::{ROOM, encoder, texts};
use super::*;
use crate::data::text::Tokenized;
use crate::distill::{DistillSettings, Taught, teach_texts};
use crate::families::distilbert::{Head, named};
use crate::graph::{Op, Pick, Source, Tensor, Unary};
use crate::train::{Answers, Control, OptimizerSettings, TextExamples, TrainSettings, evaluate};
use crate::watch::Unwatched;
use limbeck_runtime::Element;

fn samples() -> Samples {
    Samples::of_texts(&texts(48), ROOM).unwrap()
}

#[test]
fn an_encoder_comes_close_to_its_floats() {
    let nets = [
        encoder("distilbert-l2-h32-a4", |_| ()),
        encoder("distilbert-l1-h32-a2-e16", |_| ()),
        encoder("distilbert-l2-h32-a2-f48", |net| {
            net.head = Head::Classify { classes: 3, pick: Pick::Mean, dense: Some(Unary::Tanh) };
            net.activation = Unary::Relu;
        }),
        encoder("distilbert-l2-h32-a2", |net| net.head = Head::Tokens { classes: 5 }),
        encoder("distilbert-l1-h32-a2", |net| net.head = Head::Embed { pick: Pick::First, normalize: false }),
        encoder("distilbert-l1-h32-a2", |net| net.head = Head::Embed { pick: Pick::Mean, normalize: true }),
    ];
    for graph in nets {
        let (int8, report) = quantize(&graph, &samples(), &QuantSettings::default()).unwrap();
        assert!(report.snr_db.unwrap() > 30.0, "{report:#?}");
        for layer in &report.layers {
            assert!(layer.snr_db.unwrap() > 24.0, "{layer:?}");
        }
        let input = int8.tensor(int8.inputs[0]);
        assert_eq!((input.element, input.sequence, input.shape), (Element::Token, true, [ROOM, 1, 1]));
        let bytes = int8.to_bytes().unwrap();
        assert_eq!(bytes, quantize(&graph, &samples(), &QuantSettings::default()).unwrap().0.to_bytes().unwrap());
        assert_eq!(QuantGraph::from_bytes(&bytes).unwrap(), int8);
    }
}

#[test]
fn what_has_no_form_for_texts_is_named_with_a_remedy() {
    let mut graph = encoder("distilbert-l1-h32-a2", |net| net.head = Head::Hidden);
    graph.outputs = vec![graph.add("normalized", Op::Normalize, &[graph.outputs[0]]).unwrap()];
    let text = quantize(&graph, &samples(), &QuantSettings::default()).unwrap_err().to_string();
    assert!(text.contains("node `normalized` (Normalize)") && text.contains("cosine"), "{text}");
    graph = encoder("distilbert-l1-h32-a2", |net| net.head = Head::Hidden);
    let gate = graph.add_param("gate", Tensor::full([32], 0.5));
    let scaled = graph.add("scaled", Op::Mul, &[graph.outputs[0], gate]).unwrap();
    graph.outputs = vec![scaled];
    let text = quantize(&graph, &samples(), &QuantSettings::default()).unwrap_err().to_string();
    assert!(text.contains("node `scaled` (Mul)") && text.contains("linear layer beside it"), "{text}");
}

#[test]
fn outliers_of_a_few_channels_are_set_apart() {
    let mut graph = encoder("distilbert-l2-h32-a2", |_| ());
    // As in trained encoders: one hidden value makes one channel of the stream far larger than all others.
    for (name, row, by) in
        [("transformer.layer.0.ffn.lin1.weight", 5, 12.0), ("transformer.layer.0.ffn.lin2.weight", 9, 40.0)]
    {
        let id = graph.find(name).unwrap();
        if let Source::Param(tensor) = &mut graph.value_mut(id).source {
            let width = tensor.shape()[1];
            let tensor = std::sync::Arc::make_mut(tensor);
            tensor.data_mut()[row * width..(row + 1) * width].iter_mut().for_each(|w| *w *= by);
        }
    }
    let (_, report) = quantize(&graph, &samples(), &QuantSettings::default()).unwrap();
    let trial = |name: &str| report.trials.iter().find(|t| t.name == name).unwrap().clone();
    assert!(trial("outliers apart").kept, "{:?}", report.trials);
    assert!(trial("outliers apart").snr_db.unwrap() > trial("rounded").snr_db.unwrap() + 6.0, "{:?}", report.trials);
}

/// Texts whose class is which of tokens 3 and 4 comes first.
fn order(count: usize) -> Tokenized {
    let mut data = Tokenized {
        ids: Vec::new(),
        begins: vec![0],
        labels: Vec::new(),
        classes: vec!["34".into(), "43".into()],
        truncated: 0,
    };
    for text in 0..count {
        let label = text % 2;
        let filler = |n: usize| (0..n).map(move |i| 5 + ((text * 7 + i * 5 + text / 3) % 5) as u16);
        data.ids.extend(std::iter::once(1).chain(filler(text % 3)).chain([3 + label as u16]));
        data.ids.extend(filler(text / 2 % 3).chain([4 - label as u16, 2]));
        data.begins.push(data.ids.len());
        data.labels.push(label as u32);
    }
    data
}

#[test]
fn a_trained_encoder_keeps_its_accuracy() {
    let data = order(240);
    let student = named("distilbert-l1-h16-a2-f32", 10, 9, 2).unwrap().build("net", Some(1)).unwrap();
    let settings = TrainSettings {
        epochs: 12,
        batch: 16,
        optimizer: OptimizerSettings::AdamW { beta1: 0.9, beta2: 0.999 },
        learning_rate: 5e-3,
        warmup: 0.5,
        ema: 0.0,
        hold_out: 0,
        ..TrainSettings::default()
    };
    let watch = Unwatched::default();
    let control = Control::new(1, &watch);
    let how = DistillSettings::default();
    let trained = teach_texts(&student, &data, Taught::default(), &settings, &how, &control).unwrap().graph;
    let all: Vec<usize> = (0..data.len()).collect();
    let float = evaluate(&trained, &TextExamples::new(&data, &all, Answers::default()), 1).unwrap().accuracy();
    assert!(float > 0.97, "{float}");
    let samples = Samples::of_texts(&data, 9).unwrap();
    for hidden_parts in [1, 2] {
        let settings = QuantSettings { hidden_parts, samples: 64, ..QuantSettings::default() };
        let (int8, report) = quantize(&trained, &samples, &settings).unwrap();
        let output = int8.outputs[0];
        let logits = Int8::new(&int8).unwrap().run(&samples, 0..data.len(), |_, tensor, bytes| {
            (tensor == output).then(|| u32::from(bytes[1] > bytes[0]))
        });
        let found = logits.unwrap().into_iter().flatten();
        let right = found.zip(&data.labels).filter(|(found, label)| found == *label).count();
        assert!(right as f64 >= float * 240.0 - 1.0, "{right} of 240, {report:#?}");
    }
}
