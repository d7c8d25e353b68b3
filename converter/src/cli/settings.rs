//! What the arguments mean: recipes read, work folders opened, tables found.

use super::Failure;
use super::args::RecipeArgs;
use super::ui::Ui;
use crate::artifact::Store;
use crate::data::{Dataset, Format, Part, generate};
use crate::pipeline::Build;
use crate::recipe::Recipe;
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

/// Pictures that `--data generated` stands for: those that the demo is judged on.
const GENERATED: usize = 1000;

/// Labelled images for a model, scaled to what it takes, their classes numbered as the model numbers them.
pub(super) fn images(
    path: &Path,
    format: Option<Format>,
    model: &Model<'_>,
    limit: Option<usize>,
) -> Result<Dataset, Failure> {
    let ([height, width, _], classes) = host::task(model)?;
    let mut images = if path == Path::new("generated") && !path.exists() {
        generate(GENERATED, Part::Test, 1)
    } else {
        Dataset::load(path, Part::Test, format, Some([height, width]))?
    };
    if images.classes.len() != classes {
        return Err(HostError::Classes { expected: classes, found: images.classes.len() }.into());
    }
    let names: Vec<&str> = model.labels().collect();
    if names.len() == classes && names != images.classes {
        let number = |class: &String| {
            names.iter().position(|name| name == class).ok_or_else(|| {
                format!("the images have a class `{class}`, which the model does not know: {}", names.join(", "))
            })
        };
        let numbers: Vec<u32> =
            images.classes.iter().map(|class| number(class).map(|n| n as u32)).collect::<Result<_, _>>()?;
        images.labels.iter_mut().for_each(|label| *label = numbers[*label as usize]);
        images.classes = names.iter().map(|&name| name.to_owned()).collect();
    }
    if let Some(limit) = limit.filter(|&limit| limit < images.len()) {
        images = images.subset(&(0..limit).collect::<Vec<_>>());
    }
    Ok(images)
}
