//! The tokenizer against the crate `tokenizers`: ids and offsets of real texts and of random ones, under all options.

use std::path::{Path, PathBuf};

use limbeck::text::Vocabulary;
use limbeck_runtime::Rng;
use limbeck_runtime::text::{Normalization, Span, Tokenizer};
use limbeck_tests::{data_folder, skipped};
use tokenizers::Tokenizer as Reference;

/// Words in many scripts, for a vocabulary that has something to find in any text.
const WORDS: &str = "the of and in to a is was he for it with as his on be at by i this had not are but from or have an they \
    which one you were all her she there would their we him been has when who will no more if out so what time up go about than \
    hello world play played playing player un want wanted able token tokens est er ing ed ly ness ation tion able ible ous \
    straße größe naïve cafe résumé mañana über señor çelik ığdır øre æon łódź žena \
    κόσμος λογος ωρα γεια привет мир слово йод сила ё ї українa \
    שלום עולם سلام عالم مرحبا हिन्दी नमस्ते बाংলা ভাষা தமிழ் తెలుగు ภาษาไทย ສະບາຍດີ မြန်မာ ខ្មែរ አማርኛ ქართული հայերեն \
    日本語 東京 中文 漢字 かな カタカナ 한국어 안녕 ᄒ ᅡ ᆫ ᄀ ᅢ 1 2 3 10 42 2026 3rd x y z";

/// Pieces of random texts that a random choice of characters would hardly ever make.
const SNIPPETS: [&str; 48] = [
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "[UNK]",
    "[PAD]",
    "[SEP",
    "[[MASK]]",
    "##ing",
    "##",
    "#",
    "e\u{301}",
    "\u{1e0b}\u{323}",
    "ǖ",
    "ﬁ",
    "İ",
    "ı",
    "Σς",
    "ẞ",
    "ß",
    "Ǆ",
    "ǅ",
    "K",
    "Å",
    "\u{37e}",
    "\u{1fef}",
    "\u{2000}",
    "\u{200b}",
    "\u{200d}",
    "\u{feff}",
    "👩‍👩‍👧",
    "🇩🇪",
    "☃️",
    "\u{302e}\u{301}",
    "\u{1d15e}\u{1d16d}",
    "\u{1d160}\u{301}\u{327}",
    "\u{f73}\u{302e}\u{f71}",
    "\u{e000}",
    "\u{fffd}",
    "\0",
    "\u{85}",
    "\u{b}",
    "한글",
    "豈",
    "\u{2f81a}",
    "か\u{3099}",
    "ক\u{9cb}",
    "\u{1b44}\u{1b34}",
    "\u{301}\u{1e000}\u{327}\u{1e944}",
];

/// A vocabulary and what both tokenizers make of it.
struct Twins {
    vocabulary: Vocabulary,
    section: Vec<u8>,
    reference: Reference,
}

impl Twins {
    /// From the files of a folder.
    fn read(folder: &Path) -> Self {
        let vocabulary = Vocabulary::read(folder).unwrap();
        let mut reference = Reference::from_file(folder.join("tokenizer.json")).unwrap();
        // How long a text may be is not the tokenizer's business here.
        reference.with_padding(None).with_truncation(None).unwrap();
        Twins { section: vocabulary.section().unwrap(), vocabulary, reference }
    }

