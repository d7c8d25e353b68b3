//! `limbeck run`: what a model says of image files, or of texts.

use super::Failure;
use super::args::RunArgs;
use super::model::{labels, load};
use super::output::{Output, table};
use super::ui::Ui;
use crate::data::load_image;
use crate::families::Input;
use crate::verify::accuracy::{first_max, softmax};
use crate::verify::host::{self, HostError};
use crate::watch::Watch;
use limbeck_runtime::{Encoding, Kernels, Model, Session, Span, Tokenizer};
use serde_json::{Value, json};
use std::ffi::OsStr;
use std::path::Path;

/// `limbeck run`
pub(super) fn run(args: &RunArgs, output: &Output, ui: &Ui) -> Result<(), Failure> {
    let (bytes, kernels) = load(&args.model)?;
    let model = host::parse(&args.model.model, &bytes)?;
    let task = host::task(&model)?;
    let runner = Runner { model: &model, kernels, names: labels(&model, task.classes) };
    let mut said = Vec::new();
    for (number, input) in args.inputs.iter().enumerate() {
        if ui.stopped() {
            return Err(HostError::Interrupted.into());
        }
        said.push(match (task.input, model.tokenizer()) {
            (Input::Image(shape), _) => runner.image(Path::new(input), shape)?,
            (Input::Text { tokens, .. }, Some(tokenizer)) => {
                let text = text(input).map_err(|problem| format!("input {} {problem}", number + 1))?;
                runner.text(text, tokenizer, tokens)?
            }
            (Input::Text { .. }, None) => {
                return Err("the model takes tokens, but its file has no vocabulary to make them of text".into());
            }
        });
    }
    let value = json!({
        "model": args.model.model,
        "table": kernels.isa.name(),
        "results": said.iter().map(|said| &said.value).collect::<Vec<_>>(),
    });
    output.answer(&value, || {
        let mut tables: Vec<(&[&str], Vec<Vec<String>>)> = Vec::new();
        for Said { heading, rows, .. } in said {
            match tables.last_mut() {
                // Tokens have a table for each text.
                Some((last, all)) if *last == heading && heading != TOKENS => all.extend(rows),
                _ => tables.push((heading, rows)),
            }
        }
        tables.iter().map(|(heading, rows)| table(heading, rows)).collect::<Vec<_>>().join("\n")
    })
}

/// What a model says of one input, for programs and for people.
struct Said {
    value: Value,
    heading: &'static [&'static str],
    rows: Vec<Vec<String>>,
}

const IMAGE: &[&str] = &["image", "label", "probability", "digest"];
const TEXT: &[&str] = &["text", "label", "probability", "digest", "tokens"];
const TOKENS: &[&str] = &["bytes", "token", "label", "probability"];

/// The text of an argument, if there is one.
fn text(input: &OsStr) -> Result<&str, &'static str> {
    match input.to_str() {
        None => Err("is not UTF-8; the model takes texts"),
        Some(text) if text.trim().is_empty() => Err("is an empty text"),
        Some(text) => Ok(text),
    }
}

/// A model on a table, with the names of its classes.
struct Runner<'a> {
    model: &'a Model<'a>,
    kernels: &'static Kernels,
    names: Vec<String>,
}

