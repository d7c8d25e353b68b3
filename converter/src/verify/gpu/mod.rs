//! The integer student on a GPU: every op of the contract as a compute shader, equal to the runtime byte for byte.
//!
//! [`Gpu::open`] finds a device of any vendor, [`prove`] runs a model on it. A model becomes a `program` (dispatches of shaders
//! and constants, made by `ops`), whose `values` all have places of their own; a `machine` is the program in a device's memory.
//! WGSL has 32 bits at most, so `prelude.wgsl` has the contract's 64-bit steps in halves. This folder alone knows wgpu.

mod device;
mod error;
mod machine;
mod ops;
mod program;
mod proof;
mod values;

pub use device::{DeviceRecord, Gpu};
pub use error::GpuError;
pub use proof::{GpuRun, Settings, prove};
