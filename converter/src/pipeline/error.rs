//! Why a build ended without its result.

use crate::artifact::ArtifactError;
use crate::data::DataError;
use crate::distill::LabelError;
use crate::families::FamilyError;
use crate::families::distilbert::InheritError;
use crate::pack::PackError;
use crate::plan::{BudgetError, PlanError};
use crate::quantize::{AwareError, QuantizeError};
use crate::teacher::TeacherError;
use crate::teacher::backbone::BackboneError;
use crate::teacher::safetensors::WeightsError;
use crate::text::TextError;
use crate::train::TrainError;
use crate::verify::exact::ExactError;
use crate::verify::host::HostError;
use crate::verify::record::Bar;
use crate::watch::Stage;
use limbeck_runtime::format::emit::EmitError;
use limbeck_runtime::text::VocabularyRule;
use limbeck_targets::TargetError;
use std::error::Error;

/// Why a build ended without its result. Everything finished before is kept.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The user stopped it.
    #[error("stopped in stage {stage}; what is finished is kept, and the same command goes on from there")]
    Interrupted {
        /// Where it was.
        stage: Stage,
    },
    /// A stage failed.
    #[error("stage {stage}: {source}")]
    Stage {
        /// Which.
        stage: Stage,
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
    /// Everything was made, but it is not good enough.
    #[error(
        "the result misses the recipe's bars: {}; the report says more, the model is set aside as NAME.refused.lmb, and \
         `--accept-loss` takes it as it is",
        missed(.0)
    )]
    Missed(Vec<Bar>),
    /// No way to quantize is good enough.
    #[error(
        "int8 loses too much in every way that was tried, and no model is written: {table}\n\
         allow more, choose a larger student, describe a longer training in `[qat]`, or take the loss with `--accept-loss`"
    )]
    Lossy {
        /// What was tried, and what each layer costs.
        table: String,
    },
    /// A failure of which the stage is not known yet.
    #[error(transparent)]
    Plain(Box<dyn Error + Send + Sync>),
}

fn missed(bars: &[Bar]) -> String {
    let line = |bar: &Bar| format!("`{}` is {} instead of {}", bar.name, bar.reached, bar.bound);
    bars.iter().filter(|bar| !bar.met).map(line).collect::<Vec<_>>().join(", ")
}

impl BuildError {
    /// A failure that is only a text.
    pub(super) fn text(problem: impl Into<String>) -> Self {
        BuildError::Plain(problem.into().into())
    }

    /// A file that this program cannot read.
    #[cfg(not(feature = "onnx"))]
    pub(super) fn no_onnx(path: &std::path::Path) -> Self {
        let problem =
            "is an ONNX file, but this program was built without the feature `onnx`: build it with `--features onnx`";
        BuildError::text(format!("{} {problem}", path.display()))
    }

    /// The error, with the stage that it came from.
    pub(super) fn at(self, stage: Stage) -> Self {
        match self {
            BuildError::Plain(source) => BuildError::Stage { stage, source },
            BuildError::Interrupted { .. } => BuildError::Interrupted { stage },
            other => other,
        }
    }
}

impl From<TrainError> for BuildError {
    fn from(error: TrainError) -> Self {
        match error {
            TrainError::Interrupted { .. } => BuildError::Interrupted { stage: Stage::Distill },
            other => BuildError::Plain(other.into()),
        }
    }
}

impl From<AwareError> for BuildError {
    fn from(error: AwareError) -> Self {
        match error {
            AwareError::Quantize(error) => error.into(),
            AwareError::Train(error) => error.into(),
        }
    }
}

impl From<LabelError> for BuildError {
    fn from(error: LabelError) -> Self {
        match error {
            LabelError::Interrupted { .. } => BuildError::Interrupted { stage: Stage::Label },
            other => BuildError::Plain(other.into()),
        }
    }
}

macro_rules! plain {
    ($($error:ty),* $(,)?) => {
        $(impl From<$error> for BuildError {
            fn from(error: $error) -> Self {
                BuildError::Plain(error.into())
            }
        })*
    };
}

plain!(
    ArtifactError,
    DataError,
    FamilyError,
    InheritError,
    PackError,
    PlanError,
    BudgetError,
    QuantizeError,
    TargetError,
    TextError,
    TeacherError,
    BackboneError,
    WeightsError,
    EmitError,
    VocabularyRule,
    serde_json::Error,
);

impl From<HostError> for BuildError {
    fn from(error: HostError) -> Self {
        match error {
            HostError::Interrupted => BuildError::Interrupted { stage: Stage::Verify },
            other => BuildError::Plain(other.into()),
        }
    }
}

impl From<ExactError> for BuildError {
    fn from(error: ExactError) -> Self {
        match error {
            ExactError::Host(error) => error.into(),
            other => BuildError::Plain(other.into()),
        }
    }
}
