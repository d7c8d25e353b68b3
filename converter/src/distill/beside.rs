//! A teacher that runs beside its student: both read the same tokens, and what the student makes of each of them on the way is
//! drawn to what the teacher makes of it.

use super::relations::{Pair, diverge};
use super::settings::DistillSettings;
use crate::data::hex;
use crate::data::random::{Purpose, stream};
use crate::graph::{Graph, Op, Tensor, ValueId};
use crate::train::exec::{ExecError, Infer};
use crate::train::{Batch, Loss, Objective, Sums, TrainError};
use rand::RngExt;
use sha2::{Digest, Sha256};

/// A teacher to be run beside a student.
#[derive(Clone, Copy, Debug)]
pub struct Beside<'a> {
    /// An encoder, with whatever head.
    pub teacher: &'a Graph,
    /// For each of the student's tokens which one of the teacher it is
    /// ([`Trimmed::kept`](crate::text::Trimmed::kept)); without it both have the same. The teacher then reads the text as the
    /// student's tokenizer cuts it: its own tokens, though of a word that the student has no piece for not the longest.
    pub words: Option<&'a [u16]>,
}

impl Beside<'_> {
    /// Refuses a student that cannot be drawn to the teacher as `how` asks for it; nothing if that asks for nothing.
    ///
    /// # Errors
    /// If one of the two is no encoder of texts, the student has more layers, or the teacher cannot read what the student reads.
    pub fn check(&self, student: &Graph, how: &DistillSettings) -> Result<(), TrainError> {
        if !how.looks_inside() {
            return Ok(());
        }
        let Beside { teacher, words } = *self;
        let fail = |problem: String| Err(TrainError::Settings(problem));
        let (own, given) = (layers(student), layers(teacher));
        if own.is_empty() || own.len() > given.len() {
            return fail(format!(
                "`{}` has {} layers that can be drawn to the {} of `{}`; as many or fewer, and one at least, are needed",
                student.name,
                own.len(),
                given.len(),
                teacher.name
            ));
        }
        let (rows, rows_given) = (vocabulary(student), vocabulary(teacher));
        let fits = match words {
            Some(words) => words.len() == rows && words.iter().all(|&word| usize::from(word) < rows_given),
            None => rows == rows_given,
        };
        let rooms = [room(student), room(teacher)];
        if !fits || rooms[1] < rooms[0] {
            return fail(format!(
                "`{}` cannot read what `{}` reads: {rows} and {rows_given} tokens, texts of {} and {}; a trimmed vocabulary \
                 says which tokens it has kept",
                teacher.name, student.name, rooms[0], rooms[1]
            ));
        }
        match (own.last(), given.last()) {
            (Some(layer), Some(wanted)) if how.attention > 0.0 => {
                shared_heads(student, layer, teacher, wanted).map(|_| ())
            }
            _ => Ok(()),
        }
    }
}

/// Into how many heads the channels of both can be cut: the teacher's if that is possible, else the student's.
fn shared_heads(student: &Graph, layer: &Layer, teacher: &Graph, wanted: &Layer) -> Result<usize, TrainError> {
    let widths = [student.shape(layer.queries)[2], teacher.shape(wanted.queries)[2]];
    let mut heads = [wanted.heads, layer.heads].into_iter();
    heads.find(|heads| widths.iter().all(|width| width % heads == 0)).ok_or_else(|| {
        let problem = format!("neither {} nor {} heads divide {widths:?} channels", wanted.heads, layer.heads);
        TrainError::Settings(problem)
    })
}

/// The values of a layer of an encoder.
struct Layer {
    /// What attention reads.
    queries: ValueId,
    keys: ValueId,
    values: ValueId,
    heads: usize,
    /// What the layer makes.
    state: ValueId,
}

/// The layers of an encoder, in order.
fn layers(graph: &Graph) -> Vec<Layer> {
    let attention: Vec<_> = graph.nodes.iter().filter(|node| matches!(node.op, Op::Attention { .. })).collect();
    let last = graph
        .nodes
        .iter()
        .rev()
        .find(|node| matches!(node.op, Op::LayerNorm { .. } | Op::Add) && graph.shape(node.output).len() == 3);
    let state = |layer: usize| match attention.get(layer + 1) {
        Some(next) => graph.producer(next.inputs[0]).filter(|node| node.op == Op::Linear).map(|node| node.inputs[0]),
        None => last.map(|node| node.output),
    };
    let layer = |(index, node): (usize, &&crate::graph::Node)| {
        let Op::Attention { heads } = node.op else { return None };
        let &[queries, keys, values, ..] = &node.inputs[..] else { return None };
        Some(Layer { queries, keys, values, heads, state: state(index)? })
    };
    attention.iter().enumerate().filter_map(layer).collect()
}

