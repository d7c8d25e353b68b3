//! What the tensors of an encoder are called in the files of each architecture.

use super::config::{Architecture, Config};
use super::weights::Weights;
use crate::families::distilbert::Head;

/// Our name of the table of positions.
pub(super) const POSITIONS: &str = "embeddings.position_embeddings.weight";
/// The table of token types, which is folded into that of positions.
pub(super) const TYPES: &str = "embeddings.token_type_embeddings.weight";

/// DistilBERT's names of the parts of a layer, which are ours, and BERT's.
const PARTS: [(&str, &str); 8] = [
    (".attention.q_lin.", ".attention.self.query."),
    (".attention.k_lin.", ".attention.self.key."),
    (".attention.v_lin.", ".attention.self.value."),
    (".attention.out_lin.", ".attention.output.dense."),
    (".sa_layer_norm.", ".attention.output.LayerNorm."),
    (".ffn.lin1.", ".intermediate.dense."),
    (".ffn.lin2.", ".output.dense."),
    (".output_layer_norm.", ".output.LayerNorm."),
];

/// From our names to those of a file.
pub(super) struct Names {
    architecture: Architecture,
    /// In front of all names of the encoder, such as `bert.`; files of bare encoders have none.
    prefix: &'static str,
    /// Whether normalizations have `gamma` and `beta`, as in files made from TensorFlow's.
    greek: bool,
    /// Whether a linear layer stands in front of the classifier.
    dense: bool,
}

impl Names {
    pub(super) fn new(config: &Config, head: &Head, file: &Weights<'_>) -> Self {
        let architecture = config.architecture;
        let prefix = architecture.prefix();
        let has = |name: String| file.describe(&name).is_some();
        Names {
            architecture,
            prefix: if has(format!("{prefix}embeddings.word_embeddings.weight")) { prefix } else { "" },
            greek: file.names().iter().any(|name| name.ends_with("LayerNorm.gamma")),
            dense: matches!(head, Head::Classify { dense: Some(_), .. }),
        }
    }

    /// The file's name for ours.
    pub(super) fn of(&self, own: &str) -> String {
        if let Some(rest) = own.strip_prefix("pre_classifier.") {
            return match self.architecture {
                Architecture::Bert => format!("{}pooler.dense.{rest}", self.prefix),
                Architecture::DistilBert => own.to_owned(),
                Architecture::Electra | Architecture::Roberta => format!("classifier.dense.{rest}"),
            };
        }
        if let Some(rest) = own.strip_prefix("classifier.") {
            let behind_dense = matches!(self.architecture, Architecture::Electra | Architecture::Roberta) && self.dense;
            return if behind_dense { format!("classifier.out_proj.{rest}") } else { own.to_owned() };
        }
        let mut name = own.to_owned();
        if self.architecture != Architecture::DistilBert {
            name = name.replacen("transformer.layer.", "encoder.layer.", 1);
            for (ours, theirs) in PARTS {
                name = name.replacen(ours, theirs, 1);
            }
        }
        if self.greek {
            name = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta");
        }
        format!("{}{name}", self.prefix)
    }

    /// Whether a tensor of the file is one of those that decide what the encoder computes.
    pub(super) fn belongs_to_encoder(&self, name: &str) -> bool {
        let Some(own) = name.strip_prefix(self.prefix) else { return false };
        let folded = own == TYPES || own.ends_with("_ids");
        let encoder = ["embeddings.", "embeddings_project.", "encoder.", "transformer."];
        !folded && encoder.iter().any(|part| own.starts_with(part))
    }
}
