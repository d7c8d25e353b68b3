//! What texts without labels teach: a student guesses words that are hidden from it (Devlin et al. 2018), and is drawn to a teacher
//! that reads the same.

use super::beside::{Beside, Guide, last_state, vocabulary};
use super::settings::DistillSettings;
use crate::data::hex;
use crate::data::random::{Purpose, stream};
use crate::data::text::Tokenized;
use crate::graph::{Graph, Op, Source, Tensor, Unary, ValueId};
use crate::text::Special;
use crate::train::exec::ExecError;
use crate::train::{self, Batch, Control, Examples, Objective, Sums, Target, TrainError, TrainSettings, Trained};
use rand::RngExt;
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// Share of the tokens that are to be guessed.
const HIDDEN: f32 = 0.15;
/// Of these, share in whose place the mask stands, and share in whose place it or any token stands; the others stay.
const MASKED: f32 = 0.8;
const CHANGED: f32 = 0.9;

/// Trains the encoder of `student` on the texts of `data`, whose labels do not count: of 15 % of the tokens, most of them hidden
/// by `special.mask`, it guesses which ones they are, by the table that it looks tokens up in. With a teacher `beside` it, it is
/// drawn to what that one makes of the texts with the same tokens hidden, as far as `how` asks for it.
///
/// The head stays as it is. What [`Trained::history`] calls accuracy is the share of texts whose hidden tokens are all guessed.
///
/// # Errors
/// If the vocabulary has no token that hides others, `student` is no encoder, or the training fails or is interrupted.
pub fn pretrain(
    student: &Graph,
    data: &Tokenized,
    special: Special,
    beside: Option<Beside<'_>>,
    settings: &TrainSettings,
    how: &DistillSettings,
    control: &Control<'_>,
) -> Result<Trained, TrainError> {
    if let Some(problem) = how.problem() {
        return Err(TrainError::Settings(problem));
    }
    let Some(mask) = special.mask else {
        let problem = "the vocabulary has no token that hides others ([MASK]); train on labels alone".to_owned();
        return Err(TrainError::Settings(problem));
    };
    let tokens = vocabulary(student);
    if data.ids.iter().any(|&id| usize::from(id) >= tokens) {
        let problem = format!("`{}` looks up {tokens} tokens, and the texts have others", student.name);
        return Err(TrainError::Settings(problem));
    }
    let mut graph = with_guesses(student, settings.seed)?;
    let guide = match beside {
        Some(beside) => Guide::new(&mut graph, beside, how, settings.seed, control.threads)?,
        None => None,
    };
    let frame = [special.begin, special.end];
    let hiding = Hiding { data, mask, frame, tokens: tokens as u64, seed: settings.seed };
    let mut guessing = Guessing { hiding: &hiding, guide };
    let trained = train::fit_to(&graph, &hiding, None, &mut guessing, settings, control)?;
    let mut graph = student.clone();
    let ids: Vec<ValueId> = graph.params().map(|(id, _)| id).collect();
    for id in ids {
        let own = trained.graph.find(&graph.value(id).name).and_then(|id| trained.graph.param(id)).map(Arc::clone);
        if let Some(tensor) = own {
            graph.value_mut(id).source = Source::Param(tensor);
        }
    }
    Ok(Trained { graph, history: trained.history })
}

/// The student with guesses instead of a head: a linear layer, GELU and a normalization, then products with the rows of the table
/// of tokens, and a bias for each, as in BERT.
fn with_guesses(student: &Graph, seed: u64) -> Result<Graph, TrainError> {
    let mut graph = student.clone();
    let table = graph.nodes.iter().find(|node| node.op == Op::Embedding).map(|node| node.inputs[1]);
    let Some((state, table)) = last_state(&graph).zip(table) else {
        return Err(TrainError::Settings(format!("`{}` is no encoder of texts", student.name)));
    };
    let &[tokens, width] = graph.shape(table) else { return Err(TrainError::NoExamples) };
    let own = graph.shape(state).last().copied().unwrap_or(0);
    let mut rng = stream(seed, Purpose::Weights, graph.values.len() as u64, 1);
    let bound = 1.0 / (own.max(1) as f32).sqrt();
    let weight = (0..width * own).map(|_| bound * (2.0 * rng.random::<f32>() - 1.0)).collect();
    let weight = graph.add_param("guess.dense.weight", Tensor::new([width, own], weight));
    let bias = graph.add_param("guess.dense.bias", Tensor::zeros([width]));
    let gamma = graph.add_param("guess.LayerNorm.weight", Tensor::full([width], 1.0));
    let beta = graph.add_param("guess.LayerNorm.bias", Tensor::zeros([width]));
    let of_token = graph.add_param("guess.bias", Tensor::zeros([tokens]));
    let add =
        |graph: &mut Graph, name: &str, op, inputs: &[ValueId]| graph.add(name, op, inputs).map_err(ExecError::from);
    let x = add(&mut graph, "guess.dense", Op::Linear, &[state, weight, bias])?;
    let x = add(&mut graph, "guess.activation", Op::Unary(Unary::Gelu), &[x])?;
    let x = add(&mut graph, "guess.LayerNorm", Op::LayerNorm { eps: 1e-12 }, &[x, gamma, beta])?;
    graph.outputs = vec![add(&mut graph, "guess", Op::Linear, &[x, table, of_token])?];
    graph.remove_dead();
    Ok(graph)
}

