//! START HERE: the stages in order, each one call from the former stage's artifact to the next.

use crate::watch::Stage;

/// Why a build ended without its result.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The user stopped it.
    #[error("stopped in stage {stage}; everything finished is kept, run the same command again to go on")]
    Interrupted {
        /// Where it was.
        stage: Stage,
    },
}
