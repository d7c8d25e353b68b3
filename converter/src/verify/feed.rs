//! Examples that a model file is run over: images as pixels, texts as tokens.

use super::host::{self, HostError};
use crate::data::text::Tokenized;
use crate::data::{Dataset, Inputs, Kind};
use crate::families::Input;
use limbeck_runtime::{Model, Session};

/// Numbered examples for a model.
pub trait Feed: Sync {
    /// What they are.
    fn kind(&self) -> Kind;

    /// How many there are.
    fn len(&self) -> usize;

    /// Whether there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Refuses a model that takes something else.
    ///
    /// # Errors
    /// With what it takes.
    fn check(&self, model: &Model<'_>) -> Result<(), HostError>;

    /// Fills the input of a session with an example.
    ///
    /// # Errors
    /// If a text does not fit the model.
    fn give(&self, index: usize, session: &mut Session<'_, '_, '_>) -> Result<(), HostError>;
}

impl Feed for Dataset {
    fn kind(&self) -> Kind {
        Kind::Images
    }

    fn len(&self) -> usize {
        self.labels.len()
    }

    fn check(&self, model: &Model<'_>) -> Result<(), HostError> {
        match host::task(model)?.input {
            Input::Image(expected) if expected == self.shape => Ok(()),
            Input::Image(expected) => Err(HostError::Images { expected, found: self.shape }),
            Input::Text { .. } => Err(HostError::Kind { expected: Kind::Texts, found: Kind::Images }),
        }
    }

    fn give(&self, index: usize, session: &mut Session<'_, '_, '_>) -> Result<(), HostError> {
        session.set_pixels(0, self.image(index));
        Ok(())
    }
}

impl Feed for Tokenized {
    fn kind(&self) -> Kind {
        Kind::Texts
    }

    fn len(&self) -> usize {
        self.labels.len()
    }

    fn check(&self, model: &Model<'_>) -> Result<(), HostError> {
        match host::task(model)?.input {
            Input::Text { .. } => Ok(()),
            Input::Image(_) => Err(HostError::Kind { expected: Kind::Images, found: Kind::Texts }),
        }
    }

    fn give(&self, index: usize, session: &mut Session<'_, '_, '_>) -> Result<(), HostError> {
        Ok(session.set_tokens(self.text(index))?)
    }
}

impl Feed for Inputs<'_> {
    fn kind(&self) -> Kind {
        self.as_feed().kind()
    }

    fn len(&self) -> usize {
        self.as_feed().len()
    }

    fn check(&self, model: &Model<'_>) -> Result<(), HostError> {
        self.as_feed().check(model)
    }

    fn give(&self, index: usize, session: &mut Session<'_, '_, '_>) -> Result<(), HostError> {
        self.as_feed().give(index, session)
    }
}

impl Inputs<'_> {
    fn as_feed(&self) -> &dyn Feed {
        match self {
            Inputs::Images(images, _) => images.as_ref(),
            Inputs::Texts(texts) => texts,
        }
    }
}
