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
pub(super) fn order(count: usize) -> Tokenized {
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
    for (hidden_parts, stream) in [(1, Stream::Int16), (2, Stream::Auto), (1, Stream::Int8)] {
        let settings = QuantSettings { hidden_parts, stream, samples: 64, ..QuantSettings::default() };
        let (int8, report) = quantize(&trained, &samples, &settings).unwrap();
        let output = int8.outputs[0];
        let logits = Int8::new(&int8).unwrap().run(&samples, 0..data.len(), |_, tensor, bytes| {
            (tensor == output).then(|| u32::from(bytes[1] > bytes[0]))
        });
        let found = logits.unwrap().into_iter().flatten();
        let right = found.zip(&data.labels).filter(|(found, label)| found == *label).count();
        assert!(right as f64 >= float * 240.0 - 1.0, "{right} of 240, {report:#?}");
        let wide = report.layers.iter().filter(|layer| layer.bits == 16 && layer.op != "embed");
        let tried = report.layers.iter().filter(|layer| layer.alone_db.is_some()).count();
        match stream {
            Stream::Int16 => assert!(wide.count() > 1 && tried == 0, "{report:#?}"),
            Stream::Int8 => assert!(wide.count() == 0 && tried == 0, "{report:#?}"),
            Stream::Auto => assert!(tried > 1 && wide.count() <= tried, "{report:#?}"),
        }
    }
}

#[test]
fn sums_get_8_bits_where_that_costs_little() {
    let fine = encoder("distilbert-l2-h32-a2", |net| net.activation = Unary::Relu);
    // Weights that nothing comes to are so large that the others of their rows are lost, which is worse than any rounding of sums.
    let mut coarse = fine.clone();
    for (name, value) in [("lin1.bias", -100.0), ("lin2.weight", 40.0)] {
        let id = coarse.find(&format!("transformer.layer.1.ffn.{name}")).unwrap();
        let mut tensor = coarse.param(id).unwrap().as_ref().clone();
        tensor.data_mut().iter_mut().step_by(4 * 32).for_each(|number| *number = value);
        coarse.value_mut(id).source = Source::Param(tensor.into());
    }
    let with = |graph: &Graph, stream| {
        let settings = QuantSettings { stream, equalize: false, bias_correction: false, ..QuantSettings::default() };
        quantize(graph, &samples(), &settings).unwrap().1
    };
    let bits = |report: &QuantReport| report.layers.iter().map(|layer| usize::from(layer.bits)).sum::<usize>();
    for (graph, narrows) in [(&fine, false), (&coarse, true)] {
        let [wide, chosen, narrow] = [Stream::Int16, Stream::Auto, Stream::Int8].map(|stream| with(graph, stream));
        let [most, least] = [&wide, &narrow].map(|report| report.snr_db.unwrap());
        assert!(least < most && bits(&narrow) < bits(&wide));
        assert!(chosen.snr_db.unwrap() > most - 1.1, "{most}, {:#?}", chosen.trials);
        assert_eq!(bits(&chosen) < bits(&wide), narrows, "{most} and {least}: {:#?}", chosen.layers);
        assert_eq!(chosen.trials.iter().any(|trial| trial.name.contains("in 8 bits") && trial.kept), narrows);
        // Each tensor that could have 8 bits says what that costs.
        let alone: Vec<f64> = chosen.layers.iter().filter_map(|layer| layer.alone_db).collect();
        assert!(alone.len() > 4 && alone.iter().all(|&db| db < most + 0.5), "{most}: {alone:?}");
    }
}
