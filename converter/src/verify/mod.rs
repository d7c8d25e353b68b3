//! The last stage: what was made is run by the real runtime, compared and judged.

pub mod accuracy;
pub mod exact;
mod feed;
#[cfg(feature = "gpu")]
pub mod gpu;
pub mod host;
pub mod record;
pub mod relayout;
pub mod report;
pub mod timing;

pub use feed::Feed;