impl Runner<'_> {
    fn image(&self, path: &Path, [height, width, channels]: [usize; 3]) -> Result<Said, Failure> {
        if channels != 3 {
            return Err(format!("the model takes images of {channels} channels; image files give 3").into());
        }
        let (pixels, _) = load_image(path, Some([height, width]))?;
        let (logits, digest) = logits(self.model, self.kernels, |session| {
            session.set_pixels(0, &pixels);
            Ok(())
        })?;
        let answer = Answer::new(&logits, digest);
        let row = [vec![path.display().to_string()], self.cells(&answer)].concat();
        Ok(Said { value: self.value(json!(path), &answer), heading: IMAGE, rows: vec![row] })
    }

    fn text(&self, text: &str, tokenizer: &Tokenizer<'_>, most: usize) -> Result<Said, Failure> {
        let (mut ids, mut spans) = (vec![0; most], vec![Span::default(); most]);
        let Encoding { len, truncated } = tokenizer.encode_spans(text, &mut ids, &mut spans);
        let (logits, digest) = logits(self.model, self.kernels, |session| Ok(session.set_tokens(&ids[..len])?))?;
        if self.model.output(0).is_some_and(|port| port.tensor.sequence) {
            let rows: Vec<(Span, Answer)> = spans[..len]
                .iter()
                .copied()
                .zip(logits.chunks_exact(self.names.len().max(1)).map(|row| Answer::new(row, digest)))
                .filter(|(span, _)| span.start < span.end)
                .collect();
            return Ok(self.tokens(text, &rows, json!({ "tokens": len, "truncated": truncated }), digest));
        }
        let answer = Answer::new(&logits, digest);
        let mut value = self.value(json!(text), &answer);
        (value["tokens"], value["truncated"]) = (json!(len), json!(truncated));
        let count = if truncated { format!("{len}, cut off") } else { len.to_string() };
        let row = [vec![shortened(text)], self.cells(&answer), vec![count]].concat();
        Ok(Said { value, heading: TEXT, rows: vec![row] })
    }

    /// What is said of each token but begin and end.
    fn tokens(&self, text: &str, found: &[(Span, Answer)], mut value: Value, digest: u64) -> Said {
        let piece = |span: &Span| text.get(span.start..span.end).unwrap_or_default();
        let object = |(span, answer): &(Span, Answer)| {
            json!({
                "start": span.start,
                "end": span.end,
                "text": piece(span),
                "label": self.names[answer.index],
                "index": answer.index,
                "probability": answer.probabilities[answer.index],
            })
        };
        value["input"] = json!(text);
        value["digest"] = json!(format!("{digest:016x}"));
        value["spans"] = found.iter().map(object).collect();
        let row = |(span, answer): &(Span, Answer)| {
            let cells = self.cells(answer);
            let bytes = format!("{}..{}", span.start, span.end);
            [vec![bytes, piece(span).to_owned()], cells[..2].to_vec()].concat()
        };
        Said { value, heading: TOKENS, rows: found.iter().map(row).collect() }
    }

    fn value(&self, input: Value, answer: &Answer) -> Value {
        json!({
            "input": input,
            "label": self.names[answer.index],
            "index": answer.index,
            "probabilities": answer.probabilities,
            "digest": format!("{:016x}", answer.digest),
        })
    }

    fn cells(&self, answer: &Answer) -> Vec<String> {
        let probability = format!("{:.1} %", 100.0 * answer.probabilities[answer.index]);
        vec![self.names[answer.index].clone(), probability, format!("{:016x}", answer.digest)]
    }
}

/// As much of a text as fits into a column.
pub(super) fn shortened(text: &str) -> String {
    const MOST: usize = 48;
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= MOST { line } else { line.chars().take(MOST - 2).chain("..".chars()).collect() }
}

/// What a classifier says of one input.
pub(super) struct Answer {
    pub(super) index: usize,
    pub(super) probabilities: Vec<f64>,
    /// Of the raw output; the same on every device.
    pub(super) digest: u64,
}

impl Answer {
    fn new(logits: &[f32], digest: u64) -> Self {
        Answer { index: first_max(logits), probabilities: softmax(logits), digest }
    }
}

/// Runs the example that `give` fills the input with.
pub(super) fn classify(
    model: &Model<'_>,
    kernels: &'static Kernels,
    give: impl FnOnce(&mut Session<'_, '_, '_>) -> Result<(), HostError>,
) -> Result<Answer, HostError> {
    let (logits, digest) = logits(model, kernels, give)?;
    Ok(Answer::new(&logits, digest))
}

/// The outputs as real numbers, and the digest of their bytes.
fn logits(
    model: &Model<'_>,
    kernels: &'static Kernels,
    give: impl FnOnce(&mut Session<'_, '_, '_>) -> Result<(), HostError>,
) -> Result<(Vec<f32>, u64), HostError> {
    host::with_session(model, kernels, |session| {
        give(session)?;
        session.run();
        Ok((host::logits(model, session.output(0)), session.digest()))
    })?
}
