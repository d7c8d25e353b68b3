//! Whether a model fits a board, and if not, by how much, and what would.

use super::Plan;
use crate::quantize::QuantGraph;
use limbeck_targets::{Device, Target};
use serde::Serialize;

/// What a model takes of a board, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Fit {
    /// Model file.
    pub file: usize,
    /// Flash that the firmware leaves for it.
    pub flash: usize,
    /// Arena.
    pub arena: usize,
    /// RAM that firmware and stack leave for it.
    pub ram: usize,
    /// Stack that is set aside.
    pub stack: usize,
}

/// A board is too small.
#[derive(Debug, thiserror::Error)]
#[error(
    "the model does not fit `{target}`: {what} takes {need} bytes, {over} more than the {room} there are beside the \
     {beside}{}{}",
    width_hint(*.need, *.room),
    board_hint(.fitting)
)]
pub struct BudgetError {
    /// The board.
    pub target: String,
    /// What is too large.
    pub what: String,
    /// Its bytes.
    pub need: usize,
    /// Bytes there are.
    pub room: usize,
    /// Bytes too many.
    pub over: usize,
    /// What else lies in that memory.
    pub beside: &'static str,
    /// Known boards with room enough.
    pub fitting: Vec<String>,
}

fn width_hint(need: usize, room: usize) -> String {
    // Activations grow with the width of a network, weights with its square: the smaller change is named for both.
    let share = room * 100 / need.max(1);
    if share >= 10 { format!("; a network of {share} % of the channels would fit") } else { String::new() }
}

fn board_hint(fitting: &[String]) -> String {
    if fitting.is_empty() { "; no known board would do".into() } else { format!("; it fits {}", fitting.join(", ")) }
}

/// What a model of these sizes takes of a target; `None` for hosts, which have no limits.
///
/// # Errors
/// If flash or RAM is too small.
pub fn fit(target: &Target, file: usize, arena: usize) -> Result<Option<Fit>, BudgetError> {
    let Some(device) = &target.device else { return Ok(None) };
    let fit = Fit {
        file,
        flash: device.model_flash_bytes() as usize,
        arena,
        ram: device.arena_bytes() as usize,
        stack: device.stack_bytes as usize,
    };
    let error = |what: &str, need, room, beside| BudgetError {
        target: target.name.clone(),
        what: what.into(),
        need,
        room,
        over: need - room,
        beside,
        fitting: boards_for(file, arena),
    };
    if file > fit.flash {
        return Err(error("the model file", file, fit.flash, "firmware in flash"));
    }
    if arena > fit.ram {
        return Err(error("the arena", arena, fit.ram, "firmware and stack in RAM"));
    }
    Ok(Some(fit))
}

/// Refuses an arena that is too large, with the step that makes it so.
pub(super) fn check_arena(graph: &QuantGraph, plan: &Plan, target: &str, device: &Device) -> Result<(), BudgetError> {
    let (need, room) = (plan.arena_bytes, device.arena_bytes() as usize);
    if need <= room {
        return Ok(());
    }
    let worst = plan.steps.iter().max_by_key(|s| s.live_bytes).map_or("", |s| graph.nodes[s.node].name.as_str());
    Err(BudgetError {
        target: target.to_owned(),
        what: format!("the arena (fullest at `{worst}`)"),
        need,
        room,
        over: need - room,
        beside: "firmware and stack in RAM",
        fitting: boards_for(0, need),
    })
}

fn boards_for(file: usize, arena: usize) -> Vec<String> {
    Target::boards()
        .filter(|(_, d)| file <= d.model_flash_bytes() as usize && arena <= d.arena_bytes() as usize)
        .map(|(t, _)| t.name.clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_too_large_is_told_by_how_much_and_what_would_fit() {
        let target = Target::find("stm32f446re-nucleo").unwrap();
        let room = target.device.as_ref().unwrap().arena_bytes() as usize;
        let fit_now = fit(target, 1000, room).unwrap().unwrap();
        assert_eq!((fit_now.file, fit_now.arena, fit_now.ram), (1000, room, room));
        let text = fit(target, 1000, room + 5).unwrap_err().to_string();
        assert!(text.contains("`stm32f446re-nucleo`: the arena takes"), "{text}");
        assert!(text.contains(" 5 more than the ") && text.contains("nrf52840-dk"), "{text}");
        let text = fit(target, 10 << 20, 0).unwrap_err().to_string();
        assert!(text.contains("the model file takes 10485760 bytes"), "{text}");
        assert_eq!(fit(Target::find("x86_64-linux").unwrap(), 1 << 30, 1 << 30).unwrap(), None);
    }
}
