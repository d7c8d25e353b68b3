//! The last stage: what was made is run by the real runtime, compared and judged.

pub mod accuracy;
mod plots;
pub mod record;
pub mod report;
