//! A program with its memory on a device: takes a batch of inputs, runs all dispatches, gives values back.

use super::GpuError;
use super::device::Gpu;
use super::program::Program;
use super::values::Value;
use crate::verify::host::HostError;
use crate::watch::Watch;
use std::sync::mpsc;
use std::time::{Duration, Instant};
use wgpu::{BufferUsages, MapMode, PollError, PollType};

/// Invocations of a workgroup, as every shader has it.
const LANES: usize = 64;
/// Between two looks at whether the user wants to stop.
const TICK: Duration = Duration::from_millis(200);
/// A driver that has not answered after so long will not.
const PATIENCE: Duration = Duration::from_secs(300);
/// Products of a batch, if nobody says how many examples it has: short enough for systems that end work of more than two seconds on
/// a GPU that others wait for, and long enough to keep a large one busy.
const WORK: usize = 1 << 31;
/// Examples of a batch at most, if nobody says how many.
const MOST: usize = 256;

/// One example: tokens that it has, and the bytes of each input.
#[derive(Clone, Debug)]
pub(super) struct Given {
    pub(super) length: usize,
    pub(super) inputs: Vec<Vec<i8>>,
}

/// A program on a device.
#[derive(Debug)]
pub(super) struct Machine<'g> {
    gpu: &'g Gpu,
    program: Program,
    capacity: usize,
    /// What is given back of each example.
    watched: Vec<Value>,
    values: wgpu::Buffer,
    batch: wgpu::Buffer,
    staging: wgpu::Buffer,
    bindings: wgpu::BindGroup,
    /// From the parameters of a dispatch to those of the next.
    stride: usize,
}

/// Work that a device has been given.
#[derive(Debug)]
pub(super) struct Pending {
    index: wgpu::SubmissionIndex,
    mapped: mpsc::Receiver<Result<(), wgpu::BufferAsyncError>>,
    examples: usize,
    since: Instant,
}

/// The number of examples of a batch: as asked for, or as many as are good for a device.
///
/// # Errors
/// If there is no memory for so many.
pub(super) fn capacity(gpu: &Gpu, program: &Program, wanted: Option<usize>) -> Result<usize, GpuError> {
    let room = gpu.limits.max_storage_buffer_binding_size.min(gpu.limits.max_buffer_size).min(u32::MAX.into());
    let most = room as usize / (4 * program.values.words.max(1));
    let batch = wanted.unwrap_or_else(|| (WORK / program.work.max(1)).clamp(1, MOST).min(most.max(1)));
    if batch > most {
        return Err(GpuError::Batch { device: gpu.record.name.clone(), batch, most });
    }
    Ok(batch)
}

impl<'g> Machine<'g> {
    /// Puts a program on a device, with memory for so many examples at once. Gives back the values of `watched` after each batch.
    ///
    /// # Errors
    /// If the device refuses, or has too little memory.
    pub(super) fn new(gpu: &'g Gpu, watched: Vec<Value>, program: Program, capacity: usize) -> Result<Self, GpuError> {
        let align = gpu.limits.min_storage_buffer_offset_alignment as usize;
        let longest = program.dispatches.iter().map(|dispatch| 4 * dispatch.params.len()).max().unwrap_or(4);
        let stride = longest.next_multiple_of(align);
        let mut params = vec![0; stride * program.dispatches.len().max(1)];
        for (to, dispatch) in params.chunks_exact_mut(stride).zip(&program.dispatches) {
            put_words(&dispatch.params, to);
        }
        let mut constants = vec![0; 4 * program.constants.len().max(4)];
        put_words(&program.constants, &mut constants);
        for dispatch in &program.dispatches {
            gpu.pipeline(dispatch.shader)?;
        }
        gpu.guarded("its buffers", capacity, || {
            let buffer = |bytes: usize, usage| {
                let size = bytes as u64;
                gpu.device.create_buffer(&wgpu::BufferDescriptor {
                    label: None,
                    size,
                    usage,
                    mapped_at_creation: false,
                })
            };
            let filled = |bytes: &[u8]| {
                let buffer = buffer(bytes.len(), BufferUsages::STORAGE | BufferUsages::COPY_DST);
                gpu.queue.write_buffer(&buffer, 0, bytes);
                buffer
            };
            let (params, constants) = (filled(&params), filled(&constants));
            let usage = BufferUsages::STORAGE | BufferUsages::COPY_SRC | BufferUsages::COPY_DST;
            let values = buffer(4 * program.values.words * capacity, usage);
            let batch = buffer(4 * (2 + capacity), BufferUsages::STORAGE | BufferUsages::COPY_DST);
            let back = watched.iter().map(|value| 4 * value.words()).sum::<usize>();
            let staging = buffer(back * capacity, BufferUsages::MAP_READ | BufferUsages::COPY_DST);
            let op = wgpu::BufferBinding { buffer: &params, offset: 0, size: std::num::NonZero::new(stride as u64) };
            let entry = |(binding, resource)| wgpu::BindGroupEntry { binding, resource };
            let resources = [
                values.as_entire_binding(),
                constants.as_entire_binding(),
                batch.as_entire_binding(),
                wgpu::BindingResource::Buffer(op),
            ];
            let entries: Vec<_> = (0..).zip(resources).map(entry).collect();
            let layout = &gpu.buffers;
            let bindings =
                gpu.device.create_bind_group(&wgpu::BindGroupDescriptor { label: None, layout, entries: &entries });
            Machine { gpu, program, capacity, watched, values, batch, staging, bindings, stride }
        })
    }

