//! `config.json`: which encoder a directory holds, and of what size.

use super::{HfError, Import};
use crate::families::distilbert::{DistilBert, Head};
use crate::graph::{Pick, Unary};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Larger networks are refused before anything is allocated for them.
const MOST_PARAMS: usize = 1 << 30;

/// Kinds of encoders that differ in names and heads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Architecture {
    /// BERT, and all that only trained it otherwise: MiniLM, TinyBERT.
    Bert,
    DistilBert,
    Electra,
    Roberta,
}

impl Architecture {
    /// What begins the names of an encoder with a head.
    pub(super) fn prefix(self) -> &'static str {
        match self {
            Architecture::Bert => "bert.",
            Architecture::DistilBert => "distilbert.",
            Architecture::Electra => "electra.",
            Architecture::Roberta => "roberta.",
        }
    }

    /// What is behind the linear layer in front of the classifier of texts.
    fn dense(self) -> Unary {
        match self {
            Architecture::Bert | Architecture::Roberta => Unary::Tanh,
            Architecture::DistilBert => Unary::Relu,
            Architecture::Electra => Unary::Gelu,
        }
    }
}

/// A `config.json` that was understood.
pub(super) struct Config {
    /// The file, for messages.
    pub(super) file: PathBuf,
    folder: PathBuf,
    json: Value,
    pub(super) architecture: Architecture,
    /// Rows of the table of positions.
    pub(super) positions: usize,
    /// The row of the first token.
    pub(super) first_position: usize,
    /// Rows of the table of token types, if there is one.
    pub(super) types: Option<usize>,
}

impl Config {
    /// The file as it is, nothing of it understood yet; `None` if there is none.
    pub(super) fn read(folder: &Path) -> Result<Option<Self>, HfError> {
        let file = folder.join("config.json");
        if !file.is_file() {
            return Ok(None);
        }
        let json = json(&file)?;
        Ok(Some(Config {
            file,
            folder: folder.to_owned(),
            json,
            architecture: Architecture::Bert,
            positions: 0,
            first_position: 0,
            types: None,
        }))
    }

    pub(super) fn load(folder: &Path) -> Result<Self, HfError> {
        let missing = || HfError::Missing { folder: folder.to_owned(), file: "config.json" };
        let mut config = Config::read(folder)?.ok_or_else(missing)?;
        config.architecture = match config.text("model_type") {
            // The first BERTs did not say.
            Some("bert") | None => Architecture::Bert,
            Some("distilbert") => Architecture::DistilBert,
            Some("electra") => Architecture::Electra,
            Some("roberta" | "xlm-roberta" | "camembert") => Architecture::Roberta,
            Some(other) => {
                let known = "bert, distilbert, electra, roberta, xlm-roberta and camembert are read";
                return Err(config.wrong("model_type", format!("is \"{other}\"; {known}")));
            }
        };
        config.refuse_others()?;
        config.positions = config.number("max_position_embeddings")?;
        if config.architecture == Architecture::Roberta {
            // Positions are counted from behind the number of the padding token.
            config.first_position = config.number_or("pad_token_id", 1)? + 1;
        }
        if config.architecture != Architecture::DistilBert {
            config.types = Some(config.number_or("type_vocab_size", 2)?).filter(|&types| types > 0);
        }
        Ok(config)
    }

    /// Refuses variants that would compute something else.
    fn refuse_others(&self) -> Result<(), HfError> {
        let kind = self.text("position_embedding_type").unwrap_or("absolute");
        if kind != "absolute" {
            return Err(self.wrong("position_embedding_type", format!("is \"{kind}\"; only \"absolute\" is read")));
        }
        for field in ["is_decoder", "add_cross_attention"] {
            if self.json.get(field) == Some(&Value::Bool(true)) {
                return Err(self.wrong(field, "is true; only encoders are read".to_owned()));
            }
        }
        Ok(())
    }

    /// The network that the file describes.
    pub(super) fn network(&self, wanted: &Import) -> Result<DistilBert, HfError> {
        let distil = self.architecture == Architecture::DistilBert;
        let of = |usual: &'static str, short: &'static str| self.size(if distil { short } else { usual });
        let width = of("hidden_size", "dim")?;
        let available = self.positions.saturating_sub(self.first_position);
        let tokens = wanted.tokens.unwrap_or(available);
        if tokens == 0 || tokens > available {
            let problem = format!("leaves room for {available} tokens, but {tokens} are asked for");
            return Err(self.wrong("max_position_embeddings", problem));
        }
        let table = match self.architecture {
            Architecture::Electra => self.number_or("embedding_size", width)?.max(1),
            _ => width,
        };
        let net = DistilBert {
            vocabulary: self.size("vocab_size")?,
            tokens,
            width,
            layers: of("num_hidden_layers", "n_layers")?,
            heads: of("num_attention_heads", "n_heads")?,
            ffn: of("intermediate_size", "hidden_dim")?,
            embedding: Some(table).filter(|&table| table != width),
            activation: self.activation(if distil { "activation" } else { "hidden_act" })?,
            eps: self.eps()?,
            head: match wanted.head {
                Some(head) => head,
                None => self.head()?,
            },
        };
        let layer = (4 * net.width).saturating_add(2 * net.ffn).saturating_mul(net.width);
        let tables = net.vocabulary.saturating_add(self.positions).saturating_mul(table.max(width));
        if net.layers.saturating_mul(layer).saturating_add(tables) > MOST_PARAMS {
            return Err(self.wrong("vocab_size", "and the other sizes make more than a billion parameters".to_owned()));
        }
        Ok(net)
    }

