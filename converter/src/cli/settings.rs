//! What the arguments mean: recipes read, work folders opened, tables found.

use super::Failure;
use super::args::RecipeArgs;
use super::ui::Ui;
use crate::artifact::Store;
use crate::pipeline::Build;
use crate::recipe::Recipe;
use limbeck_runtime::{Isa, Kernels};
use std::path::{Path, PathBuf};

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

    /// The path of an artifact, for answers.
    pub(super) fn path(&self, artifact: &str) -> PathBuf {
        self.store.path(artifact)
    }
}

/// Threads to use: one for each of the processor's.
pub(super) fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The kernel table of a name, if this CPU can run it.
#[expect(dead_code, reason = "commands that run models come next")]
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
