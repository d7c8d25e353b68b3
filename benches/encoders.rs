//! Encoders of texts with random weights, by the names and sizes of the literature.

// The firmware holds one of these, too.
#[path = "../firmware/model/transformer.rs"]
mod transformer;

use limbeck_runtime::{AlignedBytes, Isa};
use transformer::{Sizes, Transformer};

/// The names that [`named`] knows; `peers/encoder.py` makes ONNX files of the same sizes.
pub const NAMES: [&str; 3] = ["bert-tiny", "minilm", "distilbert"];

/// An encoder without its weights.
#[derive(Clone, Copy, Debug)]
pub struct Encoder {
    sizes: Sizes,
    /// Tokens of the texts that it is measured with.
    pub tokens: usize,
}

/// BERT-tiny (2 layers of 128 channels) on 32 tokens, MiniLM-L6 (6 of 384) or DistilBERT-base (6 of 768) on 128; behind an `@` may stand
/// another number of tokens.
pub fn named(name: &str) -> Option<Encoder> {
    let (name, tokens) = name.split_once('@').map_or((name, None), |(name, tokens)| (name, Some(tokens)));
    let sizes = Sizes { layers: 2, width: 128, heads: 2, hidden: 512, vocabulary: 8192, length: 128, classes: 2 };
    let base = Sizes { layers: 6, heads: 12, vocabulary: 30522, length: 512, ..sizes };
    let (sizes, usual) = match name {
        "bert-tiny" => (sizes, 32),
        "minilm" => (Sizes { width: 384, hidden: 1536, ..base }, 128),
        "distilbert" => (Sizes { width: 768, hidden: 3072, ..base }, 128),
        _ => return None,
    };
    let tokens = tokens.map_or(Some(usual), |tokens| tokens.parse().ok())?;
    (1..=sizes.length).contains(&tokens).then_some(Encoder { sizes, tokens })
}

impl Encoder {
    /// A model file with random weights, for every table that shares the layout of `isa`.
    ///
    /// # Panics
    /// If the sizes make no model.
    pub fn random(&self, isa: Isa) -> AlignedBytes {
        let network = Transformer::random(self.sizes, isa.layout());
        network.file("", &[], &[]).expect("a model that follows the rules")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use limbeck_runtime::{Kernels, Model, Rng, Session, arena_bytes};

    #[test]
    fn all_tables_agree_on_an_encoder() {
        let encoder = named("bert-tiny").unwrap();
        let digest = |table: &'static Kernels| {
            let file = encoder.random(table.isa);
            let model = Model::parse(&file).unwrap();
            let mut arena = AlignedBytes::zeroed(arena_bytes(&model, table.isa));
            let mut session = Session::with_kernels(&model, &mut arena, table).unwrap();
            let mut rng = Rng::new(3);
            let tokens: Vec<u16> = (0..encoder.tokens).map(|_| rng.below(8192) as u16).collect();
            session.set_tokens(&tokens).unwrap();
            session.run();
            session.digest()
        };
        let digests: Vec<u64> = Kernels::all().map(digest).collect();
        assert!(digests.iter().all(|digest| *digest == digests[0]), "{digests:x?}");
        assert!(NAMES.iter().all(|name| named(name).is_some()));
        assert_eq!(named("minilm@17").map(|encoder| encoder.tokens), Some(17));
        assert!(["bert", "bert-tiny@0", "bert-tiny@129", "bert-tiny@x"].iter().all(|name| named(name).is_none()));
    }
}
