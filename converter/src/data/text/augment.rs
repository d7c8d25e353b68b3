//! Random changes of texts, word by word, for a teacher to answer to: the texts that a small student lacks.
//!
//! Words are masked, replaced, swapped and left out, and texts cut to a part, as in Tang et al. 2019. The changes are made on text
//! and not on tokens, so that teacher and student read the same words, each cut by its own tokenizer.

use super::Texts;
use crate::data::random::{Purpose, stream};
use rand::RngExt;
use serde::{Deserialize, Serialize};

/// What BERT's tokenizers take for a word that is not shown.
const MASK: &str = "[MASK]";

/// Which changes a text may undergo. Shares of words are those of the words that are left.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TextAugment {
    /// Share of the texts of which only some words in a row stay, half of them or more.
    pub crop: f32,
    /// Share of the texts that go on with such a part of another one.
    pub join: f32,
    /// Share of the words that are left out.
    pub drop: f32,
    /// Share of the words that change places with the next one.
    pub swap: f32,
    /// Share of the words in whose place another one stands, drawn from all words of all texts.
    pub replace: f32,
    /// Share of the words in whose place `[MASK]` stands.
    pub mask: f32,
}

impl Default for TextAugment {
    fn default() -> Self {
        TextAugment { crop: 0.25, join: 0.1, drop: 0.05, swap: 0.05, replace: 0.1, mask: 0.1 }
    }
}

impl TextAugment {
    /// What makes no sense, if anything.
    pub fn problem(&self) -> Option<String> {
        let TextAugment { crop, join, drop, swap, replace, mask } = *self;
        let shares =
            [("crop", crop), ("join", join), ("drop", drop), ("swap", swap), ("replace", replace), ("mask", mask)];
        let wrong = shares.into_iter().find(|(_, share)| !(0.0..=1.0).contains(share));
        wrong.map(|(name, share)| format!("`{name}` is {share}, but must be from 0 to 1"))
    }

    /// The texts themselves, and `count - 1` times the texts with changes. A view of a text depends on the texts, the seed and its
    /// number, not on how many views there are.
    pub fn views(&self, texts: &Texts, count: usize, seed: u64) -> Vec<Texts> {
        let words: Vec<&str> = texts.texts.iter().flat_map(|text| text.split_whitespace()).collect();
        let view = |view: usize| {
            let changed = |index: usize| {
                self.change(texts, &words, index, &mut stream(seed, Purpose::Words, view as u64, index as u64))
            };
            let all = if view == 0 { texts.texts.clone() } else { (0..texts.len()).map(changed).collect() };
            Texts { texts: all, labels: texts.labels.clone(), classes: texts.classes.clone() }
        };
        (0..count).map(view).collect()
    }

    /// A text with changes; one word or more.
    fn change<'t>(&self, texts: &'t Texts, all: &[&'t str], index: usize, rng: &mut impl RngExt) -> String {
        let chance = |rng: &mut _, share: f32| RngExt::random::<f32>(rng) < share;
        let mut words: Vec<&str> = texts.texts[index].split_whitespace().collect();
        if chance(rng, self.crop) {
            words = part(words, rng);
        }
        if chance(rng, self.join) {
            let other = &texts.texts[below(texts.len(), rng)];
            words.extend(part(other.split_whitespace().collect(), rng));
        }
        let kept: Vec<&str> = words.iter().copied().filter(|_| !chance(rng, self.drop)).collect();
        if !kept.is_empty() {
            words = kept;
        }
        for at in 1..words.len() {
            if chance(rng, self.swap) {
                words.swap(at - 1, at);
            }
        }
        for word in &mut words {
            if chance(rng, self.replace) {
                *word = all[below(all.len(), rng)];
            } else if chance(rng, self.mask) {
                *word = MASK;
            }
        }
        words.join(" ")
    }
}

/// Some words in a row, half of them or more.
fn part<'t>(words: Vec<&'t str>, rng: &mut impl RngExt) -> Vec<&'t str> {
    let len = words.len() - below(words.len() / 2 + 1, rng);
    let first = below(words.len() - len + 1, rng);
    words[first..first + len].to_vec()
}

/// A number below `count`, or 0.
fn below(count: usize, rng: &mut impl RngExt) -> usize {
    rng.random_range(0..count.max(1) as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: TextAugment = TextAugment { crop: 0.0, join: 0.0, drop: 0.0, swap: 0.0, replace: 0.0, mask: 0.0 };

    fn texts() -> Texts {
        let texts =
            (0..200).map(|i| (0..1 + i % 12).map(|w| format!("w{i}x{w}")).collect::<Vec<_>>().join("  ")).collect();
        Texts { texts, labels: vec![0; 200], classes: vec!["a".into()] }
    }

    /// The words of each text before and after.
    fn changed(augment: TextAugment) -> Vec<[Vec<String>; 2]> {
        let texts = texts();
        let views = augment.views(&texts, 2, 1);
        assert_eq!((views[0] == texts, views[1].len()), (true, texts.len()));
        let words = |text: &String| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        texts.texts.iter().zip(&views[1].texts).map(|(a, b)| [words(a), words(b)]).collect()
    }

    #[test]
    fn views_repeat_and_differ() {
        let (texts, augment) = (texts(), TextAugment::default());
        let views = augment.views(&texts, 4, 1);
        assert_eq!(views[..3], augment.views(&texts, 3, 1)[..]);
        assert!(views[1] != views[2] && views[1] != augment.views(&texts, 2, 2)[1]);
        assert!(views.iter().flat_map(|view| &view.texts).all(|text| !text.trim().is_empty()));
        assert!(NONE.views(&texts, 2, 1)[1].texts.iter().zip(&texts.texts).all(|(a, b)| *a == b.replace("  ", " ")));
    }

    #[test]
    fn each_change_does_what_it_says() {
        for [before, after] in changed(TextAugment { crop: 1.0, ..NONE }) {
            assert!(after.len() * 2 >= before.len() && before.windows(after.len()).any(|part| part == after));
        }
        for [before, after] in changed(TextAugment { join: 1.0, ..NONE }) {
            assert!(after.len() > before.len() && after.starts_with(&before));
        }
        for [before, mut after] in changed(TextAugment { swap: 0.5, ..NONE }) {
            after.sort();
            let mut sorted = before;
            sorted.sort();
            assert_eq!(after, sorted);
        }
        for [_, after] in changed(TextAugment { drop: 1.0, ..NONE }) {
            assert!(!after.is_empty(), "a text of nothing is none");
        }
        for [before, after] in changed(TextAugment { replace: 1.0, ..NONE }) {
            assert!(after.len() == before.len() && after.iter().all(|word| word.starts_with('w')));
        }
    }

    #[test]
    fn shares_are_kept() {
        let share = |augment, count: fn(&[Vec<String>; 2]) -> usize| {
            let pairs = changed(augment);
            let words: usize = pairs.iter().map(|[before, _]| before.len()).sum();
            pairs.iter().map(count).sum::<usize>() as f32 / words as f32
        };
        let masked = share(TextAugment { mask: 0.2, ..NONE }, |[_, after]| after.iter().filter(|w| *w == MASK).count());
        let dropped = share(TextAugment { drop: 0.2, ..NONE }, |[before, after]| before.len() - after.len());
        assert!((0.16..0.24).contains(&masked) && (0.14..0.24).contains(&dropped), "{masked} {dropped}");
        assert!(TextAugment { mask: 1.5, ..NONE }.problem().unwrap().contains("`mask` is 1.5"));
        assert_eq!(TextAugment::default().problem(), None);
    }
}
