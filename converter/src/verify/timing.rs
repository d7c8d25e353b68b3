//! How long runs take on this computer, as wholes and op by op.

use super::host::{HostError, layout_name, parse, random_ids, task, with_session};
use super::record::Measured;
use crate::data::Kind;
use crate::families::Input;
use crate::watch::Watch;
use limbeck_runtime::{Kernels, Model, Rng, Session};
use std::path::Path;
use std::time::{Duration, Instant};

/// Long enough for a CPU to reach its clock.
const WARM_UP: Duration = Duration::from_millis(100);

/// How long to go on.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// So many runs at most.
    pub runs: u32,
    /// As long as this at most; one run is timed in any case.
    pub most: Duration,
}

/// Times single runs on one thread, after some to warm up. Texts are of `length` tokens, or as long as the model takes.
///
/// # Errors
/// If the table does not read the file's layout, the model takes no such text, or the user stops it.
pub fn measure(
    model: &Model<'_>,
    kernels: &'static Kernels,
    length: Option<usize>,
    effort: Effort,
    watch: &dyn Watch,
) -> Result<Measured, HostError> {
    let mut times = Vec::new();
    let tokens = repeat(model, kernels, length, effort, watch, |session, timed| {
        let start = Instant::now();
        session.run();
        if timed {
            times.push(start.elapsed());
        }
    })?;
    let runs = times.len() as u32;
    times.sort_unstable();
    Ok(Measured {
        table: kernels.isa.name().to_owned(),
        layout: layout_name(model.layout()),
        tokens,
        min_ms: times.first().map_or(0.0, milliseconds),
        median_ms: times.get(times.len() / 2).map_or(0.0, milliseconds),
        runs,
        ops_ms: Vec::new(),
    })
}

/// The median time of each op in milliseconds, in runs like those of [`measure`]. Looking at the clock between ops takes time
/// too, so that their sum is a little more than that of a run.
///
/// # Errors
/// As of [`measure`].
pub fn measure_ops(
    model: &Model<'_>,
    kernels: &'static Kernels,
    length: Option<usize>,
    effort: Effort,
    watch: &dyn Watch,
) -> Result<Vec<f64>, HostError> {
    let mut times: Vec<Vec<Duration>> = vec![Vec::new(); model.ops().count()];
    repeat(model, kernels, length, effort, watch, |session, timed| {
        let mut since = Instant::now();
        session.run_with(|step| {
            let now = Instant::now();
            if let (true, Some(times)) = (timed, times.get_mut(step.index)) {
                times.push(now - since);
            }
            since = Instant::now();
        });
    })?;
    let median = |mut times: Vec<Duration>| {
        times.sort_unstable();
        times.get(times.len() / 2).map_or(0.0, milliseconds)
    };
    Ok(times.into_iter().map(median).collect())
}

/// What it takes to make a model file that is in memory ready to run: to check all of it, and to make a session.
///
/// # Errors
/// As [`parse`] and [`with_session`].
pub fn time_to_load(path: &Path, bytes: &[u8], kernels: &'static Kernels) -> Result<Duration, HostError> {
    let start = Instant::now();
    with_session(&parse(path, bytes)?, kernels, |_| start.elapsed())
}

fn milliseconds(time: &Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Runs `run` again and again over one random input, telling it whether the session is warm; gives the tokens of the input.
fn repeat(
    model: &Model<'_>,
    kernels: &'static Kernels,
    length: Option<usize>,
    effort: Effort,
    watch: &dyn Watch,
    mut run: impl FnMut(&mut Session<'_, '_, '_>, bool),
) -> Result<Option<usize>, HostError> {
    let input = task(model)?.input;
    let length = match input {
        Input::Text { tokens, .. } => Some(length.unwrap_or(tokens)),
        Input::Image(_) if length.is_some() => {
            return Err(HostError::Kind { expected: Kind::Images, found: Kind::Texts });
        }
        Input::Image(_) => None,
    };
    with_session(model, kernels, |session| {
        let mut rng = Rng::new(1);
        match (input, length) {
            (Input::Text { vocabulary, .. }, Some(length)) => {
                session.set_tokens(&random_ids(&mut rng, vocabulary, length))?;
            }
            _ => session.input_mut(0).fill_with(|| rng.byte()),
        }
        // The input's memory is used again during a run, so every run begins with the same bytes.
        let input = session.input_mut(0).to_vec();
        let mut again = |timed| {
            session.input_mut(0).copy_from_slice(&input);
            run(session, timed);
        };
        let start = Instant::now();
        while start.elapsed() < WARM_UP && !watch.stopped() {
            again(false);
        }
        let (start, mut done) = (Instant::now(), 0);
        while done < effort.runs && (done == 0 || start.elapsed() < effort.most) && !watch.stopped() {
            again(true);
            done += 1;
        }
        Ok::<_, HostError>(())
    })??;
    if watch.stopped() { Err(HostError::Interrupted) } else { Ok(length) }
}
