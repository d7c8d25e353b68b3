//! The proof of equal bytes on a GPU: batch by batch, what the runtime gives against what the device gives.

use super::GpuError;
use super::device::{DeviceRecord, Gpu};
use super::machine::{Given, Machine, capacity};
use super::program::Program;
use super::values::Value;
use crate::verify::Feed;
use crate::verify::exact::Subject;
use crate::verify::host::{self, Outputs};
use crate::verify::relayout::relayout;
use crate::watch::Watch;
use limbeck_runtime::{Element, Kernels, Layout, Model};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::time::Instant;

/// How a model is run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Settings {
    /// The table of the CPU that says what is right; the best there is if absent.
    pub table: Option<&'static Kernels>,
    /// Examples at once; as many as are good for the device if absent.
    pub batch: Option<usize>,
    /// Compare what every op writes, and not only the outputs.
    pub trace: bool,
}

/// A model run on a device, and found equal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GpuRun {
    /// The device.
    pub device: DeviceRecord,
    /// Examples compared.
    pub n: usize,
    /// Examples at once.
    pub batch: usize,
    /// Tensors compared of each example: the outputs, or what every op writes and the outputs.
    pub tensors: usize,
    /// From the first to the last example, in seconds: shaders are compiled in that time, and the runtime runs.
    pub seconds: f64,
}

/// An example with what the runtime makes of it, for each watched value.
struct Expected {
    given: Given,
    results: Vec<Vec<i8>>,
}

/// What is compared, and with which runtime.
struct Reference<'a> {
    model: Model<'a>,
    kernels: &'static Kernels,
    feed: &'a dyn Feed,
    trace: bool,
}

/// Runs a model on a device over all examples, and demands the runtime's bytes. Also gives those of the outputs.
///
/// # Errors
/// With the first example, op and element that differ; or why the device or the runtime did not run the model.
pub fn prove(
    gpu: &Gpu,
    subject: &Subject<'_>,
    settings: Settings,
    feed: &dyn Feed,
    watch: &dyn Watch,
) -> Result<(GpuRun, Outputs), GpuError> {
    feed.check(&subject.model)?;
    let start = Instant::now();
    let path = Path::new(subject.file);
    let kernels = settings.table.unwrap_or_else(host::best);
    let [plain, fast] = [Layout::PLAIN, kernels.isa.layout()].map(|layout| relayout(&subject.model, layout));
    let (plain, fast) = (plain?, fast?);
    let plain = host::parse(path, &plain)?;
    let reference = Reference { model: host::parse(path, &fast)?, kernels, feed, trace: settings.trace };
    let program = Program::new(&plain)?;
    let batch = capacity(gpu, &program, settings.batch)?.min(feed.len().max(1));
    let machine = Machine::new(gpu, reference.watched(&program), program, batch)?;
    let mut outputs = Outputs::default();
    let (n, total) = (feed.len(), feed.len() as u64);
    let mut next = reference.expect(0..batch.min(n))?;
    let mut done = 0;
    while !next.is_empty() {
        let pending = machine.submit(next.iter().map(|expected| &expected.given))?;
        let now = std::mem::take(&mut next);
        let end = done + now.len();
        // The device works meanwhile.
        next = reference.expect(end..(end + batch).min(n))?;
        let difference = machine.finish(pending, watch, |found| first_difference(found, &now))?;
        if let Some((example, difference)) = difference {
            return Err(reference.locate(gpu, subject, &plain, done + example, difference, watch)?);
        }
        for Expected { results, .. } in &now {
            outputs.push(&results[results.len() - subject.model.outputs()]);
        }
        done = end;
        watch.step(done as u64, total, &gpu.record.name);
    }
    let (device, seconds) = (gpu.record.clone(), start.elapsed().as_secs_f64());
    Ok((GpuRun { device, n, batch, tensors: machine.watched(), seconds }, outputs))
}

/// Where something differs: number of the watched value, of the element, what is there, and what should be.
#[derive(Clone, Copy)]
struct Difference {
    value: usize,
    element: usize,
    found: i32,
    expected: i32,
}

/// The first example that differs, and its first difference.
fn first_difference(found: &[(Value, &[u8])], expected: &[Expected]) -> Option<(usize, Difference)> {
    expected.iter().enumerate().find_map(|(example, expected)| {
        let values = found.iter().zip(&expected.results).enumerate();
        let mut differences = values.filter_map(|(number, (&(value, words), expected))| {
            let words = &words[4 * value.words() * example..];
            // A sequence has as many pixels as the runtime has made.
            let place = value.bytes(words).zip(expected).position(|(found, &expected)| found != expected)?;
            let element = place / value.tensor.element.bytes();
            let found: Vec<i8> = value.bytes(words).take(expected.len()).collect();
            let [found, expected] = [&found, expected].map(|bytes| number_at(value.tensor.element, bytes, element));
            Some((example, Difference { value: number, element, found, expected }))
        });
        differences.next()
    })
}