    /// With words of many scripts and with all their characters, under these options.
    fn random(rng: &mut Rng, options: Normalization) -> Self {
        let mut words: Vec<String> =
            ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"].into_iter().map(str::to_owned).collect();
        let all: String = WORDS.to_owned() + &SNIPPETS.concat();
        let lower = all.to_lowercase();
        for word in all.split_whitespace().chain(lower.split_whitespace()).chain(SNIPPETS) {
            words.push(word.to_owned());
            let chars: Vec<char> = word.chars().collect();
            for i in 0..chars.len() {
                let end = 1 + i + rng.below(chars.len() - i);
                let piece: String = chars[i..end].iter().collect();
                // Some characters are missing, so that words can be unknown.
                if !rng.one_in(10) {
                    words.push(if rng.one_in(2) { piece } else { format!("##{piece}") });
                }
            }
        }
        words.sort_by_key(|word| !word.starts_with('['));
        let mut seen = std::collections::HashSet::new();
        words.retain(|word| !word.trim().is_empty() && seen.insert(word.clone()));
        let vocab: serde_json::Map<String, serde_json::Value> =
            words.iter().enumerate().map(|(id, word)| (word.clone(), id.into())).collect();
        let added: Vec<_> = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
            .into_iter()
            .map(|token| {
                serde_json::json!({"id": vocab[token], "content": token, "single_word": false, "lstrip": false,
                    "rstrip": false, "normalized": false, "special": true})
            })
            .collect();
        let Normalization { clean, ideographs, strip_accents, lowercase } = options;
        let file = serde_json::json!({
            "version": "1.0", "truncation": null, "padding": null, "added_tokens": added,
            "normalizer": {"type": "BertNormalizer", "clean_text": clean, "handle_chinese_chars": ideographs,
                "strip_accents": strip_accents, "lowercase": lowercase},
            "pre_tokenizer": {"type": "BertPreTokenizer"},
            "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", vocab["[SEP]"]], "cls": ["[CLS]", vocab["[CLS]"]]},
            "decoder": null,
            "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                "max_input_chars_per_word": 100, "vocab": vocab},
        });
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("tokenizer.json"), file.to_string()).unwrap();
        Twins::read(folder.path())
    }

    /// Both on one text: the number of tokens, all of them equal.
    fn check(&self, tokenizer: &Tokenizer<'_>, text: &str) -> usize {
        let expected = self.reference.encode(text, true).unwrap();
        let room = expected.len() + 1;
        let (mut ids, mut spans) = (vec![0; room], vec![Span::default(); room]);
        let done = tokenizer.encode_spans(text, &mut ids, &mut spans);
        let found: Vec<(u32, (usize, usize))> =
            (0..done.len).map(|i| (ids[i].into(), (spans[i].start, spans[i].end))).collect();
        let expected: Vec<_> = expected.get_ids().iter().copied().zip(expected.get_offsets().iter().copied()).collect();
        assert!(found == expected && !done.truncated, "{text:?}\n{found:?}\n{expected:?}");
        done.len
    }

    fn check_all<'t>(&self, texts: impl IntoIterator<Item = &'t str>) -> (usize, usize) {
        let tokenizer = Tokenizer::parse(&self.section).unwrap();
        texts.into_iter().fold((0, 0), |(n, tokens), text| (n + 1, tokens + self.check(&tokenizer, text)))
    }
}

/// A text of words, characters of all planes, spaces, marks and snippets.
fn random_text(rng: &mut Rng, words: &[&str]) -> String {
    let mut text = String::new();
    for _ in 0..rng.below(24) {
        let any = |rng: &mut Rng, first: u32, last: u32| {
            char::from_u32(first + rng.below((last - first) as usize) as u32).unwrap_or('\u{fffd}')
        };
        match rng.below(16) {
            0..4 => text.push_str(rng.pick(words)),
            4 => text.push_str(&rng.pick(words).to_uppercase()),
            5..8 => text.push(' '),
            8 => text.push_str(rng.pick(&SNIPPETS)),
            9 => text.push(any(rng, 0, 0x80)),
            10 => text.push(any(rng, 0x80, 0x600)),
            11 => text.push(any(rng, 0x600, 0x3100)),
            12 => text.push(any(rng, 0x300, 0x370)),
            13 => text.push(any(rng, 0x3100, 0x1_0000)),
            14 => text.push(any(rng, 0x1_0000, 0x11_0000)),
            _ => {
                // Long words, and long runs of marks.
                let c = rng.pick(&['a', 'é', '\u{301}', '\u{302e}', '\u{1d165}', '中', '\u{200d}']);
                let most = if rng.one_in(4) { 120 } else { 6 };
                text.extend(std::iter::repeat_n(c, rng.below(most)));
            }
        }
    }
    text
}

fn options() -> impl Iterator<Item = Normalization> {
    (0..16u8).map(|bits| Normalization {
        clean: bits & 1 == 0,
        ideographs: bits & 2 == 0,
        strip_accents: bits & 4 == 0,
        lowercase: bits & 8 == 0,
    })
}

/// `count` random texts, half of them under the usual options of an uncased model.
fn fuzz(count: usize) {
    let words: Vec<&str> = WORDS.split_whitespace().collect();
    for (i, options) in options().enumerate() {
        let mut rng = Rng::new(i as u32);
        let twins = Twins::random(&mut rng, options);
        let tokenizer = Tokenizer::parse(&twins.section).unwrap();
        for _ in 0..if i == 0 { count / 2 } else { count / 30 } {
            twins.check(&tokenizer, &random_text(&mut rng, &words));
        }
    }
}

