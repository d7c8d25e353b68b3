//! Calibration: runs the float graph on samples and remembers of each tensor what the quantizer needs.

use super::elements::{Elements, Form};
use super::error::QuantizeError;
use super::observer::{Choice, Observer, Span};
use super::scheme::Affine;
use crate::data::text::Tokenized;
use crate::data::{Dataset, Normalize};
use crate::graph::{Graph, Op, Tensor, ValueId};
use crate::train::exec::{ExecError, Infer};
use std::cell::RefCell;
use std::collections::BTreeMap;

/// Inputs on which a graph is calibrated and measured: for each graph input one tensor, samples along its first axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Samples {
    inputs: Vec<Tensor>,
    count: usize,
    mapping: Option<Affine>,
    /// Tokens of each sample, if they are texts.
    lengths: Option<Vec<usize>>,
}

impl Samples {
    /// Samples for a graph with these inputs.
    ///
    /// # Errors
    /// If there is no sample, or the inputs differ in number.
    pub fn new(inputs: Vec<Tensor>) -> Result<Self, QuantizeError> {
        let counts: Vec<usize> = inputs.iter().map(|t| t.shape().first().copied().unwrap_or(0)).collect();
        match counts.first() {
            Some(&count) if count > 0 && counts.iter().all(|&c| c == count) => {
                Ok(Samples { inputs, count, mapping: None, lengths: None })
            }
            _ => Err(QuantizeError::Samples {
                problem: format!("need at least one sample, and as many for each input; got {counts:?}"),
            }),
        }
    }

    /// All images of a set, which also fixes the mapping of the input: every pixel is covered, and no more.
    ///
    /// # Errors
    /// If there is no image, or `normalize` does not fit its channels.
    pub fn of_images(data: &Dataset, normalize: &Normalize) -> Result<Self, QuantizeError> {
        let [height, width, channels] = data.shape;
        let mapping = Affine::of_pixels(normalize, channels).ok_or_else(|| QuantizeError::Samples {
            problem: format!("{normalize:?} does not fit images of {channels} channels"),
        })?;
        let mut values = vec![0.0; data.pixels.len()];
        normalize.table(channels).apply(&data.pixels, &mut values);
        let samples = Samples::new(vec![Tensor::new([data.len(), height, width, channels], values)])?;
        Ok(Samples { mapping: Some(mapping), ..samples })
    }

    /// All texts of a set, for a network that has room for so many tokens: ids, and -1 behind the end of each.
    ///
    /// # Errors
    /// If there is no text, or one is empty or longer.
    pub fn of_texts(data: &Tokenized, room: usize) -> Result<Self, QuantizeError> {
        let lengths: Vec<usize> = (0..data.len()).map(|i| data.text(i).len()).collect();
        if let Some(i) = lengths.iter().position(|length| !(1..=room).contains(length)) {
            let problem = format!("text {i} has {} tokens, and the network takes 1 to {room}", lengths[i]);
            return Err(QuantizeError::Samples { problem });
        }
        let mut ids = vec![-1.0; room * data.len()];
        for (i, row) in ids.chunks_exact_mut(room.max(1)).enumerate() {
            row.iter_mut().zip(data.text(i)).for_each(|(to, &id)| *to = f32::from(id));
        }
        let samples = Samples::new(vec![Tensor::new([data.len(), room], ids)])?;
        Ok(Samples { lengths: Some(lengths), ..samples })
    }

    /// The same samples for inputs with a given mapping, which is calibrated otherwise.
    #[must_use]
    pub fn with_mapping(self, mapping: Affine) -> Self {
        Samples { mapping: Some(mapping), ..self }
    }

