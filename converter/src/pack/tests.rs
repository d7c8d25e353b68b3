//! The same network in every layout gives the same bytes; and what a ResNet-8 and a BERT-tiny take.

use super::*;
use crate::data;
use crate::data::text::Tokenized;
use crate::families::distilbert::{Head, named};
use crate::families::{self, Task};
use crate::graph::Unary;
use crate::plan::{PlanTarget, plan};
use crate::quantize::testing::{ROOM, WORDS, encoder, everything, texts};
use crate::quantize::{Affine, QuantSettings, Samples, Stream, quantize};
use crate::verify::relayout::relayout;
use limbeck_runtime::text::Normalization;
use limbeck_runtime::text::emit::Words;
use limbeck_runtime::{Isa, arena_bytes};

fn digests_of(file: &[u8], kernels: &'static Kernels) -> Vec<u64> {
    let model = Model::parse(file).unwrap();
    let mut arena = AlignedBytes::zeroed(arena_bytes(&model, kernels.isa));
    let mut session = Session::with_kernels(&model, &mut arena, kernels).unwrap();
    assert_eq!(session.self_test(), Ok(()));
    (0..20)
        .map(|seed| {
            let mut rng = Rng::new(100 + seed);
            session.input_mut(0).fill_with(|| rng.byte());
            session.run();
            session.digest()
        })
        .collect()
}

#[test]
fn every_layout_and_table_gives_the_same_bytes() {
    for seed in 1..4 {
        let (graph, samples) = everything(seed);
        let (int8, _) = quantize(&graph, &samples, &QuantSettings::default()).unwrap();
        let mut expected: Option<Vec<u64>> = None;
        for isa in Isa::ALL {
            for fuse_sums in [true, false] {
                let target = PlanTarget { fuse_sums, ..PlanTarget::with_layout("any", isa.layout()) };
                let plan = plan(&int8, &target).unwrap();
                let file = pack(&int8, &plan, &PackInfo::default()).unwrap();
                for kernels in Kernels::all().filter(|k| k.isa.reads(isa.layout())) {
                    let found = digests_of(&file, kernels);
                    let first = expected.get_or_insert_with(|| found.clone());
                    assert_eq!(&found, first, "{} in the layout of {}", kernels.isa.name(), isa.name());
                }
            }
        }
    }
}

