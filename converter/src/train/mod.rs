//! The float graph executed with gradients, and everything that training needs round it.

pub mod exec;
