//! Distills large teacher models into small int8 students that run bit for bit the same everywhere.

pub mod artifact;
pub mod cli;
pub mod data;
pub mod distill;
pub mod families;
pub mod graph;
pub mod ops;
pub mod pack;
pub mod pipeline;
pub mod plan;
pub mod quantize;
pub mod recipe;
pub mod teacher;
pub mod text;
pub mod train;
pub mod verify;
pub mod watch;
