//! 500 sentences: every table of this computer and the emulated Cortex-M7 and M55 must give the same bytes, tokenizer included.

use limbeck::data::Part;
use limbeck::data::text::Texts;
use limbeck::verify::host;
use limbeck::verify::relayout::relayout;
use limbeck_runtime::{AlignedBytes, Fnv1a64, Isa, Kernels, Model, Rng, Session, arena_bytes};
use limbeck_targets::Target;
use limbeck_tests::board::{emulated, has_emulator};
use limbeck_tests::{data_folder, root, skipped};

#[path = "../firmware/model/mod.rs"]
mod model;

const SENTENCES: usize = 500;

const BOARDS: [&str; 2] = ["qemu-m7", "qemu-m55"];

/// What generated sentences are made of: words that a vocabulary may have, or not, in several scripts, and what is no word.
const PIECES: [&str; 64] = [
    "the",
    "a",
    "movie",
    "film",
    "was",
    "is",
    "not",
    "very",
    "good",
    "bad",
    "great",
    "awful",
    "I",
    "it",
    "this",
    "never",
    "again",
    "watch",
    "watched",
    "watching",
    "unwatchable",
    "story",
    "stories",
    "acting",
    "actor",
    "boring",
    "brilliantly",
    "and",
    "but",
    "or",
    "of",
    "in",
    "card",
    "payment",
    "refund",
    "transfer",
    "account",
    "New",
    "York",
    "café",
    "naïve",
    "Ärger",
    "résumé",
    "Straße",
    "東京",
    "привет",
    "κόσμος",
    "1999",
    "3.14",
    "£20",
    "n't",
    "'s",
    ",",
    ".",
    "!",
    "...",
    "-",
    "\"",
    "(",
    ")",
    "[MASK]",
    "x",
    "zzz",
    "🎬",
];

/// Sentences of 1 to 70 pieces, more of them short; some are longer than any model here takes.
fn generated() -> Vec<String> {
    let mut rng = Rng::new(500);
    let mut sentence = || {
        let pieces = 1 + rng.below(70) * rng.below(70) / 70;
        (0..pieces).map(|_| rng.pick(&PIECES)).collect::<Vec<_>>().join(rng.pick(&[" ", " ", "  ", ""]))
    };
    (0..SENTENCES).map(|_| sentence()).collect()
}

/// Sentences that people wrote, where there are any.
fn real() -> Option<Vec<String>> {
    let folder = data_folder()?.join("sst2");
    if !folder.is_dir() {
        skipped("no folder sst2 in LIMBECK_DATA: generated sentences only");
        return None;
    }
    let texts = Texts::load(&folder, Part::Test, None).unwrap().texts;
    assert!(texts.len() >= SENTENCES);
    Some(texts.into_iter().take(SENTENCES).collect())
}

/// The digest of all outputs for these sentences on each table of this computer, and how many tokens there were.
fn on_this_computer(model: &Model<'_>, sentences: &[String]) -> Vec<(&'static str, String, usize)> {
    let digest = |kernels: &'static Kernels| {
        let file = relayout(model, kernels.isa.layout()).unwrap();
        let model = Model::parse(&file).unwrap();
        let mut arena = AlignedBytes::zeroed(arena_bytes(&model, kernels.isa));
        let mut session = Session::with_kernels(&model, &mut arena, kernels).unwrap();
        let (mut digest, mut tokens) = (Fnv1a64::new(), 0);
        let mut ids = vec![0; model.max_length()];
        for sentence in sentences {
            let length = model.tokenizer().unwrap().encode(sentence, &mut ids).len;
            session.set_tokens(&ids[..length]).unwrap();
            session.run();
            (0..model.outputs()).for_each(|i| digest.update(session.output(i)));
            tokens += length;
        }
        (kernels.isa.name(), format!("{:016x}", digest.finish()), tokens)
    };
    Kernels::all().map(digest).collect()
}

/// All tables and boards agree on these sentences.
fn agree(name: &str, model: &Model<'_>, sentences: &[String]) {
    let found = on_this_computer(model, sentences);
    let (_, digest, tokens) = &found[0];
    assert!(found.iter().all(|(_, other, n)| (other, n) == (digest, tokens)), "{name}: {found:?}");
    if !has_emulator() {
        return skipped("qemu-system-arm is not installed: `cargo xtask setup` does that");
    }
    let lines: String = sentences.iter().flat_map(|sentence| [sentence.as_str(), "\n"]).collect();
    let check = |board: &str| {
        let device = Target::find(board).unwrap().device.as_ref().unwrap();
        if model.file_bytes() > device.model_flash_bytes() as usize
            || model.arena_bytes() > device.arena_bytes() as usize
        {
            return skipped(&format!("{name} does not fit {board}"));
        }
        let answer = emulated(board, model, "--texts", lines.as_bytes());
        let line = answer["results"].as_array().unwrap().last().unwrap();
        let expected = (&sentences.len().into(), &(*tokens).into(), &digest.as_str().into());
        assert_eq!((&line["texts"], &line["tokens"], &line["digest"]), expected, "{name} on {board}: {answer}");
    };
    // A panic in a thread is one of the test: leaving the scope passes it on.
    std::thread::scope(|scope| {
        for board in BOARDS {
            scope.spawn(move || check(board));
        }
    });
}

#[test]
fn sentences_give_equal_bytes_on_this_computer_and_on_emulated_boards() {
    let (_, build) = model::MODELS.into_iter().find(|(name, _)| *name == "random-bert").unwrap();
    // Its arena has room for the scratch of the boards.
    let file = build(Isa::Dsp).unwrap();
    let model = Model::parse(&file).unwrap();
    let sentences: Vec<String> = real().into_iter().flatten().chain(generated()).collect();
    agree("random-bert", &model, &sentences);
}

#[test]
fn trained_models_do_so_too() {
    let sentences = real().unwrap_or_else(generated);
    for entry in std::fs::read_dir(root().join("models")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "lmb") {
            let bytes = host::read(&path).unwrap();
            let model = host::parse(&path, &bytes).unwrap();
            if model.tokenizer().is_some() {
                agree(&path.display().to_string(), &model, &sentences);
            }
        }
    }
}
