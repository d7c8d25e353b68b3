//! Sum of two tensors of which one is the residual stream of a transformer; among reals it is a sum like any other.

pub use super::add::reference;