    /// Scale and zero point of the inputs, if they are fixed.
    pub fn mapping(&self) -> Option<Affine> {
        self.mapping
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Never: a set of samples has at least one.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// At most `n` samples, taken evenly.
    pub fn thin(&self, n: usize) -> Samples {
        let n = n.clamp(1, self.count);
        let picked = || (0..n).map(|i| i * self.count / n);
        let inputs = self.inputs.iter().map(|t| {
            let size = t.len() / self.count;
            let data = picked().flat_map(|i| t.data()[i * size..(i + 1) * size].iter().copied()).collect();
            Tensor::new([&[n], &t.shape()[1..]].concat(), data)
        });
        let lengths = self.lengths.as_ref().map(|lengths| picked().map(|i| lengths[i]).collect());
        Samples { inputs: inputs.collect(), count: n, mapping: self.mapping, lengths }
    }

    /// The values of one sample for input number `input`.
    pub fn sample(&self, input: usize, i: usize) -> &[f32] {
        let t = &self.inputs[input];
        let size = t.len() / self.count;
        &t.data()[i * size..(i + 1) * size]
    }

    /// Tokens of a sample; `None` if samples are no texts.
    pub fn length(&self, i: usize) -> Option<usize> {
        self.lengths.as_ref()?.get(i).copied()
    }

    fn batch(&self, start: usize, n: usize) -> Vec<Tensor> {
        let slice = |t: &Tensor| {
            let size = t.len() / self.count;
            Tensor::new([&[n], &t.shape()[1..]].concat(), t.data()[start * size..(start + n) * size].to_vec())
        };
        self.inputs.iter().map(slice).collect()
    }

    /// Whether the samples can be given to `graph`.
    fn check(&self, graph: &Graph) -> Result<(), QuantizeError> {
        let found: Vec<&[usize]> = self.inputs.iter().map(|t| &t.shape()[1..]).collect();
        let needed: Vec<&[usize]> = graph.inputs.iter().map(|&id| graph.shape(id).get(1..).unwrap_or(&[])).collect();
        if found != needed {
            return Err(QuantizeError::Samples { problem: format!("samples of {found:?}, inputs of {needed:?}") });
        }
        let reads_texts = graph.nodes.iter().any(|node| node.op == Op::Embedding);
        if reads_texts != self.lengths.is_some() {
            let [graph, samples] = [reads_texts, !reads_texts].map(|texts| if texts { "texts" } else { "numbers" });
            return Err(QuantizeError::Samples {
                problem: format!("the graph reads {graph}, the samples are {samples}"),
            });
        }
        Ok(())
    }
}

/// Values in one batch of all taps together; bounds the memory of a calibration.
const BATCH_VALUES: usize = 16 << 20;

/// Runs `graph` on all samples, in batches, and gives each batch's first sample number and the values of `taps` to `f`.
///
/// # Errors
/// If the samples do not fit the graph, or `f` fails.
pub(super) fn run_float(
    graph: &Graph,
    samples: &Samples,
    taps: &[ValueId],
    mut f: impl FnMut(usize, &[Tensor]) -> Result<(), QuantizeError>,
) -> Result<(), QuantizeError> {
    samples.check(graph)?;
    let failed = |e: ExecError| QuantizeError::Float(e.to_string());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut infer = Infer::new(graph, threads).map_err(failed)?;
    let size: usize = taps.iter().map(|&id| graph.shape(id).iter().skip(1).product::<usize>()).sum();
    let batch = (BATCH_VALUES / size.max(1)).clamp(1, 64);
    let mut start = 0;
    while start < samples.len() {
        let inputs = samples.batch(start, batch.min(samples.len() - start));
        let tapped = infer.run_all_taps(&inputs.iter().collect::<Vec<_>>(), taps).map_err(failed)?;
        f(start, &tapped)?;
        start += batch;
    }
    Ok(())
}

/// What calibration knows of one value of the float graph.
#[derive(Clone, Debug)]
pub(super) struct Stats {
    /// Bounds and a selection of the values.
    pub observer: Observer,
    /// Largest magnitude in each channel (last axis).
    pub peaks: Vec<f32>,
    /// Mean over the samples, element by element, in the shape of one sample; of sequences over all tokens, in the shape of
    /// one.
    pub mean: Vec<f64>,
}

/// The float graph's behaviour on the samples.
#[derive(Clone, Debug)]
pub(super) struct Calibration {
    stats: Vec<Option<Stats>>,
    /// Mappings that were chosen before: ways of lowering one graph differ in few tensors, and choosing takes long.
    chosen: RefCell<BTreeMap<Group, Choice>>,
}

/// Tensors that share a mapping, and what that may look like.
pub(super) type Group = (Vec<Form>, Span);

impl Calibration {
    /// Runs `graph` on all samples and observes `taps`; of sequences only the rows for which there are tokens.
    ///
    /// # Errors
    /// If the samples do not fit, or a value becomes NaN or infinite.
    pub(super) fn run(
        graph: &Graph,
        samples: &Samples,
        elements: &Elements,
        taps: &[ValueId],
    ) -> Result<Self, QuantizeError> {
        let mut stats: Vec<Option<Stats>> = vec![None; graph.values.len()];
        let tokens: usize = (0..samples.len()).filter_map(|i| samples.length(i)).sum();
        run_float(graph, samples, taps, |start, tensors| {
            for (&id, tensor) in taps.iter().zip(tensors) {
                let channels = tensor.shape().last().copied().unwrap_or(1).max(1);
                let size = tensor.len() / tensor.shape()[0];
                let sequence = elements.is_sequence(id);
                let (part, count) = if sequence { (channels, tokens) } else { (size, samples.len()) };
                let stats = stats[id.0 as usize].get_or_insert_with(|| Stats {
                    observer: Observer::new(part * count, channels),
                    peaks: vec![0.0; channels],
                    mean: vec![0.0; part],
                });
                for (i, values) in tensor.data().chunks_exact(size.max(1)).enumerate() {
                    let rows = samples.length(start + i).filter(|_| sequence);
                    stats.see(&values[..rows.map_or(size, |rows| rows * channels)], count);
                }
            }
            Ok(())
        })?;
        for &id in taps {
            if stats[id.0 as usize].as_ref().is_none_or(|s| s.observer.bounds().is_none()) {
                return Err(QuantizeError::NonFiniteActivation { tensor: graph.value(id).name.clone() });
            }
        }
        Ok(Calibration { stats, chosen: RefCell::default() })
    }

