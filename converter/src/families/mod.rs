//! Student families: named network shapes that a recipe can ask for.

pub mod distilbert;
pub mod resnet;

use crate::graph::{Graph, ShapeError};

/// A shape of network with named sizes.
pub trait Family: Sync {
    /// The family's name.
    fn name(&self) -> &'static str;

    /// The names of its sizes, each with a line on what it is.
    fn sizes(&self) -> Vec<(&'static str, &'static str)>;

    /// A network of a named size, with freshly drawn weights; `None` if the family has no such size.
    ///
    /// # Errors
    /// If the network does not fit images of this size.
    fn build(&self, size: &str, task: &Task, seed: u64) -> Option<Result<Graph, ShapeError>>;
}

/// What a classifier sees and says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Task {
    /// Height, width and channels of an image.
    pub image: [usize; 3],
    /// Number of classes.
    pub classes: usize,
}

/// All families. Adding one is a file and a line here.
pub const FAMILIES: &[&dyn Family] = &[&resnet::ResNets];

/// Why a student could not be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FamilyError {
    /// No family knows the name.
    #[error("no student is called `{name}`; there are: {}", known.join(", "))]
    Unknown {
        /// What was asked for.
        name: String,
        /// What could be asked for.
        known: Vec<&'static str>,
    },
    /// The network cannot take such images.
    #[error("student `{name}` does not fit images of {}x{}x{}", image[0], image[1], image[2])]
    Misfit {
        /// The student.
        name: String,
        /// Height, width, channels.
        image: [usize; 3],
        /// The first node that fails.
        source: ShapeError,
    },
}

/// The names of all networks.
pub fn names() -> impl Iterator<Item = &'static str> {
    FAMILIES.iter().flat_map(|family| family.sizes()).map(|(size, _)| size)
}

/// A network of a named size, with weights drawn from `seed`.
///
/// # Errors
/// If there is no such size, or it does not fit the images.
pub fn build(name: &str, task: &Task, seed: u64) -> Result<Graph, FamilyError> {
    let built = FAMILIES.iter().find_map(|family| family.build(name, task, seed));
    let Some(graph) = built else {
        return Err(FamilyError::Unknown { name: name.to_owned(), known: names().collect() });
    };
    graph.map_err(|source| FamilyError::Misfit { name: name.to_owned(), image: task.image, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_builds_for_its_usual_images() {
        for size in names() {
            let graph = build(size, &Task { image: [64, 64, 3], classes: 7 }, 1).unwrap();
            assert_eq!(graph.shape(graph.outputs[0]), [1, 7], "{size}");
            assert_eq!(graph.name, size);
        }
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        let error = build("resnet9", &Task { image: [32, 32, 3], classes: 10 }, 1).unwrap_err();
        assert!(error.to_string().contains("`resnet9`") && error.to_string().contains("resnet8"), "{error}");
    }
}
