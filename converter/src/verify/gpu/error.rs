//! Why a GPU gave no proof, and what to do.

use super::super::host::HostError;
use limbeck_runtime::format::emit::EmitError;
use std::time::Duration;

/// Why there is no proof.
#[derive(Debug, thiserror::Error)]
pub enum GpuError {
    /// There is no device.
    #[error(
        "there is no GPU: no Vulkan, Metal or Direct3D 12 driver has a device (Mesa's software device will do: Debian's mesa-vulkan-drivers)"
    )]
    NoDevice,
    /// The device does not open.
    #[error("the GPU `{device}` does not open: {problem}; update its driver, or use `--device cpu`")]
    Open {
        /// Its name.
        device: String,
        /// What the driver says.
        problem: String,
    },
    /// More memory than there is.
    #[error("the GPU `{device}` has no memory for {batch} examples at once; try `--batch {}`", (batch / 2).max(1))]
    Memory {
        /// Its name.
        device: String,
        /// Examples of a batch.
        batch: usize,
    },
    /// More memory than a device lets a shader see.
    #[error("{batch} examples are too many for the GPU `{device}`, which has room for {most}; {}", remedy(*most))]
    Batch {
        /// Its name.
        device: String,
        /// Examples asked for.
        batch: usize,
        /// How many there can be.
        most: usize,
    },
    /// No answer.
    #[error("the GPU `{device}` has not answered for {} seconds on {batch} examples; {}", waited.as_secs(), smaller(*batch))]
    Timeout {
        /// Its name.
        device: String,
        /// Examples of a batch.
        batch: usize,
        /// How long.
        waited: Duration,
    },
    /// The driver has taken the device away, as it does where work takes too long.
    #[error("the GPU `{device}` was lost ({reason}) on {batch} examples; {}", smaller(*batch))]
    Lost {
        /// Its name.
        device: String,
        /// Examples of a batch.
        batch: usize,
        /// What the driver says.
        reason: String,
    },
    /// The driver refuses something.
    #[error("the GPU `{device}` refuses {what}: {problem}; update its driver, or use `--device cpu`")]
    Refused {
        /// Its name.
        device: String,
        /// What.
        what: &'static str,
        /// What the driver says.
        problem: String,
    },
    /// An arena that is used in an unusual way.
    #[error(
        "op {op} ({kind}) reads what is not the whole result of one op before it; such a model runs on the CPU only: use `--device cpu`"
    )]
    Overlap {
        /// The op's number.
        op: usize,
        /// What it is.
        kind: &'static str,
    },
    /// The runtime does not run the model.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The file could not be written in another layout.
    #[error("cannot write the model in another layout")]
    Relayout(#[from] EmitError),
    /// The GPU computes something else.
    #[error(
        "{file}: the GPU `{device}` differs from the runtime, first at example {example}, in {layer}, element {element}: \
         {found} instead of {expected}; this is a fault of the program or of the GPU's driver, please report it"
    )]
    Differs {
        /// The model file.
        file: String,
        /// The device.
        device: String,
        /// The first example.
        example: usize,
        /// The first op.
        layer: String,
        /// The first element of its output.
        element: usize,
        /// What it is.
        found: i32,
        /// What it should be.
        expected: i32,
    },
}

fn remedy(most: usize) -> String {
    match most {
        0 => "use `--device cpu`".to_owned(),
        most => format!("try `--batch {most}`"),
    }
}

fn smaller(batch: usize) -> String {
    match batch {
        0 | 1 => "use `--device cpu`".to_owned(),
        batch => format!("try `--batch {}`", batch / 2),
    }
}
