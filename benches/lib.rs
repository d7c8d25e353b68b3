//! What the benchmarks share: timing, networks, models with random weights.

pub mod encoders;
pub mod models;
pub mod networks;

use std::time::Instant;

/// Seconds of each run of `work`, sorted: runs for about `seconds`, at least 5 times, after one uncounted run.
///
/// The first is what the code can do when nothing disturbs it; the middle shows the disturbance.
pub fn time(seconds: f64, mut work: impl FnMut()) -> Vec<f64> {
    work();
    let begin = Instant::now();
    let mut runs = Vec::new();
    while runs.len() < 5 || begin.elapsed().as_secs_f64() < seconds {
        let start = Instant::now();
        work();
        runs.push(start.elapsed().as_secs_f64());
    }
    runs.sort_by(f64::total_cmp);
    runs
}
