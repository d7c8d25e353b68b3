//! Learns a vocabulary from a corpus, for students that no teacher gives one.
//!
//! Words begin as characters; then the two neighbours that stand beside each other most often become one piece, again and again
//! (byte-pair encoding; Sennrich et al. 2016), which is how trainers of WordPiece vocabularies work today. Every character of the
//! corpus stays a piece of its own, as a beginning and as a continuation, so that a new word of known characters is never unknown.

use std::collections::{BTreeMap, BTreeSet};

use limbeck_runtime::text::{Normalization, words};

use super::{CONTINUES, Special, TextError, Vocabulary};

/// The tokens with a meaning, in the order of their ids, which is BERT's.
const SPECIAL: [&str; 5] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];

/// Neighbours that stand together less often than this are chance.
const RARE: i64 = 2;

/// The vocabulary of a corpus without capitals and accents, of `most` pieces at most.
///
/// # Errors
/// If the characters of the corpus and the tokens with a meaning alone are more than `most`.
pub fn learn<'t>(corpus: impl IntoIterator<Item = &'t str>, most: usize) -> Result<Vocabulary, TextError> {
    let normalization = Normalization::UNCASED;
    let mut counts: BTreeMap<String, i64> = BTreeMap::new();
    for text in corpus {
        for word in words(text, normalization) {
            *counts.entry(word).or_default() += 1;
        }
    }
    let characters: BTreeSet<char> = counts.keys().flat_map(|word| word.chars()).collect();
    let mut pieces: Vec<String> = SPECIAL.map(str::to_owned).to_vec();
    for &c in &characters {
        pieces.extend([c.to_string(), format!("{CONTINUES}{c}")]);
    }
    // The count of ids is a 16-bit number, too.
    let most = most.min(usize::from(u16::MAX) - 1);
    if pieces.len() > most {
        return Err(TextError::Limit { limit: most, needed: pieces.len() });
    }
    let mut cut = Cut::new(counts, &mut pieces);
    while pieces.len() < most
        && let Some(pair) = cut.best(&pieces)
    {
        let piece = joined(&pieces, pair);
        // The same text may come about in two ways.
        let id = pieces.iter().position(|other| *other == piece).unwrap_or(pieces.len());
        if id == pieces.len() {
            pieces.push(piece);
        }
        cut.join(pair, id);
    }
    let added = (0..).zip(SPECIAL).map(|(id, token)| (token.to_owned(), id)).collect();
    let special = Special { padding: Some(0), unknown: 1, begin: 2, end: 3, mask: Some(4) };
    Ok(Vocabulary { normalization, pieces: pieces.into_iter().map(Some).collect(), added, special })
}

/// Two neighbours, by their places among the pieces.
type Pair = (usize, usize);

/// The text of two pieces as one.
fn joined(pieces: &[String], (left, right): Pair) -> String {
    let right = &pieces[right];
    format!("{}{}", pieces[left], right.strip_prefix(CONTINUES).unwrap_or(right))
}

/// The words of a corpus, cut into the pieces that there are so far.
struct Cut {
    /// The pieces and the number of each word.
    words: Vec<(Vec<usize>, i64)>,
    /// How often neighbours stand together, and in which words.
    pairs: BTreeMap<Pair, (i64, BTreeSet<usize>)>,
}

impl Cut {
    /// Words as single characters.
    fn new(counts: BTreeMap<String, i64>, pieces: &mut [String]) -> Self {
        let ids: BTreeMap<&str, usize> = pieces.iter().enumerate().map(|(id, piece)| (piece.as_str(), id)).collect();
        let id = |(at, c): (usize, char)| {
            let text = if at == 0 { c.to_string() } else { format!("{CONTINUES}{c}") };
            ids.get(text.as_str()).copied()
        };
        let words = counts.into_iter().map(|(word, count)| (word.chars().enumerate().filter_map(id).collect(), count));
        let mut cut = Cut { words: words.collect(), pairs: BTreeMap::new() };
        for word in 0..cut.words.len() {
            cut.count(word, 1);
        }
        cut
    }

    /// Counts the neighbours of a word in, or out with a sign of -1.
    fn count(&mut self, word: usize, sign: i64) {
        let (pieces, count) = &self.words[word];
        for pair in pieces.windows(2) {
            let (sum, places) = self.pairs.entry((pair[0], pair[1])).or_default();
            *sum += sign * count;
            if sign > 0 {
                places.insert(word);
            }
        }
    }

    /// The neighbours that stand together most often; of equals those whose text comes first.
    fn best(&self, pieces: &[String]) -> Option<Pair> {
        let often = self.pairs.iter().filter(|(_, (count, _))| *count >= RARE);
        let rank =
            |(pair, (count, _)): &(&Pair, &(i64, BTreeSet<usize>))| (*count, std::cmp::Reverse(joined(pieces, **pair)));
        let most = often.clone().map(|(_, (count, _))| *count).max()?;
        often.filter(|(_, (count, _))| *count == most).max_by_key(rank).map(|(&pair, _)| pair)
    }

    /// Makes one piece of two neighbours wherever they stand.
    fn join(&mut self, pair: Pair, id: usize) {
        let Some((_, places)) = self.pairs.remove(&pair) else { return };
        for word in places {
            self.count(word, -1);
            let pieces = &mut self.words[word].0;
            let mut at = 0;
            while at + 1 < pieces.len() {
                if (pieces[at], pieces[at + 1]) == pair {
                    pieces[at] = id;
                    pieces.remove(at + 1);
                }
                at += 1;
            }
            self.count(word, 1);
        }
        self.pairs.remove(&pair);
        self.pairs.retain(|_, (count, _)| *count > 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use limbeck_runtime::text::Tokenizer;

    fn pieces(vocabulary: &Vocabulary, text: &str) -> Vec<String> {
        let section = vocabulary.section().unwrap();
        let mut ids = [0; 64];
        let len = Tokenizer::parse(&section).unwrap().encode(text, &mut ids).len;
        ids[1..len - 1].iter().map(|&id| vocabulary.piece(id).unwrap().to_owned()).collect()
    }

    #[test]
    fn frequent_words_become_pieces_and_new_words_are_made_of_them() {
        let corpus = ["Low, lower, lowest!", "low low new newer", "the newest"];
        let vocabulary = learn(corpus, 60).unwrap();
        assert_eq!(pieces(&vocabulary, "low NEW"), ["low", "new"]);
        assert_eq!(pieces(&vocabulary, "lowest"), ["low", "##est"]);
        // All characters are known, none of the word is.
        let new = pieces(&vocabulary, "others");
        assert!(new.len() > 1 && !new.contains(&"[UNK]".to_owned()), "{new:?}");
        assert_eq!(pieces(&vocabulary, "x"), ["[UNK]"]);
        assert_eq!(vocabulary, learn(corpus, 60).unwrap());
    }

    #[test]
    fn the_limit_holds_and_must_leave_room_for_characters() {
        let corpus = ["abcabc abcabc abd"];
        // Five tokens with a meaning, and a, b, c, d in both forms.
        for most in 13..20 {
            let vocabulary = learn(corpus, most).unwrap();
            assert!(vocabulary.size() <= most, "{most}: {}", vocabulary.size());
        }
        assert_eq!(learn(corpus, 14).unwrap().piece(13), Some("##bc"));
        assert!(matches!(learn(corpus, 12), Err(TextError::Limit { limit: 12, needed: 13 })));
    }

    #[test]
    fn what_stands_together_once_is_not_joined() {
        assert_eq!(learn(["abc"], 100).unwrap().size(), 5 + 6);
    }
}
