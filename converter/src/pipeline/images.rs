//! The first stage: reads the images of a recipe.

use super::{Build, BuildError};
use crate::data::{DataError, Dataset, Part, generate};
use crate::families::Task;
use crate::recipe::{Data, Generated};
use crate::watch::Stage;

/// The images of a recipe.
#[derive(Clone, Debug)]
pub struct Images {
    /// To learn from.
    pub train: Dataset,
    /// To be judged on.
    pub test: Dataset,
}

impl Images {
    /// What a network for them sees and says.
    pub fn task(&self) -> Task {
        Task { image: self.train.shape, classes: self.train.classes.len() }
    }

    /// Reads both parts.
    ///
    /// # Errors
    /// If one cannot be read, or they are not of one kind.
    pub fn load(data: &Data) -> Result<Self, BuildError> {
        if let Some(Generated { train, test, seed }) = data.generated {
            return Ok(Images { train: generate(train, Part::Train, seed), test: generate(test, Part::Test, seed) });
        }
        let path = data.path.as_deref().unwrap_or("".as_ref());
        let load = |part| Dataset::load(path, part, data.format, data.size);
        let (train, test) = (load(Part::Train)?, load(Part::Test)?);
        if train == test {
            return Err(DataError::OnePart { path: path.to_owned() }.into());
        }
        if train.shape != test.shape {
            return Err(BuildError::text(format!(
                "images to learn from are {:?}, but images to be judged on are {:?} (height, width, channels); \
                 give `data.size`",
                train.shape, test.shape
            )));
        }
        Ok(Images { train, test })
    }
}

impl Build<'_> {
    /// Stage `data`: reads the images.
    ///
    /// # Errors
    /// As [`Images::load`].
    pub fn images(&self) -> Result<Images, BuildError> {
        self.stage(Stage::Data, "reading images", || {
            let images = Images::load(&self.recipe.data)?;
            let [height, width, _] = images.train.shape;
            let line = format!(
                "{} images to learn from, {} to be judged on, {height}x{width}, {} classes",
                images.train.len(),
                images.test.len(),
                images.train.classes.len()
            );
            Ok((images, line, false))
        })
    }
}
