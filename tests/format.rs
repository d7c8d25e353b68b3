//! The model file: networks of all kinds run equal on every table, hostile files do no harm, old files still load.

use std::path::Path;

use limbeck_runtime::format::emit;
use limbeck_runtime::ops::OpSet;
use limbeck_runtime::{AlignedBytes, Isa, Kernels, Layout, Model, Rng, Session, StaticArena, arena_bytes};
use limbeck_tests::network;
use proptest::prelude::*;

/// Scratch that a hostile window may ask for before a session is not even tried, bytes.
const MOST: usize = 1 << 26;

/// The layouts of all tables.
fn layouts() -> Vec<Layout> {
    let mut layouts: Vec<Layout> = Isa::ALL.iter().map(|isa| isa.layout()).collect();
    layouts.dedup();
    layouts
}

/// Runs a model on every table that reads it, and gives the digest that all of them agree on.
fn digest(model: &Model<'_>) -> Option<u64> {
    let mut digests = Vec::new();
    for kernels in Kernels::all().filter(|kernels| kernels.isa.reads(model.layout())) {
        let needed = arena_bytes(model, kernels.isa);
        if needed > MOST {
            continue;
        }
        let mut arena = AlignedBytes::zeroed(needed);
        let mut session = Session::with_kernels(model, &mut arena, kernels).unwrap();
        let mut rng = Rng::new(5);
        for i in 0..model.inputs() {
            session.input_mut(i).fill_with(|| rng.byte());
        }
        session.run();
        digests.push((session.digest(), kernels.isa));
    }
    assert!(digests.windows(2).all(|pair| pair[0].0 == pair[1].0), "{digests:x?}");
    digests.first().map(|first| first.0)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_network_gives_the_same_bytes_on_every_table_in_every_layout(seed: u32) {
        let files: Vec<_> = layouts().into_iter().map(|layout| network::random(seed, layout)).collect();
        let mut digests = Vec::new();
        for file in &files {
            let model = Model::parse(file).unwrap();
            digests.push(digest(&model));
            for kernels in Kernels::all().filter(|kernels| kernels.isa.reads(model.layout())) {
                let mut arena = AlignedBytes::zeroed(arena_bytes(&model, kernels.isa));
                let mut session = Session::with_kernels(&model, &mut arena, kernels).unwrap();
                prop_assert_eq!(session.self_test(), Ok(()));
            }
        }
        prop_assert!(digests.windows(2).all(|pair| pair[0] == pair[1]), "{:x?}", digests);
    }

    #[test]
    fn the_same_network_gives_the_same_file(seed: u32) {
        prop_assert_eq!(&*network::random(seed, Layout::PLAIN), &*network::random(seed, Layout::PLAIN));
    }

    #[test]
    fn a_cut_file_is_refused(seed: u32, cut: prop::sample::Index) {
        let file = network::random(seed, Layout::PLAIN);
        let cut = AlignedBytes::copy_of(&file[..cut.index(file.len())]);
        prop_assert!(Model::parse(&cut).is_err());
    }

    #[test]
    fn a_hostile_file_is_refused_or_runs(
        seed: u32,
        layout: prop::sample::Index,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        reach: prop::sample::Index,
    ) {
        let layouts = layouts();
        let mut file = network::random(seed, layouts[layout.index(layouts.len())]);
        // The beginning of a file is where its numbers are.
        let reach = 1 + reach.index(file.len());
        for (at, value) in changes {
            let at = at.index(reach);
            file[at] = value;
        }
        emit::seal(&mut file);
        if let Ok(model) = Model::parse(&file) {
            let _ = digest(&model);
        }
    }

    #[test]
    fn any_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let mut file = AlignedBytes::copy_of(&bytes);
        prop_assert!(Model::parse(&file).is_err());
        emit::seal(&mut file);
        prop_assert!(Model::parse(&file).is_err());
    }
}

/// Files of every version of the format, made when it was new: name, seed, layout. A file that is missing is written, and the
/// test fails once to say so.
#[test]
fn old_files_load_and_give_what_they_gave() {
    for (name, seed, layout) in [
        ("v1-scalar", 285, Isa::Scalar.layout()),
        ("v1-avx2", 880, Isa::Avx2.layout()),
        ("v1-dsp", 2751, Isa::Dsp.layout()),
    ] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(name).with_extension("lmb");
        let written = network::random(seed, layout);
        let Ok(bytes) = std::fs::read(&path) else {
            std::fs::write(&path, &*written).unwrap();
            panic!("{} was missing and has been written", path.display());
        };
        let file = AlignedBytes::copy_of(&bytes);
        let model = Model::parse(&file).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(model.ops().count() >= 4 && model.self_tests().count() == 1, "{name}");
        for kernels in Kernels::all().filter(|kernels| kernels.isa.reads(model.layout())) {
            let mut arena = AlignedBytes::zeroed(arena_bytes(&model, kernels.isa));
            let mut session = Session::with_kernels(&model, &mut arena, kernels).unwrap();
            assert_eq!(session.self_test(), Ok(()), "{name} on {}", kernels.isa.name());
        }
        // Writing has not changed either; a new version of the format ends this for its predecessors.
        assert!(*written == *file, "{name}: the bytes of a file written today differ");
    }
}

/// A model as a part of the program, as a firmware has it.
mod included {
    limbeck_runtime::include_model!("golden/v1-scalar.lmb");
}

#[test]
fn an_included_model_brings_its_arena_and_its_ops() {
    let model = Model::parse(included::BYTES).unwrap();
    assert_eq!(included::ARENA_BYTES, model.arena_bytes());
    let kinds = model.ops().filter_map(|view| view.kind());
    assert_eq!(included::Ops::MASK, kinds.fold(0, |mask, kind| mask | kind.bit()));
    let mut arena = StaticArena::<{ included::ARENA_BYTES }>::new();
    let mut session = Session::<included::Ops>::with_ops(&model, &mut arena).unwrap();
    assert_eq!(session.self_test(), Ok(()));
}
