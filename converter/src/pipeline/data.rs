//! The first stage: reads the examples of a recipe, and says how each network reads them.

use super::encoders::tokenizer_folder;
use super::{Build, BuildError};
use crate::data::{DataError, Inputs, Normalize, Part, Reader, Set, generate, text};
use crate::families::{Input, Task};
use crate::recipe::{self, Builtin, Generated, Recipe};
use crate::text::{Vocabulary, learn};
use crate::watch::Stage;
use std::path::Path;
use std::sync::Arc;

/// Most words and pieces of words that are learned where a recipe does not say it.
const LEARNED: usize = 8000;

/// The examples of a recipe, and how its networks read them.
#[derive(Clone, Debug)]
pub struct Data {
    /// To learn from.
    pub train: Set,
    /// To be judged on.
    pub test: Set,
    /// Texts whose hidden words the student guesses, where those are not the training texts.
    pub unlabelled: Option<Set>,
    /// How each teacher reads them.
    pub teachers: Vec<Reader>,
    /// How the student does, or the teacher that is quantized as it is.
    pub student: Reader,
    /// For each token of the student, which one of the first teacher it is; absent where they are the same.
    pub words: Option<Vec<u32>>,
    /// Characters of the training texts for which the student's vocabulary lacks a piece, so that a word may be unknown.
    pub incomplete: Vec<char>,
}

impl Data {
    /// What the student sees and says.
    ///
    /// # Errors
    /// If it reads something else than there is.
    pub fn task(&self) -> Result<Task, DataError> {
        self.student.task(&self.train)
    }

    /// As `words`, in the numbers that tokens have.
    pub(super) fn first_words(&self) -> Option<Vec<u16>> {
        let words = self.words.as_ref()?.iter();
        Some(words.map(|&word| u16::try_from(word).unwrap_or(u16::MAX)).collect())
    }

    /// Reads both parts, and what vocabularies the networks have.
    ///
    /// # Errors
    /// If a part or a vocabulary cannot be read, or the parts are not of one kind.
    pub fn load(recipe: &Recipe) -> Result<Self, BuildError> {
        let (train, test) = parts(&recipe.data)?;
        match &train {
            Set::Images(_) => {
                let pixels = |normalize, size| Reader::Pixels { normalize, size };
                let teachers: Vec<Reader> = recipe.teacher.iter().map(|t| pixels(normalize(t), t.size)).collect();
                let student = match (&recipe.student, teachers.first()) {
                    (None, Some(teacher)) => teacher.clone(),
                    (student, _) => pixels(Normalize::student(), student.as_ref().and_then(|student| student.size)),
                };
                Ok(Data { train, test, unlabelled: None, teachers, student, words: None, incomplete: Vec::new() })
            }
            Set::Texts(texts) => {
                let mut vocabularies = Vocabularies { recipe, corpus: &texts.texts, learned: None };
                let (teachers, student, trimmed) = vocabularies.readers()?;
                let (words, incomplete) =
                    trimmed.map_or((None, Vec::new()), |(words, incomplete)| (Some(words), incomplete));
                let path = recipe.pretrain.as_ref().and_then(|pretrain| pretrain.path.as_deref());
                let unlabelled = path.map(text::Texts::of_lines).transpose()?.map(Set::Texts);
                Ok(Data { train, test, unlabelled, teachers, student, words, incomplete })
            }
        }
    }
}

/// The training part and the test part.
fn parts(data: &recipe::Data) -> Result<(Set, Set), BuildError> {
    if let Some(Generated { kind, train, test, seed }) = data.generated {
        let make = |count, part| match kind {
            Builtin::Shapes => Set::Images(generate(count, part, seed)),
            Builtin::Intents => Set::Texts(text::generate(count, part, seed)),
        };
        return Ok((make(train, Part::Train), make(test, Part::Test)));
    }
    let path = data.path.as_deref().unwrap_or("".as_ref());
    let load = |part| Set::load(path, part, data.format, data.size);
    let (train, test) = (load(Part::Train)?, load(Part::Test)?);
    if train == test {
        return Err(DataError::OnePart { path: path.to_owned(), kind: train.kind() }.into());
    }
    match (&train, &test) {
        (Set::Images(train), Set::Images(test)) if train.shape != test.shape => Err(BuildError::text(format!(
            "images to learn from are {:?}, but images to be judged on are {:?} (height, width, channels); \
             give `data.size`",
            train.shape, test.shape
        ))),
        _ => Ok((train, test)),
    }
}