/// Texts with tokens hidden, other ones in each epoch.
struct Hiding<'a> {
    data: &'a Tokenized,
    mask: u16,
    /// Begin and end, which are never hidden.
    frame: [u16; 2],
    tokens: u64,
    seed: u64,
}

impl Hiding<'_> {
    /// The tokens of a text that are to be guessed, each with what stands in its place; one at least, if there is one.
    fn hidden(&self, epoch: usize, text: usize) -> Vec<(usize, u16)> {
        let mut rng = stream(self.seed, Purpose::Words, !(epoch as u64), text as u64);
        let ids = self.data.text(text);
        let open: Vec<usize> = (0..ids.len()).filter(|&at| !self.frame.contains(&ids[at])).collect();
        if open.is_empty() {
            return Vec::new();
        }
        let sure = open[rng.random_range(0..open.len() as u64) as usize];
        let mut hidden = Vec::new();
        for at in open {
            let [chosen, how] = rng.random::<[f32; 2]>();
            let other = rng.random_range(0..self.tokens.max(1)) as u16;
            if chosen < HIDDEN || at == sure {
                hidden.push((
                    at,
                    if how < MASKED {
                        self.mask
                    } else if how < CHANGED {
                        other
                    } else {
                        ids[at]
                    },
                ));
            }
        }
        hidden
    }
}

impl Examples for Hiding<'_> {
    fn len(&self) -> usize {
        self.data.len()
    }

    fn draw(&self, epoch: usize, index: usize, input: &mut [f32]) -> Target<'_> {
        input.fill(-1.0);
        input.iter_mut().zip(self.data.text(index)).for_each(|(value, &id)| *value = f32::from(id));
        for (at, id) in self.hidden(epoch, index) {
            input[at] = f32::from(id);
        }
        Target::default()
    }

    fn hash(&self) -> String {
        let Hiding { mask, frame, tokens, seed, .. } = self;
        hex(&Sha256::digest(format!("{} {mask} {frame:?} {tokens} {seed}", self.data.hash())))
    }
}

/// The cross entropy of guesses, and the distance from a teacher if there is one.
struct Guessing<'a> {
    hiding: &'a Hiding<'a>,
    guide: Option<Guide<'a>>,
}

impl Objective for Guessing<'_> {
    fn judge(&mut self, batch: Batch<'_>, outputs: &[Vec<f32>], grads: &mut [Vec<f32>]) -> Result<Sums, TrainError> {
        let (texts, tokens) = (batch.indices.len(), self.hiding.tokens as usize);
        let hidden: Vec<_> = batch.indices.iter().map(|&text| self.hiding.hidden(batch.epoch, text)).collect();
        let share = 1.0 / hidden.iter().map(Vec::len).sum::<usize>().max(1) as f32;
        let mut sums = Sums::default();
        for (text, (hidden, &index)) in hidden.iter().zip(batch.indices).enumerate() {
            let mut all = true;
            for &(at, _) in hidden {
                let start = text * (outputs[0].len() / texts) + at * tokens;
                let (row, grad) = (&outputs[0][start..start + tokens], &mut grads[0][start..start + tokens]);
                let wanted = usize::from(self.hiding.data.text(index)[at]);
                let (loss, right) = guess(row, wanted, share, grad);
                sums.loss += loss;
                all &= right;
            }
            sums.correct += usize::from(all);
        }
        sums.loss *= texts as f64;
        if let Some(guide) = &mut self.guide {
            sums.loss += guide.judge(batch.input, outputs, grads)?;
        }
        Ok(sums)
    }

    fn describe(&self) -> String {
        format!("guesses {}", self.guide.as_ref().map(Guide::describe).unwrap_or_default())
    }
}

/// The cross entropy of a row of logits times `share`, and whether the largest one is right; writes the gradient.
fn guess(logits: &[f32], wanted: usize, share: f32, grad: &mut [f32]) -> (f64, bool) {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f32 = logits.iter().map(|logit| (logit - largest).exp()).sum();
    for (grad, logit) in grad.iter_mut().zip(logits) {
        *grad = share * (logit - largest).exp() / sum;
    }
    grad[wanted] -= share;
    (f64::from(share * (largest + sum.ln() - logits[wanted])), logits[wanted] == largest)
}

#[cfg(test)]
mod tests {
    use super::super::texts::tests::{network, order, settings};
    use super::*;
    use crate::train::tests::StopAfter;
    use crate::watch::{Unwatched, Watch};

    const SPECIAL: Special = Special { unknown: 0, begin: 1, end: 2, padding: None, mask: Some(0) };

