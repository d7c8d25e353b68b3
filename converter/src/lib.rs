//! Distills large teacher models into small int8 students that run bit for bit the same everywhere.

pub mod data;
pub mod families;
pub mod graph;
pub mod ops;
