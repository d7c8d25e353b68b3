//! Makes the tokenizer's table of characters anew from the crates that `tokenizers` asks, and compares it with the one in use.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use unicode_categories::UnicodeCategories;
use unicode_normalization_alignments::char::{canonical_combining_class, decompose_canonical};

/// Where the runtime's table lies; `runtime/src/text/unicode.rs` says what is in it.
const TABLE: &str = "../runtime/src/text/unicode.bin";

/// Blocks of 64 characters, and groups of 32 blocks.
const BLOCK: usize = 64;
const GROUP: usize = 32;

/// The first hangul syllable and how many there are: they are taken apart by arithmetic.
const SYLLABLES: std::ops::Range<u32> = 0xac00..0xac00 + 11172;

/// A value that is no character of its own but the number of a longer decomposition.
const LONG: u16 = 0xe000;

/// The classes, in the order of `Class` in the runtime.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Class {
    Letter,
    Control,
    Break,
    Space,
    Punctuation,
    Mark,
    Floating,
    Composed,
    ComposedUpper,
    ComposedPunctuation,
    Upper,
    Ideograph,
    ComposedIdeograph,
    Syllable,
}

/// The canonical decomposition; the character itself if there is none.
fn decomposed(c: char) -> Vec<char> {
    let mut chars = Vec::new();
    decompose_canonical(c, |c| chars.push(c));
    chars
}

/// The decomposition without the marks that stripping takes away.
fn stripped(c: char) -> Vec<char> {
    decomposed(c).into_iter().filter(|c| !c.is_mark_nonspacing()).collect()
}

fn is_ideograph(c: char) -> bool {
    // The ranges of the reference, with its gap at U+2B820.
    matches!(c as u32, 0x4e00..=0x9fff | 0x3400..=0x4dbf | 0x20000..=0x2a6df | 0x2a700..=0x2b73f | 0x2b740..=0x2b81f
        | 0x2b920..=0x2ceaf | 0xf900..=0xfaff | 0x2f800..=0x2fa1f)
}

fn class(c: char) -> Class {
    let control = c == '\0' || c == '\u{fffd}' || (c.is_other() && !matches!(c, '\t' | '\n' | '\r'));
    let punctuation = c.is_ascii_punctuation() || c.is_punctuation();
    let composed = decomposed(c) != [c];
    let upper = c.to_lowercase().next() != Some(c);
    let floating = canonical_combining_class(c) != 0;
    match (control, c.is_whitespace(), punctuation, c.is_mark_nonspacing(), composed, upper) {
        (true, false, false, false, false, false) => Class::Control,
        (true, true, false, false, false, false) => Class::Break,
        // Two spaces decompose into other spaces.
        (false, true, false, false, _, false) => Class::Space,
        (false, false, true, false, false, false) => Class::Punctuation,
        (false, false, true, false, true, false) => Class::ComposedPunctuation,
        (false, false, false, true, _, false) => Class::Mark,
        (false, false, false, false, true, true) => Class::ComposedUpper,
        (false, false, false, false, false, true) => Class::Upper,
        (false, false, false, false, true, false) if SYLLABLES.contains(&(c as u32)) => Class::Syllable,
        (false, false, false, false, true, false) if is_ideograph(c) => Class::ComposedIdeograph,
        (false, false, false, false, true, false) => Class::Composed,
        (false, false, false, false, false, false) if is_ideograph(c) => Class::Ideograph,
        (false, false, false, false, false, false) if floating => Class::Floating,
        (false, false, false, false, false, false) => Class::Letter,
        other => panic!("U+{:04X} is of no known class: {other:?}", c as u32),
    }
}

fn chars() -> impl Iterator<Item = char> {
    (0..0x11_0000).filter_map(char::from_u32)
}

/// Pieces of a table, each numbered where it is first seen.
struct Pieces(Vec<Vec<u8>>);

impl Pieces {
    fn number(&mut self, piece: &[u8]) -> u8 {
        let at = self.0.iter().position(|known| known == piece).unwrap_or_else(|| {
            self.0.push(piece.to_vec());
            self.0.len() - 1
        });
        u8::try_from(at).expect("more than 256 different pieces: change the sizes")
    }
}

/// The tree of classes: roots, groups, blocks.
fn classes() -> [Vec<u8>; 3] {
    let all: Vec<u8> = (0..0x11_0000).map(|c| char::from_u32(c).map_or(Class::Letter, class) as u8).collect();
    let (mut blocks, mut groups) = (Pieces(Vec::new()), Pieces(Vec::new()));
    let numbers: Vec<u8> = all
        .chunks(BLOCK)
        .map(|block| blocks.number(&block.chunks(2).map(|pair| pair[0] | pair[1] << 4).collect::<Vec<_>>()))
        .collect();
    let roots = numbers.chunks(GROUP).map(|group| groups.number(group)).collect();
    [roots, groups.0.concat(), blocks.0.concat()]
}

/// Decompositions without marks: runs of characters that follow each other, values, and the ones that need more than a value.
#[derive(Default)]
struct Decompositions {
    starts: Vec<u32>,
    firsts: Vec<u16>,
    values: Vec<u16>,
    long: Vec<u32>,
}