/// A teacher's own normalization. By default it is that of most public networks; one trained here sees what students see.
fn normalize(teacher: &recipe::Teacher) -> Normalize {
    match (teacher.mean, teacher.std) {
        (None, None) if teacher.weights.is_none() => Normalize::student(),
        (None, None) => Normalize::imagenet(),
        (mean, std) => Normalize::of_unit(mean.unwrap_or([0.0; 3]).to_vec(), std.unwrap_or([1.0; 3]).to_vec()),
    }
}

/// Which words of the first teacher a student has, and the characters that are incomplete there.
type Trim = (Vec<u32>, Vec<char>);

/// What the vocabularies of a recipe are made of.
struct Vocabularies<'a> {
    recipe: &'a Recipe,
    /// The texts to learn from.
    corpus: &'a [String],
    /// What they give; networks that come without a vocabulary share it.
    learned: Option<Arc<Vocabulary>>,
}

impl Vocabularies<'_> {
    /// The readers of the teachers and of the student, and what was left out for the student.
    fn readers(&mut self) -> Result<(Vec<Reader>, Reader, Option<Trim>), BuildError> {
        let recipe = self.recipe;
        let folders = recipe.teacher.iter().map(|teacher| teacher.weights.as_deref().map(tokenizer_folder));
        let all: Vec<Arc<Vocabulary>> = folders.map(|folder| self.vocabulary(folder)).collect::<Result<_, _>>()?;
        let limit = recipe.student.as_ref().and_then(|student| student.vocabulary);
        let (own, trim) = match (recipe.teacher.first(), all.first(), limit) {
            (Some(recipe::Teacher { weights: Some(_), .. }), Some(vocabulary), Some(limit)) => {
                let trimmed = vocabulary.trim(self.texts(), Some(limit))?;
                let words = trimmed.kept.into_iter().map(u32::from).collect();
                (Arc::new(trimmed.vocabulary), Some((words, trimmed.incomplete)))
            }
            (_, Some(vocabulary), _) => (Arc::clone(vocabulary), None),
            (_, None, _) => (self.vocabulary(None)?, None),
        };
        let reader = |vocabulary| Reader::Text { vocabulary, tokens: recipe.data.tokens() };
        Ok((all.into_iter().map(reader).collect(), reader(own), trim))
    }

    /// The vocabulary of a folder, or else one of the texts themselves, without what none of them needs in the end.
    fn vocabulary(&mut self, folder: Option<&Path>) -> Result<Arc<Vocabulary>, BuildError> {
        match (folder, self.learned.clone()) {
            (Some(folder), _) => Ok(Arc::new(Vocabulary::read(folder)?)),
            (None, Some(learned)) => Ok(learned),
            (None, None) => {
                let student = self.recipe.student.as_ref();
                let most = student.and_then(|student| student.vocabulary).unwrap_or(LEARNED);
                let learned = learn(self.texts(), most)?.trim(self.texts(), None)?.vocabulary;
                Ok(Arc::clone(self.learned.insert(Arc::new(learned))))
            }
        }
    }

    fn texts(&self) -> impl Iterator<Item = &str> {
        self.corpus.iter().map(String::as_str)
    }
}

impl Build<'_> {
    /// Stage `data`: reads the examples.
    ///
    /// # Errors
    /// As [`Data::load`].
    pub fn data(&self) -> Result<Data, BuildError> {
        self.stage(Stage::Data, &format!("reading {}", self.recipe.data.kind()), || {
            let data = Data::load(self.recipe)?;
            let (train, test) = (data.student.read(&data.train)?, data.student.read(&data.test)?);
            let mut line = format!(
                "{} {} to learn from, {} to be judged on, {} classes, ",
                train.len(),
                data.train.kind(),
                test.len(),
                data.train.classes().len()
            );
            match (&train, &test, data.student.task(&data.train)?.input) {
                (Inputs::Texts(train), Inputs::Texts(test), Input::Text { vocabulary, tokens }) => {
                    line += &format!("up to {tokens} tokens out of {vocabulary}");
                    if train.truncated + test.truncated > 0 {
                        line += &format!(", {} and {} texts cut off", train.truncated, test.truncated);
                    }
                }
                (.., Input::Image([height, width, _])) => line += &format!("{height}x{width}"),
                _ => {}
            }
            if let Some(texts) = &data.unlabelled {
                line += &format!(", and {} texts without labels", texts.len());
            }
            if !data.incomplete.is_empty() {
                let characters: String = data.incomplete.iter().take(20).collect();
                line += &format!("; words with one of these may be unknown: {characters}");
            }
            Ok((data, line, false))
        })
    }
}