/// What the last layer of an encoder makes of each token.
pub(super) fn last_state(graph: &Graph) -> Option<ValueId> {
    layers(graph).last().map(|layer| layer.state)
}

/// Rows of the table of tokens.
pub(super) fn vocabulary(graph: &Graph) -> usize {
    let table = graph.nodes.iter().find(|node| node.op == Op::Embedding).map(|node| node.inputs[1]);
    table.map_or(0, |id| graph.shape(id)[0])
}

/// Room for tokens.
fn room(graph: &Graph) -> usize {
    graph.inputs.first().and_then(|&id| graph.shape(id).get(1)).copied().unwrap_or(0)
}

/// Something of the student's that is drawn to something of the teacher's: outputs of one, taps of the other.
enum Part {
    State { output: usize, tap: usize },
    Relation { outputs: [usize; 2], taps: [usize; 2], heads: usize },
}

/// Draws a student to a teacher.
pub(super) struct Guide<'a> {
    teacher: Infer,
    words: Option<&'a [u16]>,
    /// Room of student and teacher.
    rooms: [usize; 2],
    taps: Vec<ValueId>,
    parts: Vec<Part>,
    how: DistillSettings,
    /// Hash of the teacher and its words.
    of: String,
}

impl<'a> Guide<'a> {
    /// Gives `student` the outputs that are compared; nothing if the settings ask for none.
    ///
    /// Layer `i` of `n` is drawn to the last of the `i`th `n`th part of the teacher's layers, behind a linear layer of its own if
    /// they are not of one width (Jiao et al. 2020). Of attention only the last layers are compared (Wang et al. 2020).
    ///
    /// # Errors
    /// As [`Beside::check`].
    pub(super) fn new(
        student: &mut Graph,
        beside: Beside<'a>,
        how: &DistillSettings,
        seed: u64,
        threads: usize,
    ) -> Result<Option<Self>, TrainError> {
        if !how.looks_inside() {
            return Ok(None);
        }
        beside.check(student, how)?;
        let Beside { teacher, words } = beside;
        let (own, given) = (layers(student), layers(teacher));
        let rooms = [room(student), room(teacher)];
        let (mut taps, mut parts) = (Vec::new(), Vec::new());
        if how.states > 0.0 {
            for (index, layer) in own.iter().enumerate() {
                let wanted = given[(index + 1) * given.len() / own.len() - 1].state;
                let width = teacher.shape(wanted).last().copied().unwrap_or(0);
                let state = projected(student, layer.state, width, &format!("states.{index}"), seed)?;
                parts.push(Part::State { output: student.outputs.len(), tap: taps.len() });
                student.outputs.push(state);
                taps.push(wanted);
            }
        }
        if let (Some(layer), Some(wanted), true) = (own.last(), given.last(), how.attention > 0.0) {
            let heads = shared_heads(student, layer, teacher, wanted)?;
            let (output, tap) = (student.outputs.len(), taps.len());
            student.outputs.extend([layer.queries, layer.keys, layer.values]);
            taps.extend([wanted.queries, wanted.keys, wanted.values]);
            for pair in [[0, 1], [2, 2]] {
                parts.push(Part::Relation { outputs: pair.map(|i| output + i), taps: pair.map(|i| tap + i), heads });
            }
        }
        let mut hasher = Sha256::new();
        hasher.update(format!("{teacher} {words:?}"));
        for (_, tensor) in teacher.params() {
            tensor.data().iter().for_each(|value| hasher.update(value.to_le_bytes()));
        }
        let (of, how) = (hex(&hasher.finalize()), *how);
        Ok(Some(Guide { teacher: Infer::new(teacher, threads)?, words, rooms, taps, parts, how, of }))
    }

