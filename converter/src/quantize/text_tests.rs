//! Small random encoders of texts through the whole stage, and what must be refused.

use super::testing::{ROOM, encoder, texts};
use super::*;
use crate::families::distilbert::Head;
use crate::graph::{Op, Pick, Tensor, Unary};
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
    let mut graph = encoder("distilbert-l1-h32-a2", |net| net.head = Head::Embed { pick: Pick::Mean, normalize: true });
    let text = quantize(&graph, &samples(), &QuantSettings::default()).unwrap_err().to_string();
    assert!(text.contains("node `normalized` (Normalize)") && text.contains("cosine"), "{text}");
    graph = encoder("distilbert-l1-h32-a2", |net| net.head = Head::Hidden);
    let gate = graph.add_param("gate", Tensor::full([32], 0.5));
    let scaled = graph.add("scaled", Op::Mul, &[graph.outputs[0], gate]).unwrap();
    graph.outputs = vec![scaled];
    let text = quantize(&graph, &samples(), &QuantSettings::default()).unwrap_err().to_string();
    assert!(text.contains("node `scaled` (Mul)") && text.contains("linear layer beside it"), "{text}");
}
