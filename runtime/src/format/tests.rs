//! Round trip, and what becomes of damaged and hostile files.

use super::emit::seal;
use super::*;
use crate::kernels::Order;
use crate::ops::OpSet;
use crate::testing::all_ops;
use crate::testing::text::transformer;
use crate::text::VocabularyRule;
use crate::{AlignedBytes, Isa, Kernels, LoadError, OpRule, Rng, Session, SessionError};

const PANELS: Layout = Layout { n: 16, k: 4, order: Order::KMinor, input_offset: 128 };
const HALVES: Layout = Layout { n: 2, k: 4, order: Order::Halves, input_offset: 0 };

/// A copy of `file` after `change`, sealed, and what the check says.
fn changed(file: &[u8], change: impl FnOnce(&mut [u8])) -> Result<(), LoadError> {
    let mut copy = AlignedBytes::copy_of(file);
    change(&mut copy);
    seal(&mut copy);
    Model::parse(&copy).map(|_| ())
}

#[test]
fn what_is_written_is_read() {
    for layout in [Layout::PLAIN, PANELS, HALVES] {
        let file = all_ops(layout);
        let model = Model::parse(&file).unwrap();
        assert_eq!(model.layout(), layout);
        assert_eq!(model.file_bytes(), file.len());
        assert_eq!(model.labels().count(), 10);
        assert_eq!(model.labels().nth(3), Some("three"));
        assert_eq!(model.metadata(), "{\"name\":\"all\"}");
        assert_eq!(model.certificate(), Certificate { digest: 0x0123_4567_89ab_cdef, items: 1000 });
        let input = model.input(0).unwrap();
        assert_eq!((input.scale, input.zero, input.tensor.shape.sizes()), (0.5, 3, [8, 8, 3]));
        assert_eq!([0, 1, 255].map(|p| input.pixel(2, p)), [0, 0, 127]);
        assert_eq!([0, 128, 255].map(|p| model.output(1).unwrap().pixel(0, p)), [-128, 0, 127]);
        assert!(model.input(1).is_none() && model.output(2).is_none());
        let kinds: std::vec::Vec<_> = model.ops().map(|view| view.kind().unwrap()).collect();
        assert_eq!(kinds.len(), 13);
        assert_eq!(model.tokenizer().map(|tokenizer| tokenizer.size()), Some(35));
        assert_eq!(arena_bytes(&file), model.arena_bytes());
        assert_eq!(ops_used(&file), kinds.iter().fold(0, |mask, kind| mask | kind.bit()));
    }
}

#[test]
fn every_table_passes_the_self_tests_of_every_layout() {
    for layout in [Layout::PLAIN, PANELS, HALVES] {
        let file = all_ops(layout);
        let model = Model::parse(&file).unwrap();
        assert_eq!(model.self_tests().count(), 2);
        for kernels in Kernels::all().filter(|kernels| kernels.isa.reads(layout)) {
            let mut arena = AlignedBytes::zeroed(crate::arena_bytes(&model, kernels.isa));
            let mut session = Session::with_kernels(&model, &mut arena, kernels).unwrap();
            assert_eq!(session.self_test(), Ok(()), "{} {layout:?}", kernels.isa.name());
        }
    }
    // The layout is how weights lie, not what they are.
    let digests = [Layout::PLAIN, HALVES].map(|layout| {
        let file = all_ops(layout);
        Model::parse(&file).unwrap().self_tests().next().unwrap().digest
    });
    assert_eq!(digests[0], digests[1]);
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let file = all_ops(Layout::PLAIN);
    for file in [&file, &transformer(Layout::PLAIN, 5)] {
        for len in 0..file.len() {
            let cut = AlignedBytes::copy_of(&file[..len]);
            assert_eq!(Model::parse(&cut).unwrap_err(), LoadError::Length, "{len}");
        }
    }
    let mut longer = AlignedBytes::zeroed(file.len() + 1);
    longer[..file.len()].copy_from_slice(&file);
    assert_eq!(Model::parse(&longer).unwrap_err(), LoadError::Length);
    assert_eq!(Model::parse(&longer[1..]).unwrap_err(), LoadError::Misaligned);
}