    /// Gives the device a batch of at most as many examples as it has memory for.
    ///
    /// # Errors
    /// If the device refuses, or is lost.
    pub(super) fn submit<'e>(&self, given: impl Iterator<Item = &'e Given>) -> Result<Pending, GpuError> {
        let (gpu, given) = (self.gpu, given.collect::<Vec<_>>());
        let pipelines = self.program.dispatches.iter().map(|dispatch| gpu.pipeline(dispatch.shader));
        let pipelines: Vec<_> = pipelines.collect::<Result<_, _>>()?;
        gpu.guarded("a batch", given.len(), || {
            self.write_inputs(&given);
            let mut encoder = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            for (number, (dispatch, pipeline)) in self.program.dispatches.iter().zip(&pipelines).enumerate() {
                let invocations = (dispatch.items * given.len()).div_ceil(dispatch.together);
                let groups = invocations.div_ceil(LANES).max(1);
                let x = groups.min(gpu.limits.max_compute_workgroups_per_dimension as usize);
                pass.set_pipeline(pipeline);
                pass.set_bind_group(0, &self.bindings, &[(number * self.stride) as u32]);
                pass.dispatch_workgroups(x as u32, dispatch.tiles as u32, groups.div_ceil(x) as u32);
            }
            drop(pass);
            let mut to = 0;
            for value in &self.watched {
                let bytes = 4 * (value.words() * given.len()) as u64;
                encoder.copy_buffer_to_buffer(&self.values, self.place(value), &self.staging, to, bytes);
                to += bytes;
            }
            let index = gpu.queue.submit([encoder.finish()]);
            let (sender, mapped) = mpsc::channel();
            // Whoever has given up waiting does not want to know.
            self.staging.map_async(MapMode::Read, ..to, move |result| drop(sender.send(result)));
            Pending { index, mapped, examples: given.len(), since: Instant::now() }
        })
    }

    /// How many values are given back.
    pub(super) fn watched(&self) -> usize {
        self.watched.len()
    }

    /// Where the first example of a value lies, in bytes.
    fn place(&self, value: &Value) -> u64 {
        4 * (value.offset * self.capacity) as u64
    }

    fn write_inputs(&self, given: &[&Given]) {
        let numbers = [given.len(), self.capacity].into_iter().chain(given.iter().map(|given| given.length));
        let numbers: Vec<u32> = numbers.map(|n| n as u32).collect();
        let mut bytes = vec![0; 4 * numbers.len()];
        put_words(&numbers, &mut bytes);
        self.gpu.queue.write_buffer(&self.batch, 0, &bytes);
        for (i, value) in self.program.values.inputs.iter().enumerate() {
            let mut bytes = vec![0; 4 * value.words() * given.len()];
            for (to, given) in bytes.chunks_exact_mut(4 * value.words()).zip(given) {
                value.put(&given.inputs[i], to);
            }
            self.gpu.queue.write_buffer(&self.values, self.place(value), &bytes);
        }
    }

    /// Waits for a batch and shows the words of each watched value, all examples one after another.
    ///
    /// # Errors
    /// If the device does not answer or is lost, or the user wants to stop.
    pub(super) fn finish<T>(
        &self,
        pending: Pending,
        watch: &dyn Watch,
        work: impl FnOnce(&[(Value, &[u8])]) -> T,
    ) -> Result<T, GpuError> {
        let (gpu, batch) = (self.gpu, pending.examples);
        loop {
            let wait = PollType::Wait { submission_index: Some(pending.index.clone()), timeout: Some(TICK) };
            match gpu.device.poll(wait) {
                Ok(_) => break,
                Err(PollError::Timeout) if watch.stopped() => {
                    gpu.abandon();
                    return Err(HostError::Interrupted.into());
                }
                Err(PollError::Timeout) if pending.since.elapsed() < PATIENCE => gpu.check(batch)?,
                Err(error) => {
                    gpu.abandon();
                    gpu.check(batch)?;
                    let (device, waited) = (gpu.record.name.clone(), pending.since.elapsed());
                    return Err(match error {
                        PollError::Timeout => GpuError::Timeout { device, batch, waited },
                        other => GpuError::Refused { device, what: "to wait", problem: other.to_string() },
                    });
                }
            }
        }
        gpu.check(batch)?;
        let refused = |problem: String| {
            let device = gpu.record.name.clone();
            GpuError::Refused { device, what: "to give values back", problem }
        };
        // The callback runs when the work is done, a moment later if another thread does work on the device.
        let mapped = pending.mapped.recv_timeout(PATIENCE).map_err(|e| refused(e.to_string()))?;
        mapped.map_err(|e| refused(e.to_string()))?;
        let bytes: usize = self.watched.iter().map(|value| 4 * value.words() * batch).sum();
        let view = self.staging.get_mapped_range(..bytes as u64).map_err(|e| refused(e.to_string()))?;
        let mut rest = &view[..];
        let mut values = Vec::new();
        for value in &self.watched {
            let (words, after) = rest.split_at(4 * value.words() * batch);
            values.push((*value, words));
            rest = after;
        }
        let result = work(&values);
        drop(values);
        drop(view);
        self.staging.unmap();
        Ok(result)
    }
}

fn put_words(words: &[u32], to: &mut [u8]) {
    for (to, word) in to.as_chunks_mut().0.iter_mut().zip(words) {
        *to = word.to_le_bytes();
    }
}
