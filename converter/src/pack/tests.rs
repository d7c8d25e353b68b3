//! The same network in every layout gives the same bytes; and what a ResNet-8 takes.

use super::*;
use crate::data;
use crate::families::{self, Task};
use crate::plan::{PlanTarget, plan};
use crate::quantize::testing::everything;
use crate::quantize::{Affine, QuantSettings, Samples, quantize};
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
    let task = Task { image: [32, 32, 3], classes: 10 };
    let graph = families::build("resnet8", &task, 7).unwrap();
    let samples = Samples::of_images(&data::generate(4, data::Part::Train, 1), &Normalize::student()).unwrap();
    let (int8, _) = quantize(&graph, &samples, &QuantSettings::default()).unwrap();
    assert_eq!(int8.tensor(int8.inputs[0]).affine, Affine { scale: 1.0 / 64.0, zero_point: 0 });
    for (target, _) in limbeck_targets::Target::boards() {
        let plan = plan(&int8, &PlanTarget::new(target).unwrap()).unwrap();
        let file = pack(&int8, &plan, &PackInfo::default()).unwrap();
        // Two images of 16 KiB, the second of which takes the residual sum in place, and working memory.
        assert!(plan.arena_bytes <= 34 << 10, "{}: {} bytes of arena", target.name, plan.arena_bytes);
        assert!(file.len() <= 90_000, "{}: {} bytes of file", target.name, file.len());
        assert_eq!(plan.steps.iter().filter(|s| s.add.is_some()).count(), 3, "{}", target.name);
    }
}