fn decompositions() -> Decompositions {
    let mut table = Decompositions::default();
    let mut next = None;
    let mut known = HashMap::new();
    for c in chars() {
        let wanted = [Class::Composed, Class::ComposedUpper, Class::ComposedPunctuation, Class::ComposedIdeograph];
        if !wanted.contains(&class(c)) {
            continue;
        }
        if next != Some(c as u32) {
            table.starts.push(c as u32);
            table.firsts.push(table.values.len() as u16);
        }
        next = Some(c as u32 + 1);
        let parts = stripped(c);
        let value = match parts[..] {
            [one] if (one as u32) < 0x1_0000 => one as u16,
            _ => *known.entry(parts.clone()).or_insert_with(|| {
                let mut three = [0; 3];
                three.iter_mut().zip(&parts).for_each(|(to, &part)| *to = part as u32);
                assert!((1..=3).contains(&parts.len()), "U+{:04X}", c as u32);
                table.long.extend(three);
                LONG + (table.long.len() / 3 - 1) as u16
            }),
        };
        table.values.push(value);
    }
    table.firsts.push(table.values.len() as u16);
    table
}

/// Runs of capitals: `first | count << 21 | (distance - 1) << 29`, and what is added to the lower 16 bits.
fn capitals() -> (Vec<u32>, Vec<u16>) {
    let capitals: BTreeMap<u32, u16> = chars()
        .filter(|&c| !c.is_ascii() && matches!(class(c), Class::Upper | Class::ComposedUpper))
        .map(|c| {
            let lower: Vec<char> = c.to_lowercase().collect();
            assert!(lower.len() == 1 || (c == 'İ' && lower == ['i', '\u{307}']), "{c} has a longer lower case");
            assert_eq!(c as u32 >> 16, lower[0] as u32 >> 16, "{c} has its lower case on another plane");
            let good = [Class::Letter, Class::Composed];
            assert!(good.contains(&class(lower[0])), "the lower case of {c} is no letter");
            (c as u32, (lower[0] as u32).wrapping_sub(c as u32) as u16)
        })
        .collect();
    let (mut runs, mut deltas): (Vec<u32>, Vec<u16>) = Default::default();
    let mut rest: Vec<(u32, u16)> = capitals.into_iter().collect();
    while let [(first, delta), ..] = rest[..] {
        // The longer of the two runs that begin here: each character, or each other one.
        let length =
            |distance: u32| (0..255).take_while(|&i| rest.contains(&(first + i * distance, delta))).count() as u32;
        let distance = if length(2) > length(1) { 2 } else { 1 };
        let count = length(distance);
        // A lookup finds the last run that begins at or before a character, so no run may begin within another.
        let last = first + (count - 1) * distance;
        let within = rest.iter().filter(|&&(c, d)| c < last && !((c - first).is_multiple_of(distance) && d == delta));
        let count = within.map(|&(c, _)| (c - first).div_ceil(distance)).min().unwrap_or(count);
        runs.push(first | count << 21 | (distance - 1) << 29);
        deltas.push(delta);
        rest.retain(|&(c, d)| !((c - first).is_multiple_of(distance) && (c - first) / distance < count && d == delta));
    }
    (runs, deltas)
}

/// Runs of characters that do not begin a group of combining ones: `first << 15 | (count - 1) << 8 | class`.
fn combining() -> Vec<u32> {
    let mut runs: Vec<u32> = Vec::new();
    for c in chars() {
        let class = u32::from(canonical_combining_class(decomposed(c)[0]));
        if class == 0 {
            continue;
        }
        if let Some(run) = runs.last_mut() {
            let (first, more, of) = (*run >> 15, *run >> 8 & 127, *run & 255);
            if of == class && first + more + 1 == c as u32 && more < 127 {
                *run += 1 << 8;
                continue;
            }
        }
        runs.push((c as u32) << 15 | class);
    }
    runs
}

/// The whole table: the lengths of its parts, then the parts.
fn table() -> Vec<u8> {
    let [roots, groups, blocks] = classes();
    let decompositions = decompositions();
    let (capitals, deltas) = capitals();
    let combining = combining();
    let u16s = |numbers: &[u16]| numbers.iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<u8>>();
    let u32s = |numbers: &[u32]| numbers.iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<u8>>();
    let lengths = [
        roots.len(),
        groups.len(),
        blocks.len(),
        decompositions.starts.len(),
        decompositions.firsts.len(),
        decompositions.values.len(),
        decompositions.long.len(),
        capitals.len(),
        deltas.len(),
        combining.len(),
    ];
    let parts = [
        u16s(&lengths.map(|n| n as u16)),
        roots,
        groups,
        blocks,
        u32s(&decompositions.starts),
        u16s(&decompositions.firsts),
        u16s(&decompositions.values),
        u32s(&decompositions.long),
        u32s(&capitals),
        u16s(&deltas),
        u32s(&combining),
    ];
    parts.concat()
}

#[test]
fn the_table_is_what_the_reference_crates_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(TABLE);
    let table = table();
    if std::env::var_os("LIMBECK_BLESS").is_some() {
        limbeck::artifact::write_whole(&path, &table).unwrap();
    }
    assert!(
        std::fs::read(&path).unwrap() == table,
        "{} is not what the crates of `tokenizers` and this compiler say: run this test with LIMBECK_BLESS=1, and look at \
         the models whose tokens change",
        path.display()
    );
}