    /// How far the student is from the teacher, summed over the texts; adds the gradients of the mean.
    pub(super) fn judge(
        &mut self,
        input: &[f32],
        outputs: &[Vec<f32>],
        grads: &mut [Vec<f32>],
    ) -> Result<f64, TrainError> {
        let [own_room, room] = self.rooms;
        let texts: Vec<&[f32]> = input.chunks_exact(own_room.max(1)).collect();
        let mut ids = vec![-1.0; texts.len() * room];
        let mut lengths = Vec::new();
        for (from, to) in texts.iter().zip(ids.chunks_exact_mut(room)) {
            let length = from.iter().position(|&id| id < 0.0).unwrap_or(own_room);
            for (to, &id) in to.iter_mut().zip(&from[..length]) {
                *to = self.words.and_then(|words| words.get(id as usize)).map_or(id, |&word| f32::from(word));
            }
            lengths.push(length);
        }
        let taps = self.teacher.run_taps(&Tensor::new([texts.len(), room], ids), &self.taps)?;
        let tokens: usize = lengths.iter().sum();
        let mut total = 0.0;
        for part in &self.parts {
            match *part {
                Part::State { output, tap } => {
                    let weight = self.how.states / tokens.max(1) as f32;
                    for (text, &length) in lengths.iter().enumerate() {
                        let [own, wanted] = [(&outputs[output][..], own_room), (taps[tap].data(), room)]
                            .map(|(rows, room)| rows_of(rows, texts.len(), room, text, length));
                        let width = wanted.len() / length.max(1);
                        let start = text * own_room * width;
                        let grad = grads[output][start..start + length * width].chunks_exact_mut(width);
                        for ((own, wanted), grad) in own.chunks_exact(width).zip(wanted.chunks_exact(width)).zip(grad) {
                            total += self.how.distance.between(own, wanted, weight, grad);
                        }
                    }
                }
                Part::Relation { outputs: own, taps: wanted, heads } => {
                    let weight = self.how.attention / texts.len() as f32;
                    for (text, &length) in lengths.iter().enumerate() {
                        let [own_a, own_b] = own.map(|i| rows_of(&outputs[i], texts.len(), own_room, text, length));
                        let [a, b] = wanted.map(|i| rows_of(taps[i].data(), texts.len(), room, text, length));
                        let mut slopes = [vec![0.0; own_a.len()], vec![0.0; own_a.len()]];
                        let [by_a, by_b] = &mut slopes;
                        let (own_pair, pair) = (Pair { a: own_a, b: own_b }, Pair { a, b });
                        total += diverge(own_pair, pair, [length, heads], weight, [by_a, by_b]);
                        let start = text * (outputs[own[0]].len() / texts.len());
                        for (output, slopes) in own.into_iter().zip(&slopes) {
                            grads[output][start..].iter_mut().zip(slopes).for_each(|(grad, slope)| *grad += slope);
                        }
                    }
                }
            }
        }
        Ok(total * texts.len() as f64)
    }

    pub(super) fn describe(&self) -> String {
        format!("{} {:?}", self.of, self.how)
    }
}

/// The rows of the tokens of a text.
fn rows_of(rows: &[f32], texts: usize, room: usize, text: usize, length: usize) -> &[f32] {
    let item = rows.len() / texts.max(1);
    &rows[text * item..][..length * (item / room.max(1))]
}

/// A value made `width` wide by a linear layer, unless it is so wide; for images of one vector or of one for each token.
pub(super) fn projected(
    graph: &mut Graph,
    value: ValueId,
    width: usize,
    name: &str,
    seed: u64,
) -> Result<ValueId, TrainError> {
    let own = graph.shape(value).last().copied().unwrap_or(0);
    if own == width {
        return Ok(value);
    }
    let mut rng = stream(seed, Purpose::Weights, graph.values.len() as u64, 0);
    let bound = 1.0 / (own.max(1) as f32).sqrt();
    let weight = (0..width * own).map(|_| bound * (2.0 * rng.random::<f32>() - 1.0)).collect();
    let weight = graph.add_param(format!("{name}.weight"), Tensor::new([width, own], weight));
    Ok(graph.add(name, Op::Linear, &[value, weight]).map_err(ExecError::from)?)
}

/// The loss of a classifier with a teacher beside it.
pub(super) struct Guided<'a> {
    pub(super) loss: Loss,
    pub(super) guide: Guide<'a>,
}

impl Objective for Guided<'_> {
    fn judge(&mut self, batch: Batch<'_>, outputs: &[Vec<f32>], grads: &mut [Vec<f32>]) -> Result<Sums, TrainError> {
        let mut sums = self.loss.judge(batch, outputs, grads)?;
        sums.loss += self.guide.judge(batch.input, outputs, grads)?;
        Ok(sums)
    }

    fn describe(&self) -> String {
        format!("{} {}", self.loss.describe(), self.guide.describe())
    }
}