/// A number of a tensor.
fn number_at(element: Element, bytes: &[i8], at: usize) -> i32 {
    match (element, bytes.as_chunks::<2>().0.get(at)) {
        (Element::Int8, _) | (_, None) => bytes.get(at).map_or(0, |&byte| byte.into()),
        (_, Some(pair)) => i16::from_le_bytes(pair.map(i8::cast_unsigned)).into(),
    }
}

impl Reference<'_> {
    /// What is compared of each example: the outputs, and before them what every op writes if that is wanted.
    fn watched(&self, program: &Program) -> Vec<Value> {
        let ops = program.values.calls.iter().map(|call| call.output).filter(|_| self.trace);
        ops.chain(program.values.outputs.iter().copied()).collect()
    }

    /// What the runtime makes of some examples.
    fn expect(&self, examples: std::ops::Range<usize>) -> Result<Vec<Expected>, GpuError> {
        /// Examples of one piece of work.
        const BLOCK: usize = 8;
        let examples: Vec<usize> = examples.collect();
        let blocks = examples.par_chunks(BLOCK).map(|block| {
            host::with_session(&self.model, self.kernels, |session| {
                let expect = |&example: &usize| {
                    self.feed.give(example, session)?;
                    let length = session.length();
                    let inputs = (0..self.model.inputs()).map(|i| session.input_mut(i).to_vec()).collect();
                    let mut results = Vec::new();
                    session.run_with(|step| {
                        if self.trace {
                            results.push(step.output.to_vec());
                        }
                    });
                    results.extend((0..self.model.outputs()).map(|i| session.output(i).to_vec()));
                    Ok(Expected { given: Given { length, inputs }, results })
                };
                block.iter().map(expect).collect::<Result<Vec<_>, GpuError>>()
            })?
        });
        Ok(blocks.collect::<Result<Vec<_>, GpuError>>()?.into_iter().flatten().collect())
    }

    /// The first op that differs for an example, of which it is known where the watched values do.
    fn locate(
        &self,
        gpu: &Gpu,
        subject: &Subject<'_>,
        plain: &Model<'_>,
        example: usize,
        difference: Difference,
        watch: &dyn Watch,
    ) -> Result<GpuError, GpuError> {
        let all = Reference { trace: true, model: self.model, ..*self };
        let program = Program::new(plain)?;
        let machine = Machine::new(gpu, all.watched(&program), program, 1)?;
        let expected = all.expect(example..example + 1)?;
        let pending = machine.submit(expected.iter().map(|expected| &expected.given))?;
        let traced = machine.finish(pending, watch, |found| first_difference(found, &expected))?;
        let ops = if self.trace || traced.is_some() { subject.model.ops().count() } else { 0 };
        let Difference { value, element, found, expected } = traced.map_or(difference, |(_, difference)| difference);
        let layer = if value < ops { subject.op_name(value) } else { format!("output {}", value - ops) };
        let (file, device) = (subject.file.to_owned(), gpu.record.name.clone());
        Ok(GpuError::Differs { file, device, example, layer, element, found, expected })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use limbeck_runtime::{Shape, Tensor};

    #[test]
    fn the_first_example_that_differs_is_named_with_its_first_difference() {
        let tensor = |element, channels| Tensor { element, ..Tensor::new(0, Shape::new(2, 1, channels)) };
        let bytes = Value { tensor: tensor(Element::Int8, 3), offset: 0 };
        let shorts = Value { tensor: tensor(Element::Int16, 2), offset: 2 };
        let expected = |results: [Vec<i8>; 2]| Expected {
            given: Given { length: 0, inputs: Vec::new() },
            results: results.into(),
        };
        // The second example has one row of the sequence only.
        let examples = [
            expected([vec![1, 2, 3, 4, 5, 6], vec![1, 0, 2, 0, 3, 0, 4, 0]]),
            expected([vec![-1, -2, -3], vec![-1, -1, 44, 1]]),
        ];
        let mut words = [bytes, shorts].map(|value| vec![0; 2 * 4 * value.words()]);
        for (number, value) in [bytes, shorts].into_iter().enumerate() {
            for (example, to) in examples.iter().zip(words[number].chunks_exact_mut(4 * value.words())) {
                value.put(&example.results[number], to);
            }
        }
        let find = |words: &[Vec<u8>; 2]| {
            let found = first_difference(&[(bytes, &words[0]), (shorts, &words[1])], &examples);
            found.map(|(example, d)| [example as i32, d.value as i32, d.element as i32, d.found, d.expected])
        };
        assert_eq!(find(&words), None);
        // Behind the last channel and the last row there may be anything.
        words[0][3] = 9;
        words[0][12] = 9;
        assert_eq!(find(&words), None);
        words[1][16 + 2] = 45;
        assert_eq!(find(&words), Some([1, 1, 1, 301, 300]));
        words[0][5] = 7;
        assert_eq!(find(&words), Some([0, 0, 4, 7, 5]));
    }
}
