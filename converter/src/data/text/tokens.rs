//! Texts as token ids, made once before a training.

use super::Texts;
use crate::data::hex;
use limbeck_runtime::text::Tokenizer;
use sha2::{Digest, Sha256};

/// Makes token ids of texts.
pub trait Encode: Sync {
    /// Every id is below this number.
    fn vocabulary(&self) -> usize;

    /// The ids of a text, begin and end included, and whether there were more than `most`, which are cut off.
    fn encode(&self, text: &str, most: usize) -> (Vec<u16>, bool);
}

impl Encode for Tokenizer<'_> {
    fn vocabulary(&self) -> usize {
        usize::from(self.size())
    }

    fn encode(&self, text: &str, most: usize) -> (Vec<u16>, bool) {
        let mut ids = vec![0; most];
        let found = Tokenizer::encode(self, text, &mut ids);
        ids.truncate(found.len);
        (ids, found.truncated)
    }
}

/// Labelled texts as token ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokenized {
    /// The ids of all texts, one after another.
    pub ids: Vec<u16>,
    /// Where the ids of each text begin, and behind them where those of the last end.
    pub begins: Vec<usize>,
    /// The class of each text.
    pub labels: Vec<u32>,
    /// The name of each class.
    pub classes: Vec<String>,
    /// How many texts were cut off.
    pub truncated: usize,
}

impl Tokenized {
    /// The ids of `texts`, at most `most` of each.
    pub fn new(texts: &Texts, encoder: &dyn Encode, most: usize) -> Self {
        let (mut ids, mut begins, mut truncated) = (Vec::new(), vec![0], 0);
        for text in &texts.texts {
            let (of_text, cut) = encoder.encode(text, most);
            ids.extend(of_text);
            begins.push(ids.len());
            truncated += usize::from(cut);
        }
        Tokenized { ids, begins, labels: texts.labels.clone(), classes: texts.classes.clone(), truncated }
    }

    /// Number of texts.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no text.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The ids of a text.
    pub fn text(&self, index: usize) -> &[u16] {
        &self.ids[self.begins[index]..self.begins[index + 1]]
    }

    /// Tokens of the longest text.
    pub fn longest(&self) -> usize {
        self.begins.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0)
    }

    /// The texts of these indices, in this order.
    pub fn subset(&self, indices: &[usize]) -> Self {
        let (mut ids, mut begins) = (Vec::new(), vec![0]);
        for &index in indices {
            ids.extend_from_slice(self.text(index));
            begins.push(ids.len());
        }
        let labels = indices.iter().map(|&index| self.labels[index]).collect();
        Tokenized { ids, begins, labels, classes: self.classes.clone(), truncated: self.truncated }
    }

    /// A hash of all ids and labels, in hex.
    pub fn hash(&self) -> String {
        let mut hasher = Sha256::new();
        for (index, label) in self.labels.iter().enumerate() {
            hasher.update((self.text(index).len() as u64).to_le_bytes());
            self.text(index).iter().for_each(|id| hasher.update(id.to_le_bytes()));
            hasher.update(label.to_le_bytes());
        }
        hex(&hasher.finalize())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Vocabulary;

    #[test]
    fn texts_are_cut_by_the_tokenizer_of_the_runtime() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("vocab.txt"), "[PAD]\n[UNK]\n[CLS]\n[SEP]\ngood\nbad\n##ly\n").unwrap();
        std::fs::write(folder.path().join("tokenizer_config.json"), r#"{"do_lower_case": true}"#).unwrap();
        let section = Vocabulary::read(folder.path()).unwrap().section().unwrap();
        let tokenizer = Tokenizer::parse(&section).unwrap();
        let texts = Texts {
            texts: vec!["Good badly".into(), "bad".into(), "good good good".into()],
            labels: vec![1, 0, 1],
            classes: vec!["no".into(), "yes".into()],
        };
        let data = Tokenized::new(&texts, &tokenizer, 5);
        assert_eq!(Encode::vocabulary(&tokenizer), 7);
        assert_eq!(
            (data.text(0), data.text(1), data.text(2)),
            (&[2, 4, 5, 6, 3][..], &[2, 5, 3][..], &[2, 4, 4, 4, 3][..])
        );
        assert_eq!((data.len(), data.truncated), (3, 0));
        let short = Tokenized::new(&texts, &tokenizer, 4);
        assert_eq!((short.text(0), short.text(2), short.truncated), (&[2, 4, 5, 3][..], &[2, 4, 4, 3][..], 2));
        assert_ne!(short.hash(), data.hash());
    }
}
