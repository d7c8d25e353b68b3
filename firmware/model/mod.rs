//! The models that `classify` can hold without a file: known shapes with seeded random weights.
//!
//! They classify nothing, but they have the arena and the work of real ones, and self-tests whose digests were computed on the
//! host.

mod bert;
mod resnet8;
mod transformer;

use std::error::Error;

use limbeck_runtime::format::emit::{SelfTestSpec, TestInput};
use limbeck_runtime::ops::AllOps;
use limbeck_runtime::{AlignedBytes, Isa, Kernels, Model, Rng, Session, arena_bytes};

/// A model file, or why there is none.
type Built = Result<AlignedBytes, Box<dyn Error>>;

/// Makes a model for the kernels of a table.
type Build = fn(Isa) -> Built;

/// All of them by name; the first is for a program that nobody gave a model.
pub(crate) const MODELS: [(&str, Build); 2] = [("random-resnet8", resnet8::build), ("random-bert", bert::build)];

/// Inputs of seeds 1 to 3, with what the best table of this computer gives for them.
fn self_tests(file: &[u8]) -> Result<Vec<SelfTestSpec<'static>>, Box<dyn Error>> {
    let model = Model::parse(file)?;
    let kernels = Kernels::best::<AllOps>(model.layout());
    let mut arena = AlignedBytes::zeroed(arena_bytes(&model, kernels.isa));
    let mut session = Session::with_kernels(&model, &mut arena, kernels)?;
    let test = |seed| {
        let mut rng = Rng::new(seed);
        session.input_mut(0).fill_with(|| rng.byte());
        session.run();
        SelfTestSpec { digest: session.digest(), input: TestInput::Seed(seed) }
    };
    Ok([1, 2, 3].map(test).to_vec())
}