#[test]
fn every_flipped_bit_is_noticed() {
    for mut file in [all_ops(Layout::PLAIN), transformer(Layout::PLAIN, 5)] {
        for bit in 0..file.len() * 8 {
            file[bit / 8] ^= 1 << (bit % 8);
            assert!(Model::parse(&file).is_err(), "bit {bit}");
            file[bit / 8] ^= 1 << (bit % 8);
        }
    }
}

#[test]
fn each_broken_header_has_its_error() {
    let file = all_ops(Layout::PLAIN);
    let set =
        |at: usize, bytes: &'static [u8]| changed(&file, move |file| file[at..at + bytes.len()].copy_from_slice(bytes));
    assert_eq!(set(0, b"X"), Err(LoadError::Magic));
    assert_eq!(set(8, &[2, 0]), Err(LoadError::FormatVersion(2)));
    assert_eq!(set(10, &[0, 1]), Err(LoadError::ContractVersion(256)));
    assert_eq!(set(12, &[0]), Err(LoadError::Layout));
    assert_eq!(set(24, &[0, 0, 0, 128]), Err(LoadError::Arena));
    assert_eq!(set(24, &[0, 1, 0, 0]), Err(LoadError::Tensor(1)));
    assert_eq!(set(28, &[0, 0]), Err(LoadError::Section(Section::Ports)));
    assert_eq!(set(30, &[3, 0]), Err(LoadError::Section(Section::Ports)));
    assert_eq!(set(124, &[4]), Err(LoadError::Section(Section::SelfTests)));
    assert_eq!(set(126, &[1]), Err(LoadError::Reserved));
    for (i, section) in Section::ALL.into_iter().enumerate() {
        assert_eq!(set(32 + 8 * i, &[1, 2, 3, 4]), Err(LoadError::Section(section)));
        assert_eq!(set(32 + 8 * i + 4, &[255, 255, 255, 255]), Err(LoadError::Section(section)));
    }
}

#[test]
fn each_broken_part_has_its_error() {
    let file = all_ops(Layout::PLAIN);
    let header = Header::read(&file);
    let at = |section: Section| header.sections[section as usize].offset as usize;
    let set =
        |at: usize, bytes: &'static [u8]| changed(&file, move |file| file[at..at + bytes.len()].copy_from_slice(bytes));
    let (tensors, ports, ops) = (at(Section::Tensors), at(Section::Ports), at(Section::Ops));
    // Tensor 1: offset no multiple of 16, beyond the arena, no rows, another type, reserved byte.
    for (field, bytes) in
        [(0, &[1][..]), (0, &[0, 0, 0, 16]), (4, &[0, 0]), (4, &[255, 255]), (10, &[3]), (11, &[1]), (11, &[2])]
    {
        assert_eq!(set(tensors + 12 + field, bytes), Err(LoadError::Tensor(1)), "{field}");
    }
    // Port 2 (an output): no such tensor, pixel table outside, scale zero, infinite, negative.
    for (field, bytes) in [
        (0, &[200, 0][..]),
        (3, &[1, 0, 0, 0, 63, 255, 255, 0, 0]),
        (3, &[2]),
        (4, &[0, 0, 0, 0]),
        (4, &[0, 0, 128, 127]),
        (4, &[0, 0, 0, 191]),
        (8, &[1]),
    ] {
        assert_eq!(set(ports + 24 + field, bytes), Err(LoadError::Port(2)), "{field}");
    }
    assert_eq!(set(at(Section::SelfTests) + 12, &[255, 255]), Err(LoadError::SelfTest(0)));
    assert_eq!(set(at(Section::Labels), &[255]), Err(LoadError::Text(Section::Labels)));
    assert_eq!(set(at(Section::Metadata) + 1, &[0x80]), Err(LoadError::Text(Section::Metadata)));
    assert_eq!(set(at(Section::Vocabulary) + 2, &[0]), Err(LoadError::Vocabulary(VocabularyRule::Id)));
    let op = |field: usize, bytes| match set(ops + field, bytes) {
        Err(LoadError::Op { index: 0, rule }) => rule,
        other => panic!("{field}: {other:?}"),
    };
    assert_eq!(op(0, &[0]), OpRule::Kind);
    assert_eq!(op(0, &[19]), OpRule::Kind);
    assert_eq!(op(1, &[0]), OpRule::Operands);
    assert_eq!(op(1, &[3]), OpRule::Operands);
    assert_eq!(op(2, &[0, 0]), OpRule::Length);
    assert_eq!(op(2, &[52]), OpRule::Length);
    assert_eq!(op(2, &[255, 255]), OpRule::Length);
    assert_eq!(op(4, &[1, 0, 0, 0, 1, 0, 0, 0]), OpRule::Scratch);
    assert_eq!(op(4, &[0, 0, 0, 0, 1, 0, 0, 0]), OpRule::Scratch);
    assert_eq!(op(4, &[0, 0, 0, 0, 255, 255, 255, 255]), OpRule::Scratch);
    assert_eq!(op(12, &[255, 255]), OpRule::Operands);
    assert_eq!(op(12, &[0, 0]), OpRule::Aliasing);
    assert_eq!(op(14, &[255, 255]), OpRule::Operands);
}

