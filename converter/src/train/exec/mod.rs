//! The executor of float graphs: forward for teachers, calibration and evaluation, forward and backward for training.
//!
//! [`Infer`] runs a graph, [`Trainable`] trains one. Both turn the graph into layers (`layer`: one file for each group of
//! operators, forward and gradients side by side) on items of a batch. All heavy arithmetic is in two tiles (`gemm`),
//! written once for every vector length.

mod buffer;
mod conv;
mod depthwise;
mod dropout;
mod eltwise;
mod gemm;
mod infer;
mod layer;
mod layout;
mod linear;
mod matmul;
mod norm;
mod packed;
mod passes;
mod pool;
mod program;
mod rows;
mod schedule;
mod shard;
mod smooth;
mod softmax;
mod strided;
mod text;
mod threads;
mod tokens;
mod trainable;

#[cfg(test)]
mod tests;

pub use dropout::Dropout;
pub use infer::Infer;
pub(in crate::train) use threads::Threads;
pub use trainable::{Param, ParamKind, Rows, State, Trainable};

use crate::graph::ShapeError;

/// Why a graph cannot be executed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ExecError {
    /// The shapes do not fit.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// A node is used in a form that the executor has not.
    #[error("node `{node}` ({op}): {problem}")]
    Unsupported {
        /// The node.
        node: String,
        /// Its operator.
        op: &'static str,
        /// What is wrong and what would do.
        problem: String,
    },
    /// The graph as a whole does not fit the purpose.
    #[error("graph `{graph}`: {problem}")]
    Graph {
        /// The graph.
        graph: String,
        /// What is wrong and what would do.
        problem: String,
    },
    /// A run was given what the graph does not take.
    #[error("expected {expected}, found {found}")]
    Input {
        /// What the graph takes.
        expected: String,
        /// What it was given.
        found: String,
    },
    /// The threads could not be started.
    #[error("cannot start {count} threads: {problem}; ask for fewer")]
    Threads {
        /// How many.
        count: usize,
        /// What the system says.
        problem: String,
    },
}