#[test]
fn a_file_says_what_it_was_told_and_is_the_same_each_time() {
    let (graph, samples) = everything(1);
    let (int8, _) = quantize(&graph, &samples, &QuantSettings::default()).unwrap();
    let plan = plan(&int8, &PlanTarget::this_computer()).unwrap();
    let info = PackInfo {
        labels: vec!["cat".into(), "dog".into()],
        metadata: serde_json::json!({"b": 1, "a": "x"}),
        pixels: Some(Normalize::imagenet()),
        certificate: Certificate { digest: 7, items: 3 },
        vocabulary: Vec::new(),
    };
    let file = pack(&int8, &plan, &info).unwrap();
    assert_eq!(&file[..], &pack(&int8, &plan, &info).unwrap()[..]);
    let model = Model::parse(&file).unwrap();
    assert_eq!(model.labels().collect::<Vec<_>>(), ["cat", "dog"]);
    assert_eq!(model.metadata(), r#"{"a":"x","b":1}"#);
    assert_eq!(model.certificate(), Certificate { digest: 7, items: 3 });
    assert_eq!(model.arena_bytes(), plan.arena_bytes);
    assert_eq!(model.self_tests().count(), 3);
    assert!(model.input(0).unwrap().has_pixel_tables());
    let broken = PackInfo { labels: vec!["a\nb".into()], ..PackInfo::default() };
    assert!(pack(&int8, &plan, &broken).unwrap_err().to_string().contains("line break"));
}

#[test]
fn a_resnet_8_fits_its_budget_on_every_board() {
    let task = Task::of_images([32, 32, 3], 10);
    let graph = families::build("resnet8", &task, 7).unwrap();
    let samples = Samples::of_images(&data::generate(4, data::Part::Train, 1), &Normalize::student()).unwrap();
    let (int8, _) = quantize(&graph, &samples, &QuantSettings::default()).unwrap();
    assert_eq!(int8.tensor(int8.inputs[0]).affine, Affine { scale: 1.0 / 64.0, zero_point: 0 });
    for (target, _) in limbeck_targets::Target::boards() {
        let plan = plan(&int8, &PlanTarget::new(target).unwrap()).unwrap();
        let file = pack(&int8, &plan, &PackInfo::default()).unwrap();
        // Two images of 16 KiB, the second of which takes the residual sum in place, and working memory.
        assert!(plan.arena_bytes <= 35 << 10, "{}: {} bytes of arena", target.name, plan.arena_bytes);
        assert!(file.len() <= 90_000, "{}: {} bytes of file", target.name, file.len());
        assert_eq!(plan.steps.iter().filter(|s| s.add.is_some()).count(), 3, "{}", target.name);
    }
}

/// Digests of the outputs for texts.
fn digests_of_texts(file: &[u8], kernels: &'static Kernels, texts: &Tokenized) -> Vec<u64> {
    let model = Model::parse(file).unwrap();
    let mut arena = AlignedBytes::zeroed(arena_bytes(&model, kernels.isa));
    let mut session = Session::with_kernels(&model, &mut arena, kernels).unwrap();
    assert_eq!(session.self_test(), Ok(()));
    let digest = |i| {
        session.set_tokens(texts.text(i)).unwrap();
        session.run();
        session.digest()
    };
    (0..texts.len()).map(digest).collect()
}

#[test]
fn encoders_give_the_same_bytes_in_every_layout_and_table() {
    let texts = texts(24);
    let samples = Samples::of_texts(&texts, ROOM).unwrap();
    let mean = Head::Classify { classes: 4, pick: Pick::Mean, dense: Some(Unary::Tanh) };
    let nets = [
        encoder("distilbert-l2-h32-a4", |_| ()),
        encoder("distilbert-l2-h32-a2-e16", |net| net.head = mean),
        encoder("distilbert-l1-h32-a2", |net| net.head = Head::Tokens { classes: 3 }),
    ];
    for graph in nets {
        let (int8, _) = quantize(&graph, &samples, &QuantSettings::default()).unwrap();
        let mut expected: Option<Vec<u64>> = None;
        for isa in Isa::ALL {
            let plan = plan(&int8, &PlanTarget::with_layout("any", isa.layout())).unwrap();
            let file = pack(&int8, &plan, &PackInfo::default()).unwrap();
            assert_eq!(&file[..], &pack(&int8, &plan, &PackInfo::default()).unwrap()[..]);
            let found = digests_of_texts(&file, Kernels::for_isa(Isa::Scalar).unwrap(), &texts);
            let first = expected.get_or_insert_with(|| found.clone());
            assert_eq!(&found, first, "scalar in the layout of {}", isa.name());
            for kernels in Kernels::all() {
                let file = relayout(&Model::parse(&file).unwrap(), kernels.isa.layout()).unwrap();
                assert_eq!(
                    &digests_of_texts(&file, kernels, &texts),
                    first,
                    "{} from {}",
                    kernels.isa.name(),
                    isa.name()
                );
            }
        }
    }
}

#[test]
fn a_vocabulary_must_have_a_word_for_each_row() {
    let samples = Samples::of_texts(&texts(4), ROOM).unwrap();
    let (int8, _) = quantize(&encoder("distilbert-l1-h16-a2", |_| ()), &samples, &QuantSettings::default()).unwrap();
    let plan = plan(&int8, &PlanTarget::this_computer()).unwrap();
    let packed = |size| {
        let words = Words {
            normalization: Normalization::UNCASED,
            size,
            unknown: 0,
            begin: 1,
            end: 2,
            initial: &[("good", 5)],
            continuing: &[],
            added: &[],
        };
        let vocabulary = limbeck_runtime::text::emit::section(&words).unwrap();
        pack(&int8, &plan, &PackInfo { vocabulary, ..PackInfo::default() })
    };
    let file = packed(WORDS as u16).unwrap();
    let model = Model::parse(&file).unwrap();
    assert_eq!(model.tokenizer().unwrap().size(), WORDS as u16);
    assert_eq!(model.max_length(), ROOM);
    let error = packed(WORDS as u16 + 1).unwrap_err().to_string();
    assert!(error.contains("has 41 words, and the network 40 rows"), "{error}");
    let wrong = PackInfo { vocabulary: vec![1; 30], ..PackInfo::default() };
    assert!(matches!(pack(&int8, &plan, &wrong), Err(PackError::Tokenizer(_))));
}

#[test]
fn a_bert_tiny_of_64_tokens_fits_its_budget_on_every_board() {
    let graph = named("bert-tiny", WORDS, 64, 2).unwrap().build("tiny", Some(1)).unwrap();
    let samples = Samples::of_texts(&texts(4), 64).unwrap();
    // The stream of 16 KiB, what a layer reads of it in 8, what it makes in 32 or in two times 16, and working memory.
    for (hidden_parts, most) in [(1, 66 << 10), (2, 54 << 10)] {
        let settings = QuantSettings { hidden_parts, stream: Stream::Int16, ..QuantSettings::default() };
        let (int8, _) = quantize(&graph, &samples, &settings).unwrap();
        for (target, _) in limbeck_targets::Target::boards() {
            let plan = plan(&int8, &PlanTarget::new(target).unwrap()).unwrap();
            pack(&int8, &plan, &PackInfo::default()).unwrap();
            assert!(plan.arena_bytes <= most, "{}: {} bytes of arena", target.name, plan.arena_bytes);
        }
    }
}
