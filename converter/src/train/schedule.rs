//! The learning rate of each step.

use super::settings::Schedule;
use std::f64::consts::PI;

/// Where [`Schedule::OneCycle`] starts, ends, and turns.
const CYCLE_START: f64 = 1.0 / 25.0;
const CYCLE_END: f64 = 1e-4;
const CYCLE_PEAK: f64 = 0.3;

impl Schedule {
    /// The learning rate of step `step` of `steps`, as a share of the highest; the first `warmup` steps rise to it evenly.
    pub(super) fn share(self, step: usize, steps: usize, warmup: usize) -> f64 {
        let ratio = |a: usize, b: usize| a as f64 / (b.max(1)) as f64;
        if self == Schedule::OneCycle {
            let done = ratio(step, steps);
            return if done < CYCLE_PEAK {
                half_cosine(CYCLE_START, 1.0, done / CYCLE_PEAK)
            } else {
                half_cosine(1.0, CYCLE_END, (done - CYCLE_PEAK) / (1.0 - CYCLE_PEAK))
            };
        }
        if step < warmup {
            return ratio(step + 1, warmup);
        }
        match self {
            Schedule::Cosine => half_cosine(1.0, 0.0, ratio(step - warmup, steps.saturating_sub(warmup))),
            _ => 1.0,
        }
    }
}

/// From `start` to `end` as `done` goes from 0 to 1, level at both ends.
fn half_cosine(start: f64, end: f64, done: f64) -> f64 {
    end + (start - end) * 0.5 * (1.0 + (PI * done).cos())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_rise_and_fall() {
        let rows = [
            (Schedule::Constant, 0, 0.25),
            (Schedule::Constant, 3, 1.0),
            (Schedule::Constant, 99, 1.0),
            (Schedule::Cosine, 1, 0.5),
            (Schedule::Cosine, 4, 1.0),
            (Schedule::Cosine, 52, 0.5),
            (Schedule::OneCycle, 0, 0.04),
            (Schedule::OneCycle, 15, 0.52),
            (Schedule::OneCycle, 30, 1.0),
            (Schedule::OneCycle, 65, 0.50005),
        ];
        for (schedule, step, expected) in rows {
            let share = schedule.share(step, 100, 4);
            assert!((share - expected).abs() < 1e-9, "{schedule:?} at {step}: {share}");
        }
    }
}
