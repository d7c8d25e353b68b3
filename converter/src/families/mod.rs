//! Student families: named network shapes that a recipe can ask for.

mod builder;
pub mod distilbert;
pub mod efficientnet;
pub mod resnet;

use crate::data::Kind;
use crate::graph::{Graph, ShapeError};
use std::fmt;

/// A shape of network with named sizes.
pub trait Family: Sync {
    /// The family's name.
    fn name(&self) -> &'static str;

    /// What its networks take.
    fn takes(&self) -> Kind;

    /// The names of its sizes, each with a line on what it is.
    fn sizes(&self) -> Vec<(&'static str, &'static str)>;

    /// Whether it has a size of this name, which need not be among those that are listed.
    fn has(&self, size: &str) -> bool {
        self.sizes().iter().any(|(name, _)| *name == size)
    }

    /// A network of a named size, with freshly drawn weights; `None` if the family has no such size, or takes something else.
    ///
    /// # Errors
    /// If the network does not fit inputs of this size.
    fn build(&self, size: &str, task: &Task, seed: u64) -> Option<Result<Graph, ShapeError>>;
}

/// What a classifier sees and says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Task {
    /// What it sees.
    pub input: Input,
    /// Number of classes.
    pub classes: usize,
}

/// What a network takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// Height, width and channels of an image.
    Image([usize; 3]),
    /// A text as token ids.
    Text {
        /// Every id is below this number.
        vocabulary: usize,
        /// The longest text, in tokens.
        tokens: usize,
    },
}

impl Task {
    /// Images of this height, width and number of channels, to be told apart.
    pub const fn of_images(image: [usize; 3], classes: usize) -> Self {
        Task { input: Input::Image(image), classes }
    }
}

impl Input {
    /// Of which kind it is.
    pub fn kind(&self) -> Kind {
        match self {
            Input::Image(_) => Kind::Images,
            Input::Text { .. } => Kind::Texts,
        }
    }
}

impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Input::Image([height, width, channels]) => write!(f, "images of {height}x{width}x{channels}"),
            Input::Text { vocabulary, tokens } => write!(f, "texts of up to {tokens} tokens out of {vocabulary}"),
        }
    }
}

/// All families. Adding one is a file and a line here.
pub const FAMILIES: &[&dyn Family] = &[&resnet::ResNets, &efficientnet::EfficientNets, &distilbert::Encoders];

/// Why a student could not be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FamilyError {
    /// No family knows the name.
    #[error("no network for {kind} is called `{name}`; there are: {}", known.join(", "))]
    Unknown {
        /// What was asked for.
        name: String,
        /// What it is to take.
        kind: Kind,
        /// What could be asked for.
        known: Vec<&'static str>,
    },
    /// The network takes something else.
    #[error("network `{name}` takes {takes}, but the data are {kind}; there are: {}", known.join(", "))]
    Kind {
        /// What was asked for.
        name: String,
        /// What it takes.
        takes: Kind,
        /// What it is to take.
        kind: Kind,
        /// What could be asked for.
        known: Vec<&'static str>,
    },
    /// The network cannot take such inputs.
    #[error("network `{name}` does not fit {input}")]
    Misfit {
        /// The network.
        name: String,
        /// What it is to take.
        input: Input,
        /// The first node that fails.
        source: ShapeError,
    },
}

/// The names of the networks that take such inputs.
pub fn names(kind: Kind) -> impl Iterator<Item = &'static str> {
    FAMILIES.iter().filter(move |family| family.takes() == kind).flat_map(|family| family.sizes()).map(|(size, _)| size)
}

/// Refuses the name of a network that does not exist, or takes something else.
///
/// # Errors
/// With the names that there are.
pub fn check(name: &str, kind: Kind) -> Result<(), FamilyError> {
    let known = || names(kind).collect();
    match FAMILIES.iter().find(|family| family.has(name)).map(|family| family.takes()) {
        None => Err(FamilyError::Unknown { name: name.to_owned(), kind, known: known() }),
        Some(takes) if takes != kind => Err(FamilyError::Kind { name: name.to_owned(), takes, kind, known: known() }),
        Some(_) => Ok(()),
    }
}

/// A network of a named size, with weights drawn from `seed`.
///
/// # Errors
/// If there is no such size, or it does not fit the inputs.
pub fn build(name: &str, task: &Task, seed: u64) -> Result<Graph, FamilyError> {
    check(name, task.input.kind())?;
    let built = FAMILIES.iter().find_map(|family| family.build(name, task, seed));
    let Some(graph) = built else {
        let kind = task.input.kind();
        return Err(FamilyError::Unknown { name: name.to_owned(), kind, known: names(kind).collect() });
    };
    graph.map_err(|source| FamilyError::Misfit { name: name.to_owned(), input: task.input, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    const IMAGES: Task = Task::of_images([64, 64, 3], 7);
    const TEXTS: Task = Task { input: Input::Text { vocabulary: 50, tokens: 12 }, classes: 7 };

    #[test]
    fn every_size_builds_for_its_usual_inputs() {
        for task in [IMAGES, TEXTS] {
            // Drawing the weights of the largest encoders takes longer than all other tests together.
            for size in names(task.input.kind()).filter(|size| !["distilbert", "bert-base"].contains(size)) {
                let graph = build(size, &task, 1).unwrap();
                assert_eq!(graph.shape(graph.outputs[0]), [1, 7], "{size}");
                assert_eq!(graph.name, size);
            }
        }
    }

    #[test]
    fn a_wrong_name_lists_the_right_ones() {
        let rows = [
            ("resnet9", IMAGES, "no network for images is called `resnet9`; there are: resnet8-8, resnet8, "),
            ("bert-tiny", IMAGES, "network `bert-tiny` takes texts, but the data are images; there are: resnet8-8, "),
            ("resnet8", TEXTS, "network `resnet8` takes images, but the data are texts; there are: bert-pico, "),
            (
                "distilbert-l2-h30-a4",
                TEXTS,
                "network `distilbert-l2-h30-a4` does not fit texts of up to 12 tokens out of 50",
            ),
        ];
        for (name, task, expected) in rows {
            let error = build(name, &task, 1).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
        assert_eq!(build("distilbert-l1-h32-a2-f64-e16", &TEXTS, 1).unwrap().name, "distilbert-l1-h32-a2-f64-e16");
    }
}