    fn run(student: &Graph, beside: Option<Beside<'_>>, how: &DistillSettings, epochs: usize) -> Trained {
        let watch = Unwatched::default();
        let settings = TrainSettings { epochs, hold_out: 0, ..settings() };
        pretrain(student, &order(120), SPECIAL, beside, &settings, how, &Control::new(1, &watch)).unwrap()
    }

    #[test]
    fn hidden_words_are_guessed_and_the_head_stays() {
        // Whether token 3 or 4 is hidden is seen from the other.
        let student = network(1, 3);
        let trained = run(&student, None, &DistillSettings::default(), 20);
        let (first, last) = (trained.history[0], trained.history[19]);
        assert!(last.loss < 0.8 * first.loss && last.accuracy > first.accuracy, "{first:?} {last:?}");
        let data = |graph: &Graph, name: &str| graph.param(graph.find(name).unwrap()).unwrap().data().to_vec();
        for (name, moves) in [("classifier.weight", false), ("embeddings.word_embeddings.weight", true)] {
            assert_eq!(data(&student, name) != data(&trained.graph, name), moves, "{name}");
        }
        assert_eq!((trained.graph.values.len(), &trained.graph.nodes), (student.values.len(), &student.nodes));
    }

    #[test]
    fn a_teacher_beside_draws_the_student_to_itself() {
        let (teacher, student) = (network(2, 5), network(1, 3));
        let how = DistillSettings { states: 1.0, attention: 1.0, ..DistillSettings::default() };
        let beside = Some(Beside { teacher: &teacher, words: None });
        let (with, without) = (run(&student, beside, &how, 3), run(&student, None, &how, 3));
        assert!(with.graph != without.graph && with.history[2].loss < with.history[0].loss);
    }

    #[test]
    fn so_many_tokens_are_hidden_and_never_the_frame() {
        let data = order(400);
        let hiding = Hiding { data: &data, mask: 0, frame: [1, 2], tokens: 10, seed: 1 };
        let (mut hidden, mut masked, mut open) = (0, 0, 0);
        for epoch in 0..5 {
            for text in 0..data.len() {
                let ids = data.text(text);
                let of_text = hiding.hidden(epoch, text);
                assert!(!of_text.is_empty() && of_text.iter().all(|(at, _)| ids[*at] > 2));
                open += ids.len() - 2;
                hidden += of_text.len();
                masked += of_text.iter().filter(|(_, id)| *id == 0).count();
            }
        }
        let (share, of_hidden) = (hidden as f32 / open as f32, masked as f32 / hidden as f32);
        // One of each short text is hidden for sure; a random token is the mask's at times.
        assert!((0.2..0.45).contains(&share) && (0.76..0.86).contains(&of_hidden), "{share} {of_hidden}");
        assert_ne!(hiding.hidden(0, 7), hiding.hidden(1, 7));
    }

    #[test]
    fn gradients_of_guesses_are_those_of_the_loss() {
        let logits = [0.5, -1.0, 2.0, 0.25];
        let mut grad = [0.0; 4];
        let (_, right) = guess(&logits, 2, 0.3, &mut grad);
        assert!(right && !guess(&logits, 0, 0.3, &mut [0.0; 4]).1);
        for (i, grad) in grad.iter().enumerate() {
            let at = |by: f32| {
                let mut logits = logits;
                logits[i] += by;
                guess(&logits, 2, 0.3, &mut [0.0; 4]).0
            };
            let slope = (at(1e-2) - at(-1e-2)) / 2e-2;
            assert!((slope - f64::from(*grad)).abs() < 1e-4, "{i}: {slope} and {grad}");
        }
    }

    #[test]
    fn what_cannot_be_guessed_is_told_and_an_interruption_changes_nothing() {
        let (student, data, folder) = (network(1, 3), order(60), tempfile::tempdir().unwrap());
        let how = DistillSettings { states: 0.5, ..DistillSettings::default() };
        let (teacher, settings) = (network(2, 5), TrainSettings { epochs: 2, hold_out: 0, ..settings() });
        let beside = Beside { teacher: &teacher, words: None };
        let go = |special: Special, watch: &dyn Watch, checkpoint: bool| {
            let checkpoint = checkpoint.then(|| folder.path().join("checkpoint"));
            let control = Control { checkpoint, ..Control::new(1, watch) };
            pretrain(&student, &data, special, Some(beside), &settings, &how, &control)
        };
        let error = go(Special { mask: None, ..SPECIAL }, &Unwatched::default(), false).unwrap_err().to_string();
        assert!(error.contains("[MASK]"), "{error}");
        let whole = go(SPECIAL, &Unwatched::default(), false).unwrap();
        assert!(matches!(go(SPECIAL, &StopAfter::new(4), true), Err(TrainError::Interrupted { .. })));
        assert!(go(SPECIAL, &Unwatched::default(), true).unwrap().graph == whole.graph);
    }
}