#[test]
fn sequences_have_one_length_and_one_column() {
    let file = transformer(Layout::PLAIN, 5);
    let header = Header::read(&file);
    let tensors = header.sections[Section::Tensors as usize].offset as usize;
    let ops = header.sections[Section::Ops as usize].offset as usize;
    let set =
        |at: usize, bytes: &'static [u8]| changed(&file, move |file| file[at..at + bytes.len()].copy_from_slice(bytes));
    // Tensor 1 is the first sequence after the tokens: other rows, two columns, then no sequence, or of other elements.
    assert_eq!(set(tensors + 12 + 4, &[4]), Err(LoadError::Tensor(1)));
    assert_eq!(set(tensors + 12 + 6, &[2]), Err(LoadError::Tensor(1)));
    assert_eq!(set(tensors + 12 + 11, &[0]), Err(LoadError::Op { index: 0, rule: OpRule::Sequence }));
    assert_eq!(set(tensors + 12 + 10, &[0]), Err(LoadError::Op { index: 0, rule: OpRule::Element }));
    // Tokens have one channel; and a table must have as many rows as it says.
    assert_eq!(set(tensors + 8, &[2]), Err(LoadError::Tensor(0)));
    assert_eq!(set(ops + 16, &[255, 255]), Err(LoadError::Op { index: 0, rule: OpRule::Table }));
    // A port with pixels must be int8.
    let ports = header.sections[Section::Ports as usize].offset as usize;
    assert_eq!(set(ports + 3, &[1]), Err(LoadError::Port(0)));
}

/// Runs a file that was accepted, on scalar and on the best table: within its arena, without a panic, equal on both.
fn run(file: &[u8]) {
    let model = Model::parse(file).unwrap();
    if let Some(tokenizer) = model.tokenizer() {
        let mut ids = [0; 16];
        let done = tokenizer.encode("Hello, unwanted wörld [MASK]", &mut ids);
        assert!(ids[..done.len].iter().all(|&id| id < tokenizer.size()));
    }
    let mut digests = None;
    for kernels in [Kernels::for_isa(Isa::Scalar).unwrap(), Kernels::best::<crate::ops::AllOps>(model.layout())] {
        let needed = crate::arena_bytes(&model, kernels.isa);
        // A hostile window may ask for more scratch than there is memory; then no session begins.
        let mut arena = AlignedBytes::zeroed(needed.min(1 << 26));
        let Ok(mut session) = Session::with_kernels(&model, &mut arena, kernels) else {
            assert!(needed > 1 << 26);
            continue;
        };
        let mut rng = Rng::new(1);
        let mut found = [0; 2];
        for (digest, length) in found.iter_mut().zip([model.max_length(), model.max_length() / 2]) {
            // Refused where there are no sequences, or none so short.
            let _ = session.set_length(length);
            for i in 0..model.inputs() {
                session.input_mut(i).fill_with(|| rng.byte());
            }
            session.run();
            *digest = session.digest();
        }
        // Where hostile scratch lies over a tensor that is still needed, a table that has no use for it leaves that alone.
        if model.ops().all(|view| view.scratch().is_empty()) {
            assert_eq!(found, *digests.get_or_insert(found), "{}", kernels.isa.name());
        }
        let _ = session.self_test();
    }
}

