//! Reads ONNX files into the float graph and writes them from it; the only folder that names tract.
//!
//! tract parses the file and computes what does not depend on the model's input. The nodes themselves are lowered one
//! by one under the names they have in the file, so that activations can be compared with any other runtime's.

mod call;
mod constants;
mod encoder;
mod error;
mod export;
mod file;
mod fuse;
mod lower;
mod ops;
mod proto;
#[cfg(test)]
mod tests;

pub use encoder::import_encoder;
pub use error::{ExportError, ImportError, NodeInfo};
pub use export::export;
pub use file::read_tensor;

use crate::graph::{Graph, rewrite};
use file::ModelFile;
use lower::Axes;
use std::ops::RangeInclusive;
use std::path::Path;

/// The operator sets that can be read.
pub const OPSETS: RangeInclusive<i64> = 7..=25;

/// Reads a model in canonical form: channels-last, batch norms folded, an open batch taken as 1.
///
/// Inputs and outputs of four axes, channels-first in ONNX, are `[batch, height, width, channels]` here, unless the
/// model itself says otherwise by a transpose at its edge. Weights of all float types become 32-bit floats.
///
/// # Errors
/// If the file is missing or damaged, holds numbers that are not finite, or has a node without counterpart.
pub fn import(path: &Path) -> Result<Graph, ImportError> {
    let mut file = ModelFile::read(path)?;
    file.graph.node = fuse::fuse(&file, &file.graph.node, None);
    let graph = lower::lower(&file, Axes::ChannelsLast)?;
    Ok(rewrite::canonicalize(graph))
}

/// Reads a model node by node, with inputs and outputs in the file's order of axes.
///
/// # Errors
/// As [`import`].
pub fn import_verbatim(path: &Path) -> Result<Graph, ImportError> {
    lower::lower(&ModelFile::read(path)?, Axes::AsInFile)
}
