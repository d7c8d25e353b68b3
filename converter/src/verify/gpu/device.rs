//! A GPU: which one, its shaders compiled once, and every way in which it can fail as an error.

use super::GpuError;
use super::program::Shader;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use wgpu::{BindGroupLayout, BindingType, BufferBindingType, ComputePipeline, DeviceType, ErrorFilter};

/// A device as its driver describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRecord {
    /// Its name.
    pub name: String,
    /// Discrete, integrated, virtual or software.
    pub kind: String,
    /// The driver.
    pub driver: String,
    /// The driver's version.
    pub version: String,
    /// Vulkan, Metal or Direct3D 12.
    pub backend: String,
}

/// An open device.
#[derive(Debug)]
pub struct Gpu {
    /// What it is.
    pub record: DeviceRecord,
    pub(super) device: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    pub(super) limits: wgpu::Limits,
    /// The four buffers of every shader.
    pub(super) buffers: BindGroupLayout,
    layout: wgpu::PipelineLayout,
    pipelines: Mutex<HashMap<&'static str, ComputePipeline>>,
    lost: Arc<Mutex<Option<String>>>,
}

/// A thread that panics with a lock leaves nothing half done here.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Gpu {
    /// The best device here: a discrete GPU, else an integrated one, else one of software.
    ///
    /// # Errors
    /// If there is none, or none that opens.
    pub fn open() -> Result<Gpu, GpuError> {
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
            backends: wgpu::Backends::VULKAN | wgpu::Backends::METAL | wgpu::Backends::DX12,
            flags: wgpu::InstanceFlags::empty(),
            ..wgpu::InstanceDescriptor::new_without_display_handle()
        });
        let mut adapters = pollster::block_on(instance.enumerate_adapters(wgpu::Backends::all()));
        adapters.sort_by_key(|adapter| rank(adapter.get_info().device_type));
        let mut result = Err(GpuError::NoDevice);
        for adapter in &adapters {
            match Gpu::of(adapter) {
                Ok(gpu) => return Ok(gpu),
                // The best device is what the user should hear of.
                Err(error) if matches!(result, Err(GpuError::NoDevice)) => result = Err(error),
                Err(_) => {}
            }
        }
        result
    }

    fn of(adapter: &wgpu::Adapter) -> Result<Gpu, GpuError> {
        let info = adapter.get_info();
        let record = DeviceRecord {
            name: info.name,
            kind: kind(info.device_type).to_owned(),
            driver: info.driver,
            version: info.driver_info,
            backend: info.backend.to_string(),
        };
        let wanted = wgpu::DeviceDescriptor { required_limits: adapter.limits(), ..Default::default() };
        let (device, queue) = pollster::block_on(adapter.request_device(&wanted))
            .map_err(|e| GpuError::Open { device: record.name.clone(), problem: e.to_string() })?;
        let lost = Arc::new(Mutex::new(None));
        let [first, second] = [Arc::clone(&lost), Arc::clone(&lost)];
        device.set_device_lost_callback(move |_, reason| *locked(&first) = Some(reason));
        // Without a handler, an error that no scope has caught would be a panic.
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| *locked(&second) = Some(error.to_string())));
        let buffer = |binding, read_only, has_dynamic_offset| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: BindingType::Buffer {
                ty: BufferBindingType::Storage { read_only },
                has_dynamic_offset,
                min_binding_size: None,
            },
            count: None,
        };
        let entries = [buffer(0, false, false), buffer(1, true, false), buffer(2, true, false), buffer(3, true, true)];
        let buffers =
            device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: None, entries: &entries });
        let layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: None,
            bind_group_layouts: &[Some(&buffers)],
            immediate_size: 0,
        });
        let limits = device.limits();
        Ok(Gpu { record, device, queue, limits, buffers, layout, pipelines: Mutex::default(), lost })
    }

    /// The compiled form of a shader.
    ///
    /// # Errors
    /// If the driver does not compile it.
    pub(super) fn pipeline(&self, shader: &Shader) -> Result<ComputePipeline, GpuError> {
        if let Some(pipeline) = locked(&self.pipelines).get(shader.name) {
            return Ok(pipeline.clone());
        }
        let pipeline = self.guarded("a shader", 1, || {
            let module = self.device.create_shader_module(wgpu::ShaderModuleDescriptor {
                label: Some(shader.name),
                source: wgpu::ShaderSource::Wgsl(shader.source.concat().into()),
            });
            self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: Some(shader.name),
                layout: Some(&self.layout),
                module: &module,
                entry_point: Some("main"),
                compilation_options: wgpu::PipelineCompilationOptions {
                    zero_initialize_workgroup_memory: false,
                    ..Default::default()
                },
                cache: None,
            })
        })?;
        locked(&self.pipelines).insert(shader.name, pipeline.clone());
        Ok(pipeline)
    }

    /// What `work` makes on the device, for a batch of so many examples.
    ///
    /// # Errors
    /// If the driver refuses something, memory is missing, or the device is lost.
    pub(super) fn guarded<T>(&self, what: &'static str, batch: usize, work: impl FnOnce() -> T) -> Result<T, GpuError> {
        let memory = self.device.push_error_scope(ErrorFilter::OutOfMemory);
        let internal = self.device.push_error_scope(ErrorFilter::Internal);
        let validation = self.device.push_error_scope(ErrorFilter::Validation);
        let made = work();
        let refused = [pollster::block_on(validation.pop()), pollster::block_on(internal.pop())];
        if pollster::block_on(memory.pop()).is_some() {
            return Err(GpuError::Memory { device: self.record.name.clone(), batch });
        }
        self.check(batch)?;
        match refused.into_iter().flatten().next() {
            Some(error) => {
                Err(GpuError::Refused { device: self.record.name.clone(), what, problem: error.to_string() })
            }
            None => Ok(made),
        }
    }

    /// Leaves a device that does not answer to the end of the process: to close it would wait for its answer.
    pub(super) fn abandon(&self) {
        std::mem::forget((self.device.clone(), self.queue.clone()));
    }

    /// That the device is still there.
    ///
    /// # Errors
    /// If it is lost.
    pub(super) fn check(&self, batch: usize) -> Result<(), GpuError> {
        match &*locked(&self.lost) {
            Some(reason) => Err(GpuError::Lost { device: self.record.name.clone(), batch, reason: reason.clone() }),
            None => Ok(()),
        }
    }
}

/// The order of choice.
fn rank(of: DeviceType) -> u8 {
    match of {
        DeviceType::DiscreteGpu => 0,
        DeviceType::IntegratedGpu => 1,
        DeviceType::VirtualGpu => 2,
        DeviceType::Other => 3,
        DeviceType::Cpu => 4,
    }
}

fn kind(of: DeviceType) -> &'static str {
    match of {
        DeviceType::DiscreteGpu => "discrete",
        DeviceType::IntegratedGpu => "integrated",
        DeviceType::VirtualGpu => "virtual",
        DeviceType::Other => "other",
        DeviceType::Cpu => "software",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hardware_comes_before_software() {
        let mut kinds = [DeviceType::Cpu, DeviceType::VirtualGpu, DeviceType::IntegratedGpu, DeviceType::DiscreteGpu];
        kinds.sort_by_key(|&of| rank(of));
        assert_eq!(kinds.map(kind), ["discrete", "integrated", "virtual", "software"]);
    }
}
