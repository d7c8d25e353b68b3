//! What the benchmarks share: timing, and layers with random weights.

pub mod layers;

use std::time::Instant;

/// Times of one piece of work.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// Fastest run, seconds: what the code can do when nothing disturbs it.
    pub min: f64,
    /// Middle run, seconds.
    pub median: f64,
    /// Number of runs.
    pub runs: usize,
}

/// Runs `work` for about `seconds`, at least 5 times after one uncounted run.
pub fn time(seconds: f64, mut work: impl FnMut()) -> Timing {
    work();
    let begin = Instant::now();
    let mut runs = Vec::new();
    while runs.len() < 5 || begin.elapsed().as_secs_f64() < seconds {
        let start = Instant::now();
        work();
        runs.push(start.elapsed().as_secs_f64());
    }
    runs.sort_by(f64::total_cmp);
    Timing { min: runs[0], median: runs[runs.len() / 2], runs: runs.len() }
}
