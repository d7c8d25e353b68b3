//! Small random networks through the whole stage, and what must be refused.

use super::testing::{Net, everything};
use super::*;
use crate::graph::{Dim, Op, Source};

#[test]
fn a_network_of_all_kinds_comes_close_to_its_floats() {
    for seed in 1..4 {
        let (graph, samples) = everything(seed);
        let (int8, report) = quantize(&graph, &samples, &QuantSettings::default()).unwrap();
        let snr = report.snr_db.unwrap();
        assert!(snr > 24.0, "{report:#?}");
        for layer in &report.layers {
            assert!(layer.snr_db.unwrap() > 20.0, "{layer:?}");
        }
        let kept = report.trials.iter().rfind(|t| t.kept).unwrap();
        assert_eq!(kept.snr_db, report.snr_db, "the best trial is the result");
        let text = int8.to_string();
        assert!(text.contains(" = conv2d(x) kernel [3, 3] stride [1, 1]"), "{text}");
        let bytes = int8.to_bytes().unwrap();
        assert_eq!(bytes, quantize(&graph, &samples, &QuantSettings::default()).unwrap().0.to_bytes().unwrap());
        assert_eq!(QuantGraph::from_bytes(&bytes).unwrap(), int8);
    }
}

#[test]
fn softmax_gives_probabilities() {
    let (mut net, x) = Net::new(5, [1, 1, 1, 6]);
    let y = net.add(Op::Reshape(vec![Dim::Same(0), Dim::Rest]), &[x]);
    let y = net.linear(y, 5);
    let y = net.add(Op::Softmax { axis: 1 }, &[y]);
    let (graph, samples) = net.finish(y);
    let (int8, report) = quantize(&graph, &samples, &QuantSettings::default()).unwrap();
    assert_eq!(int8.tensor(int8.outputs[0]).affine, Affine { scale: 1.0 / 256.0, zero_point: -128 });
    assert!(report.snr_db.unwrap() > 30.0, "{report:?}");
}

#[test]
fn clamps_are_the_activation_in_int8() {
    let (mut net, x) = Net::new(6, [1, 4, 4, 2]);
    let a = net.conv(x, 4, 3, 1, 1);
    let a = net.relu(a);
    let y = net.conv(a, 2, 1, 1, 1);
    let (graph, samples) = net.finish(y);
    let (int8, _) = quantize(&graph, &samples, &QuantSettings::default()).unwrap();
    assert_eq!(int8.nodes.len(), 2);
    let relu = int8.tensor(int8.nodes[0].output);
    assert_eq!((relu.name.as_str(), relu.affine.zero_point), ("unary1", -128));
    assert_eq!(int8.nodes[0].op.clamp(), Clamp { lo: -128, hi: 127 });
    assert_eq!(int8.nodes[1].op.clamp(), Clamp::NONE);
}

#[test]
fn unlike_channels_are_equalized() {
    let (mut net, x) = Net::new(7, [1, 6, 6, 3]);
    let a = net.conv(x, 8, 3, 1, 1);
    let r = net.relu(a);
    let d = net.conv(r, 8, 3, 1, 8);
    let d = net.relu(d);
    let y = net.conv(d, 4, 1, 1, 1);
    let (mut graph, samples) = net.finish(y);
    // The same function with channels of very different sizes.
    let scale = |i: usize| if i == 0 { 16.0 } else { 0.25 };
    let w1 = graph.nodes[0].inputs[1];
    let b1 = graph.nodes[0].inputs[2];
    let w2 = graph.nodes[2].inputs[1];
    for (id, up) in [(w1, true), (b1, true), (w2, false)] {
        let mut tensor = graph.param(id).unwrap().as_ref().clone();
        let row = tensor.len() / 8;
        for (i, w) in tensor.data_mut().iter_mut().enumerate() {
            *w = if up { *w * scale(i / row) } else { *w / scale(i / row) };
        }
        graph.value_mut(id).source = Source::Param(tensor.into());
    }
    let (_, report) = quantize(&graph, &samples, &QuantSettings::default()).unwrap();
    let trial = |name: &str| report.trials.iter().find(|t| t.name == name).unwrap().clone();
    assert!(trial("equalized").kept, "{:?}", report.trials);
    assert!(trial("equalized").snr_db.unwrap() > trial("rounded").snr_db.unwrap() + 6.0, "{:?}", report.trials);
}

#[test]
fn a_given_input_mapping_is_kept() {
    let (graph, samples) = everything(9);
    let input = Affine { scale: 1.0 / 64.0, zero_point: 0 };
    let (int8, report) = quantize(&graph, &samples.with_mapping(input), &QuantSettings::default()).unwrap();
    assert_eq!(int8.tensor(int8.inputs[0]).affine, input);
    assert!(report.tensors.iter().any(|t| t.name == "x" && t.calibrator.is_none()));
}

#[test]
fn what_cannot_be_quantized_is_named_with_a_remedy() {
    let message = |graph: &Graph, samples: &Samples, settings: &QuantSettings| {
        quantize(graph, samples, settings).unwrap_err().to_string()
    };
    let default = QuantSettings::default();
    let (mut net, x) = Net::new(1, [1, 2, 2, 4]);
    let y = net.add(Op::Softmax { axis: 1 }, &[x]);
    let (graph, samples) = net.finish(y);
    let text = message(&graph, &samples, &default);
    assert!(text.contains("node `softmax0` (Softmax)") && text.contains("along the channels"), "{text}");

    let (mut net, x) = Net::new(1, [1, 2, 2, 2]);
    let y = net.add(Op::MatMul, &[x, x]);
    let (graph, samples) = net.finish(y);
    let text = message(&graph, &samples, &default);
    assert!(text.contains("node `matmul0` (MatMul)") && text.contains("make it a constant"), "{text}");

    let (mut graph, samples) = everything(2);
    let weight = graph.nodes[0].inputs[1];
    let mut tensor = graph.param(weight).unwrap().as_ref().clone();
    tensor.data_mut()[7] = f32::NAN;
    let name = graph.value(weight).name.clone();
    graph.value_mut(weight).source = Source::Param(tensor.into());
    let text = message(&graph, &samples, &default);
    assert!(text.contains(&format!("weight `{name}` holds NaN at element 7")), "{text}");
}

#[test]
fn settings_are_checked() {
    let (graph, samples) = everything(1);
    let rows = [
        (QuantSettings { samples: 0, ..QuantSettings::default() }, "`samples`"),
        (QuantSettings { calibrators: vec![], ..QuantSettings::default() }, "min-max, percentile, mse, entropy"),
        (QuantSettings { hidden_parts: 0, ..QuantSettings::default() }, "`hidden_parts`"),
        (QuantSettings { percentile: 120.0, ..QuantSettings::default() }, "120"),
    ];
    for (settings, expected) in rows {
        let text = quantize(&graph, &samples, &settings).unwrap_err().to_string();
        assert!(text.contains(expected), "{text}");
    }
    assert!(serde_json::from_str::<QuantSettings>(r#"{"sampels": 3}"#).is_err());
    let read: QuantSettings = serde_json::from_str(r#"{"calibrators": ["min-max"], "samples": 3}"#).unwrap();
    assert_eq!((read.samples, read.calibrators, read.equalize), (3, vec![Calibrator::MinMax], true));
}