    fn activation(&self, field: &str) -> Result<Unary, HfError> {
        match self.text(field).unwrap_or("gelu") {
            "gelu" | "gelu_python" => Ok(Unary::Gelu),
            "gelu_new" | "gelu_pytorch_tanh" | "gelu_fast" => Ok(Unary::GeluTanh),
            "relu" => Ok(Unary::Relu),
            "tanh" => Ok(Unary::Tanh),
            other => Err(self.wrong(field, format!("is \"{other}\"; gelu, gelu_new, relu and tanh are read"))),
        }
    }

    fn eps(&self) -> Result<f32, HfError> {
        match self.json.get("layer_norm_eps") {
            None => Ok(1e-12),
            Some(value) => match value.as_f64() {
                Some(eps) if (0.0..1.0).contains(&eps) => Ok(eps as f32),
                _ => Err(self.wrong("layer_norm_eps", format!("is {value}; it is a small number such as 1e-12"))),
            },
        }
    }

    /// The head that the directory says.
    fn head(&self) -> Result<Head, HfError> {
        let architectures = self.json.get("architectures").and_then(Value::as_array);
        let name = architectures.and_then(|all| all.first()).and_then(Value::as_str).unwrap_or("");
        if name.ends_with("ForSequenceClassification") {
            let dense = Some(self.architecture.dense());
            return Ok(Head::Classify { classes: self.labels()?.len(), pick: Pick::First, dense });
        }
        if name.ends_with("ForTokenClassification") {
            return Ok(Head::Tokens { classes: self.labels()?.len() });
        }
        let encoder = ["", "Model", "ForMaskedLM", "ForPreTraining"];
        if encoder.iter().any(|end| name.ends_with(end) && (!end.is_empty() || name.is_empty())) {
            return self.pooling();
        }
        let known = "heads for sequence classification and token classification are read, and encoders without one";
        Err(self.wrong("architectures", format!("says \"{name}\"; {known}")))
    }

    /// How sentence-transformers makes one vector of a text: the mean of length 1 where nothing else is said.
    fn pooling(&self) -> Result<Head, HfError> {
        let modules = self.folder.join("modules.json");
        if !modules.is_file() {
            return Ok(Head::Embed { pick: Pick::Mean, normalize: true });
        }
        let modules = json(&modules)?;
        let types = modules.as_array().into_iter().flatten().filter_map(|module| module.get("type")?.as_str());
        let normalize = types.clone().any(|kind| kind.ends_with("Normalize"));
        if types.clone().any(|kind| kind.ends_with("Dense")) {
            let problem = "has a Dense module, which is not read; use the encoder alone".to_owned();
            return Err(HfError::Field { file: self.folder.join("modules.json"), field: "type".to_owned(), problem });
        }
        let file = self.folder.join("1_Pooling").join("config.json");
        let pooling = if file.is_file() { json(&file)? } else { Value::Null };
        let says = |field: &str| pooling.get(field) == Some(&Value::Bool(true));
        for field in ["pooling_mode_max_tokens", "pooling_mode_mean_sqrt_len_tokens", "pooling_mode_lasttoken"] {
            if says(field) {
                let problem = "is true; the first token and the mean of all are read".to_owned();
                return Err(HfError::Field { file, field: field.to_owned(), problem });
            }
        }
        let pick = if says("pooling_mode_cls_token") { Pick::First } else { Pick::Mean };
        Ok(Head::Embed { pick, normalize })
    }

    /// Whether the classes have names.
    pub(super) fn names_classes(&self) -> bool {
        self.json.get("id2label").is_some_and(Value::is_object)
    }

    /// The names of the classes, or `LABEL_0` and so on where they have none.
    pub(super) fn labels(&self) -> Result<Vec<String>, HfError> {
        let Some(names) = self.json.get("id2label").and_then(Value::as_object) else {
            let count = self.number_or("num_labels", 2)?;
            return Ok((0..count).map(|class| format!("LABEL_{class}")).collect());
        };
        let name = |class: usize| names.get(&class.to_string()).and_then(Value::as_str).map(str::to_owned);
        let problem = || "must name the classes \"0\", \"1\", .. without a gap".to_owned();
        (0..names.len()).map(|class| name(class).ok_or_else(|| self.wrong("id2label", problem()))).collect()
    }

    fn text(&self, field: &str) -> Option<&str> {
        self.json.get(field).and_then(Value::as_str)
    }

    fn size(&self, field: &str) -> Result<usize, HfError> {
        match self.number(field)? {
            0 => Err(self.wrong(field, "is 0".to_owned())),
            size => Ok(size),
        }
    }

    fn number(&self, field: &str) -> Result<usize, HfError> {
        let Some(value) = self.json.get(field) else {
            return Err(self.wrong(field, "is missing".to_owned()));
        };
        // Larger networks do not fit a computer, and their sizes might not fit a `usize`.
        let number = value.as_u64().filter(|&n| n < 1 << 24).and_then(|n| usize::try_from(n).ok());
        number.ok_or_else(|| self.wrong(field, format!("is {value}; it is a number of things below 16 million")))
    }

    fn number_or(&self, field: &str, usual: usize) -> Result<usize, HfError> {
        if self.json.get(field).is_some_and(|value| !value.is_null()) { self.number(field) } else { Ok(usual) }
    }

    fn wrong(&self, field: &str, problem: String) -> HfError {
        HfError::Field { file: self.file.clone(), field: field.to_owned(), problem }
    }
}

fn json(path: &Path) -> Result<Value, HfError> {
    let text = std::fs::read_to_string(path).map_err(|source| HfError::Read { path: path.to_owned(), source })?;
    serde_json::from_str(&text).map_err(|source| HfError::Json { path: path.to_owned(), source })
}
