//! BERT-tiny with a small vocabulary and seeded random weights: it reads any text, and understands none.

use limbeck_runtime::Isa;
use limbeck_runtime::text::emit::{Words, section};
use limbeck_runtime::text::{Normalization, VocabularyRule};

use super::transformer::{Sizes, Transformer};

/// The first tokens, by id: padding, unknown, begin, end, mask.
const SPECIAL: [&str; 5] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];

/// Characters that words are made of, and those that are words.
const LETTERS: &str = "abcdefghijklmnopqrstuvwxyz0123456789";
const MARKS: &str = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";

/// Words, and beginnings of words.
const BEGIN: &str = "\
    about after again all also always an and any are as at back be because been before best big but by can come could day \
    did do down even ever every far few film find first for from funny get give go good great had has have he her here him \
    his how if in into is it its just know last life like little long look made make man many may me more most movie much \
    must my never new no not now of off old on one only or other our out over own part people play re real right same say see \
    she should show small so some story such take tell than that the their them then there they thing think this time to too \
    try two un under up us use very want was watch way we well were what when which while who why will with without work \
    world would year you your";

/// What continues words.
const CONTINUE: &str = "al able ed en er est ful ing ion ish ism ist ity ive ize less ly ment ness ous tion";

/// The names of the classes.
const LABELS: &str = "north\neast\nsouth\nwest";

/// The model file for kernels of `isa`.
pub(super) fn build(isa: Isa) -> super::Built {
    let (vocabulary, size) = vocabulary()?;
    let sizes = Sizes { layers: 2, width: 128, heads: 2, hidden: 512, vocabulary: size, length: 64, classes: 4 };
    let network = Transformer::random(sizes, isa.layout());
    let tests = super::self_tests(&network.file(LABELS, &vocabulary, &[])?)?;
    Ok(network.file(LABELS, &vocabulary, &tests)?)
}

/// The section of the vocabulary, and how many tokens it has.
fn vocabulary() -> Result<(Vec<u8>, usize), VocabularyRule> {
    let characters = |text: &'static str| text.split("").filter(|character| !character.is_empty());
    let begin = SPECIAL.into_iter().chain(characters(LETTERS)).chain(characters(MARKS)).chain(BEGIN.split(' '));
    let initial: Vec<_> = begin.zip(0..).collect();
    let more = characters(LETTERS).chain(CONTINUE.split(' '));
    let continuing: Vec<_> = more.zip(initial.len() as u16..).collect();
    let size = initial.len() + continuing.len();
    let added = [(SPECIAL[4], 4)];
    let words = Words {
        normalization: Normalization::UNCASED,
        size: size as u16,
        unknown: 1,
        begin: 2,
        end: 3,
        initial: &initial,
        continuing: &continuing,
        added: &added,
    };
    Ok((section(&words)?, size))
}
