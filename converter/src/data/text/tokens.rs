//! Texts as token ids, made once before a training.

use super::Texts;
use crate::data::hex;
use sha2::{Digest, Sha256};

/// Makes token ids of texts.
pub trait Encode: Sync {
    /// Every id is below this number.
    fn vocabulary(&self) -> usize;

    /// The ids of a text, begin and end included, and whether there were more than `most`, which are cut off.
    fn encode(&self, text: &str, most: usize) -> (Vec<u16>, bool);
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