    /// The mapping that was chosen for a group before, or else what `choose` says now. The graph and the settings must stay.
    pub(super) fn choice(&self, group: Group, choose: impl FnOnce() -> Option<Choice>) -> Option<Choice> {
        if let Some(&before) = self.chosen.borrow().get(&group) {
            return Some(before);
        }
        let choice = choose()?;
        self.chosen.borrow_mut().insert(group, choice);
        Some(choice)
    }

    /// What is known of a value; `None` if it was not tapped.
    pub(super) fn stats(&self, id: ValueId) -> Option<&Stats> {
        self.stats.get(id.0 as usize)?.as_ref()
    }
}

impl Stats {
    fn see(&mut self, values: &[f32], count: usize) {
        self.observer.see(values);
        for pixel in values.chunks_exact(self.peaks.len()) {
            for (peak, x) in self.peaks.iter_mut().zip(pixel) {
                *peak = peak.max(x.abs());
            }
        }
        let share = 1.0 / count as f64;
        for sample in values.chunks_exact(self.mean.len()) {
            for (mean, &x) in self.mean.iter_mut().zip(sample) {
                *mean += f64::from(x) * share;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Op, Unary};
    use crate::quantize::elements::Eight;

    fn graph() -> (Graph, ValueId) {
        let mut graph = Graph::new("g");
        let x = graph.input("x", [1, 2]);
        let y = graph.add("relu", Op::Unary(Unary::Relu), &[x]).unwrap();
        graph.outputs.push(y);
        (graph, y)
    }

    #[test]
    fn statistics_of_a_few_numbers() {
        let (graph, y) = graph();
        let samples = Samples::new(vec![Tensor::new([3, 2], vec![1.0, -1.0, 2.0, 5.0, 3.0, -2.0])]).unwrap();
        let calibration = Calibration::run(&graph, &samples, &Elements::new(&graph, &[], &Eight::None), &[y]).unwrap();
        let stats = calibration.stats(y).unwrap();
        assert_eq!(stats.observer.bounds(), Some((0.0, 5.0)));
        assert_eq!(stats.peaks, [3.0, 5.0]);
        assert!((stats.mean[0] - 2.0).abs() < 1e-12 && (stats.mean[1] - 5.0 / 3.0).abs() < 1e-12);
        assert_eq!(samples.thin(2).sample(0, 1), [2.0, 5.0]);
    }

    #[test]
    fn bad_samples_are_told() {
        let (graph, y) = graph();
        assert!(Samples::new(vec![Tensor::zeros([0, 2])]).is_err());
        assert!(Samples::new(vec![]).is_err());
        let wide = Samples::new(vec![Tensor::zeros([1, 3])]).unwrap();
        let run =
            |samples: &Samples| Calibration::run(&graph, samples, &Elements::new(&graph, &[], &Eight::None), &[y]);
        assert!(matches!(run(&wide), Err(QuantizeError::Samples { .. })));
        let nan = Samples::new(vec![Tensor::full([1, 2], f32::INFINITY)]).unwrap();
        let error = run(&nan).unwrap_err().to_string();
        assert!(error.contains("`relu`"), "{error}");
        let texts = |ids: &[u16], begins: &[usize]| Tokenized {
            ids: ids.to_vec(),
            begins: begins.to_vec(),
            labels: vec![0; begins.len() - 1],
            classes: vec!["a".into()],
            truncated: 0,
        };
        let error = run(&Samples::of_texts(&texts(&[1, 2], &[0, 2]), 2).unwrap()).unwrap_err().to_string();
        assert!(error.contains("the graph reads numbers, the samples are texts"), "{error}");
        let error = Samples::of_texts(&texts(&[1, 2, 3], &[0, 1, 3]), 1).unwrap_err().to_string();
        assert!(error.contains("text 1 has 2 tokens, and the network takes 1 to 1"), "{error}");
        assert!(Samples::of_texts(&texts(&[], &[0, 0]), 1).is_err());
    }

    #[test]
    fn what_lies_behind_the_end_of_a_text_is_not_seen() {
        let mut graph = Graph::new("g");
        let ids = graph.input("ids", [1, 3]);
        let words = graph.add_param("words", Tensor::new([3, 2], vec![100.0, -100.0, 1.0, 2.0, 3.0, 6.0]));
        let y = graph.add("embeddings", Op::Embedding, &[ids, words]).unwrap();
        graph.outputs.push(y);
        let data = Tokenized {
            ids: vec![1, 2, 2, 2],
            begins: vec![0, 1, 4],
            labels: vec![0; 2],
            classes: vec!["a".into()],
            truncated: 0,
        };
        let samples = Samples::of_texts(&data, 3).unwrap();
        assert_eq!(samples.sample(0, 0), [1.0, -1.0, -1.0]);
        let calibration = Calibration::run(&graph, &samples, &Elements::new(&graph, &[], &Eight::None), &[y]).unwrap();
        let stats = calibration.stats(y).unwrap();
        assert_eq!(stats.observer.bounds(), Some((1.0, 6.0)));
        assert_eq!(stats.peaks, [3.0, 6.0]);
        assert!((stats.mean[0] - 2.5).abs() < 1e-12 && (stats.mean[1] - 5.0).abs() < 1e-12);
        assert_eq!((samples.thin(1).length(0), samples.length(1)), (Some(1), Some(3)));
    }
}
