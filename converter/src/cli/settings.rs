//! What the arguments mean: recipes read, work folders opened, tables found.

use super::Failure;
use super::args::RecipeArgs;
use super::ui::Ui;
use crate::artifact::Store;
use crate::data::text::{self, Texts, Tokenized};
use crate::data::{Dataset, Format, Kind, Part, generate};
use crate::families::Input;
use crate::pipeline::Build;
use crate::recipe::Recipe;
use crate::verify::Feed;
use crate::verify::host::{self, HostError};
use limbeck_runtime::{Isa, Kernels, Model};
use std::path::Path;

/// A recipe with the folder of its artifacts.
pub(super) struct Work {
    pub(super) recipe: Recipe,
    pub(super) store: Store,
}

impl Work {
    /// Reads the recipe and opens its work folder.
    pub(super) fn open(args: &RecipeArgs) -> Result<Self, Failure> {
        let recipe = Recipe::load(&args.recipe)?;
        let folder = args.work.clone().unwrap_or_else(|| Path::new("limbeck-out").join(&recipe.name));
        Ok(Work { store: Store::open(folder)?, recipe })
    }

    /// The stages of the recipe, watched.
    pub(super) fn build<'a>(&'a self, ui: &'a Ui) -> Build<'a> {
        Build::new(&self.recipe, &self.store, ui, threads())
    }
}

/// Threads to use: one for each of the processor's.
pub(super) fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The kernel table of a name, if this CPU can run it.
pub(super) fn table(name: &str) -> Result<&'static Kernels, Failure> {
    let names = |isas: &mut dyn Iterator<Item = Isa>| isas.map(Isa::name).collect::<Vec<_>>().join(", ");
    let Some(isa) = Isa::by_name(name) else {
        return Err(
            format!("no kernel table is called `{name}`; there are: {}", names(&mut Isa::ALL.iter().copied())).into()
        );
    };
    Kernels::for_isa(isa).ok_or_else(|| {
        format!("this CPU cannot run the table `{name}`; it has: {}", names(&mut Kernels::all().map(|k| k.isa))).into()
    })
}

/// Examples that `--data generated` stands for: those that the demo is judged on.
const GENERATED: usize = 1000;

/// Labelled examples as a model takes them, their classes numbered as the model numbers them.
pub(super) struct Examples {
    pub(super) feed: Box<dyn Feed>,
    pub(super) labels: Vec<u32>,
    /// Texts that were cut off; absent for images.
    pub(super) truncated: Option<usize>,
}

/// Labelled examples for a model: images scaled to what it takes, texts cut by its own tokenizer.
pub(super) fn examples(
    path: &Path,
    format: Option<Format>,
    model: &Model<'_>,
    limit: Option<usize>,
) -> Result<Examples, Failure> {
    let task = host::task(model)?;
    let limit = limit.unwrap_or(usize::MAX);
    let generated = path == Path::new("generated") && !path.exists();
    match (task.input, format) {
        (Input::Image([height, width, _]), None | Some(Format::Images(_))) => {
            let mut images = match (generated, format) {
                (true, _) => generate(GENERATED, Part::Test, 1),
                (false, Some(Format::Images(format))) => {
                    Dataset::load(path, Part::Test, Some(format), Some([height, width]))?
                }
                (false, _) => Dataset::load(path, Part::Test, None, Some([height, width]))?,
            };
            renumber(&mut images.labels, &images.classes, model, Kind::Images)?;
            if limit < images.len() {
                images = images.subset(&(0..limit).collect::<Vec<_>>());
            }
            let labels = images.labels.clone();
            Ok(Examples { feed: Box::new(images), labels, truncated: None })
        }
        (Input::Text { tokens, .. }, None | Some(Format::Texts(_))) => {
            let tokenizer = model.tokenizer().ok_or("the model's file has no vocabulary to make tokens of texts")?;
            let mut texts = match (generated, format) {
                (true, _) => text::generate(GENERATED, Part::Test, 1),
                (false, Some(Format::Texts(format))) => Texts::load(path, Part::Test, Some(format))?,
                (false, _) => Texts::load(path, Part::Test, None)?,
            };
            renumber(&mut texts.labels, &texts.classes, model, Kind::Texts)?;
            texts.texts.truncate(limit);
            texts.labels.truncate(limit);
            let tokenized = Tokenized::new(&texts, tokenizer, tokens);
            let truncated = Some(tokenized.truncated);
            Ok(Examples { feed: Box::new(tokenized), labels: texts.labels, truncated })
        }
        (input, Some(format)) => Err(HostError::Kind { expected: input.kind(), found: format.kind() }.into()),
    }
}

/// Numbers labels as the model does: by the names of the classes, or as they are where one of the two has numbers only.
fn renumber(labels: &mut [u32], found: &[String], model: &Model<'_>, kind: Kind) -> Result<(), Failure> {
    let (classes, names) = (host::task(model)?.classes, model.labels().collect::<Vec<_>>());
    let numbered = found.iter().enumerate().all(|(number, class)| *class == number.to_string());
    if (numbered || names.len() != classes) && found.len() <= classes {
        return Ok(());
    }
    let number = |class: &String| names.iter().position(|name| name == class).map(|number| number as u32);
    let numbers: Vec<u32> = found.iter().map_while(number).collect();
    match found.get(numbers.len()) {
        None => {
            labels.iter_mut().for_each(|label| *label = numbers[*label as usize]);
            Ok(())
        }
        Some(class) if found.len() == classes => {
            let names = names.join(", ");
            Err(format!("the {kind} have a class `{class}`, which the model does not know: {names}").into())
        }
        Some(_) => Err(HostError::Classes { kind, expected: classes, found: found.len() }.into()),
    }
}