#[test]
fn hostile_files_are_refused_or_run_within_their_arena() {
    const FILES: u32 = if cfg!(miri) { 20 } else { 4_000 };
    let mut accepted = 0;
    let layouts = [Layout::PLAIN, PANELS];
    for file in layouts.map(all_ops).into_iter().chain(layouts.map(|layout| transformer(layout, 5))) {
        let header = Header::read(&file);
        // Mostly where the numbers are: everything but weights.
        let weights = header.sections[Section::Weights as usize];
        for seed in 0..FILES {
            let mut rng = Rng::new(seed);
            let mut copy = AlignedBytes::copy_of(&file);
            for _ in 0..1 + rng.below(3) {
                let at = match rng.below(4) {
                    0 => rng.below(HEADER_BYTES),
                    1 => rng.below(file.len()),
                    _ => HEADER_BYTES + rng.below(weights.offset as usize - HEADER_BYTES),
                };
                let value = rng.pick(&[0, 1, 2, 16, 127, 128, 254, 255]);
                let any = rng.word() as u8;
                copy[at] = if rng.one_in(3) { any } else { value };
                if rng.one_in(3) && at + 1 < file.len() {
                    copy[at + 1] = value;
                }
            }
            seal(&mut copy);
            if Model::parse(&copy).is_ok() {
                accepted += 1;
                run(&copy);
            }
        }
    }
    // Both outcomes must be common, or the test would be about one of them only.
    assert!(accepted > FILES / 25 && accepted < 2 * FILES, "{accepted}");
}

#[test]
fn a_session_states_what_it_needs() {
    let file = all_ops(Layout::PLAIN);
    let model = Model::parse(&file).unwrap();
    let needed = crate::arena_bytes(&model, Kernels::best::<crate::ops::AllOps>(model.layout()).isa);
    let mut arena = AlignedBytes::zeroed(needed + 16);
    let given = needed - 1;
    assert_eq!(Session::new(&model, &mut arena[..given]).unwrap_err(), SessionError::ArenaTooSmall { needed, given });
    assert_eq!(Session::new(&model, &mut arena[1..]).unwrap_err(), SessionError::ArenaMisaligned);
    assert!(Session::new(&model, &mut arena[..needed]).is_ok());
    enum Convolutions {}
    impl OpSet for Convolutions {
        const MASK: u32 = crate::ops::OpKind::Conv2d.bit();
    }
    let refused = Session::<Convolutions>::with_ops(&model, &mut arena).unwrap_err();
    assert_eq!(refused, SessionError::OpNotLinked(crate::ops::OpKind::Depthwise));
    let unknown = LoadError::Op { index: 1, rule: OpRule::Kind };
    assert_eq!(Model::parse_with::<Convolutions>(&file).unwrap_err(), unknown);
    let panels = all_ops(PANELS);
    let model = Model::parse(&panels).unwrap();
    for kernels in Kernels::all().filter(|kernels| !kernels.isa.reads(PANELS)) {
        assert_eq!(Session::with_kernels(&model, &mut arena, kernels).unwrap_err(), SessionError::Layout);
    }
}