#[test]
fn random_texts_have_the_same_tokens() {
    fuzz(10_000);
}

#[test]
#[ignore = "takes minutes; run it when the tokenizer or its table changes"]
fn a_million_random_texts_have_the_same_tokens() {
    fuzz(1_000_000);
}

/// Each character alone, between letters, and before and behind marks.
#[test]
fn every_character_has_the_same_tokens() {
    for options in [Normalization::UNCASED, Normalization::CASED] {
        let twins = Twins::random(&mut Rng::new(77), options);
        let tokenizer = Tokenizer::parse(&twins.section).unwrap();
        for c in (0..0x11_0000).filter_map(char::from_u32) {
            // Of the private planes a few are enough.
            if (c as u32) < 0xf_0100 {
                twins.check(&tokenizer, &format!("{c} a{c}b x\u{301}{c}\u{302e}\u{323}"));
            }
        }
    }
}

#[test]
fn a_trimmed_vocabulary_keeps_the_tokens_of_its_corpus_and_knows_its_characters() {
    let words: Vec<&str> = WORDS.split_whitespace().collect();
    let mut rng = Rng::new(5);
    let twins = Twins::random(&mut rng, Normalization::UNCASED);
    let texts: Vec<String> = (0..300).map(|_| random_text(&mut rng, &words)).collect();
    let trimmed = twins.vocabulary.trim(texts.iter().map(String::as_str), None).unwrap();
    assert!(trimmed.vocabulary.size() < twins.vocabulary.size());
    let section = trimmed.vocabulary.section().unwrap();
    let (before, after) = (Tokenizer::parse(&twins.section).unwrap(), Tokenizer::parse(&section).unwrap());
    for text in &texts {
        let (mut old, mut new) = (vec![0; text.len() + 2], vec![0; text.len() + 2]);
        let (a, b) = (before.encode(text, &mut old), after.encode(text, &mut new));
        let back: Vec<u16> = new[..b.len].iter().map(|&id| trimmed.kept[usize::from(id)]).collect();
        assert_eq!(back, &old[..a.len], "{text:?}");
    }
}

/// The folder of a real BERT vocabulary, which `LIMBECK_TOKENIZER` names.
fn real_tokenizer() -> Option<PathBuf> {
    let folder = std::env::var_os("LIMBECK_TOKENIZER").map(PathBuf::from).filter(|folder| folder.is_dir());
    if folder.is_none() {
        skipped("set LIMBECK_TOKENIZER to a folder with tokenizer.json of a BERT model to run this test");
    }
    folder
}

/// All text files of the data.
fn corpora(folder: &Path) -> Vec<(String, String)> {
    let mut files = Vec::new();
    for set in ["sst2", "banking77", "clinc150", "snips", "trec", "ag_news"] {
        for entry in std::fs::read_dir(folder.join(set)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|ending| ending == "tsv") {
                files.push((path.display().to_string(), std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    files.sort();
    files
}

#[test]
fn every_line_of_the_real_corpora_has_the_same_tokens() {
    let Some(data) = data_folder() else { return };
    let mut twins: Vec<Twins> =
        [Normalization::UNCASED, Normalization::CASED].map(|options| Twins::random(&mut Rng::new(1), options)).into();
    if let Some(folder) = real_tokenizer() {
        twins.push(Twins::read(&folder));
    }
    for twins in twins {
        let (mut lines, mut tokens) = (0, 0);
        for (name, text) in corpora(&data) {
            let (n, m) = twins.check_all(text.lines());
            assert!(n > 0, "{name} is empty");
            (lines, tokens) = (lines + n, tokens + m);
        }
        println!("{} ids: {lines} lines, {tokens} tokens, all equal", twins.vocabulary.size());
        assert!(lines > 100_000);
    }
}

#[test]
fn random_texts_have_the_same_tokens_in_a_real_vocabulary() {
    let Some(folder) = real_tokenizer() else { return };
    let twins = Twins::read(&folder);
    let words: Vec<&str> = WORDS.split_whitespace().collect();
    let tokenizer = Tokenizer::parse(&twins.section).unwrap();
    let mut rng = Rng::new(9);
    for _ in 0..10_000 {
        twins.check(&tokenizer, &random_text(&mut rng, &words));
    }
}
