//! Calibration: runs the float graph on samples and remembers of each tensor what the quantizer needs.

use super::error::QuantizeError;
use super::observer::Observer;
use super::scheme::Affine;
use crate::data::{Dataset, Normalize};
use crate::graph::{Graph, Tensor, ValueId};
use crate::train::exec::{ExecError, Infer};

/// Inputs on which a graph is calibrated and measured: for each graph input one tensor, samples along its first axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Samples {
    inputs: Vec<Tensor>,
    count: usize,
    mapping: Option<Affine>,
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
                Ok(Samples { inputs, count, mapping: None })
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
        let inputs = self.inputs.iter().map(|t| {
            let size = t.len() / self.count;
            let picked = (0..n).map(|i| i * self.count / n);
            let data = picked.flat_map(|i| t.data()[i * size..(i + 1) * size].iter().copied()).collect();
            Tensor::new([&[n], &t.shape()[1..]].concat(), data)
        });
        Samples { inputs: inputs.collect(), count: n, mapping: self.mapping }
    }

    /// The values of one sample for input number `input`.
    pub fn sample(&self, input: usize, i: usize) -> &[f32] {
        let t = &self.inputs[input];
        let size = t.len() / self.count;
        &t.data()[i * size..(i + 1) * size]
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
    /// Mean over the samples, element by element, in the shape of one sample.
    pub mean: Vec<f64>,
}

/// The float graph's behaviour on the samples.
#[derive(Clone, Debug)]
pub(super) struct Calibration {
    stats: Vec<Option<Stats>>,
}

impl Calibration {
    /// Runs `graph` on all samples and observes `taps`.
    ///
    /// # Errors
    /// If the samples do not fit, or a value becomes NaN or infinite.
    pub(super) fn run(graph: &Graph, samples: &Samples, taps: &[ValueId]) -> Result<Self, QuantizeError> {
        let mut stats: Vec<Option<Stats>> = vec![None; graph.values.len()];
        let count = samples.len();
        run_float(graph, samples, taps, |_, tensors| {
            for (&id, tensor) in taps.iter().zip(tensors) {
                let channels = tensor.shape().last().copied().unwrap_or(1).max(1);
                let size = tensor.len() / tensor.shape()[0];
                let stats = stats[id.0 as usize].get_or_insert_with(|| Stats {
                    observer: Observer::new(size * count, channels),
                    peaks: vec![0.0; channels],
                    mean: vec![0.0; size],
                });
                stats.see(tensor.data(), count);
            }
            Ok(())
        })?;
        for &id in taps {
            if stats[id.0 as usize].as_ref().is_none_or(|s| s.observer.bounds().is_none()) {
                return Err(QuantizeError::NonFiniteActivation { tensor: graph.value(id).name.clone() });
            }
        }
        Ok(Calibration { stats })
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
        let calibration = Calibration::run(&graph, &samples, &[y]).unwrap();
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
        assert!(matches!(Calibration::run(&graph, &wide, &[y]), Err(QuantizeError::Samples { .. })));
        let nan = Samples::new(vec![Tensor::full([1, 2], f32::INFINITY)]).unwrap();
        let error = Calibration::run(&graph, &nan, &[y]).unwrap_err().to_string();
        assert!(error.contains("`relu`"), "{error}");
    }
}
