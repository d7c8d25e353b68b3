//! What people see while they wait: one line a stage on stderr, and a bar on a terminal.

use super::output::say;
use crate::watch::{Stage, Watch};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Progress on stderr, and the wish to stop.
pub(super) struct Ui {
    quiet: bool,
    terminal: bool,
    stop: Arc<AtomicBool>,
    now: Mutex<Now>,
}

struct Now {
    bar: Option<ProgressBar>,
    since: Instant,
    /// When the first step of the stage was told, and how many were done then, by this build or an earlier one.
    first: Option<(Instant, u64)>,
    /// When a line was last printed where there is no terminal.
    told: Instant,
}

/// Between two lines of progress in a log.
const LOG_EVERY: Duration = Duration::from_secs(30);

impl Ui {
    /// Watches stages, silently if `quiet`, and lets Ctrl-C (or a request to terminate) end them in good order.
    ///
    /// A second Ctrl-C ends the program at once; files are whole even then.
    pub(super) fn new(quiet: bool) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&stop);
        let handler = ctrlc::set_handler(move || {
            if flag.swap(true, Ordering::Relaxed) {
                std::process::exit(super::INTERRUPTED.into());
            }
            if !quiet {
                say("\nstopping in good order; once more to stop at once");
            }
        });
        if let Err(error) = handler {
            say(&format!("warning: Ctrl-C will end the program at once ({error})"));
        }
        let now = Now { bar: None, since: Instant::now(), first: None, told: Instant::now() };
        Ui { quiet, terminal: std::io::stderr().is_terminal(), stop, now: Mutex::new(now) }
    }

    /// A line for people, unless quiet.
    pub(super) fn say(&self, line: &str) {
        if !self.quiet {
            say(line);
        }
    }

    /// Takes away what is drawn of a stage that did not end.
    pub(super) fn clear(&self) {
        if let Some(bar) = self.now().bar.take() {
            bar.finish_and_clear();
        }
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watch for Ui {
    fn begin(&self, stage: Stage, what: &str) {
        self.clear();
        let mut now = self.now();
        now.since = Instant::now();
        now.told = now.since;
        now.first = None;
        if self.quiet || !self.terminal {
            return;
        }
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("{prefix:>9.cyan.bold}  {spinner} {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        bar.set_prefix(stage.name());
        bar.set_message(what.to_owned());
        bar.enable_steady_tick(Duration::from_millis(120));
        now.bar = Some(bar);
    }

    fn step(&self, done: u64, total: u64, note: &str) {
        let mut now = self.now();
        let (begun, before) = *now.first.get_or_insert_with(|| (Instant::now(), done));
        if let Some(bar) = &now.bar {
            if bar.length() != Some(total) {
                let template = "{prefix:>9.cyan.bold}  {bar:24.cyan/dim} {percent:>3}% {elapsed}/{duration} {msg}";
                bar.set_style(
                    ProgressStyle::with_template(template)
                        .unwrap_or_else(|_| ProgressStyle::default_bar())
                        .progress_chars("━━─"),
                );
                bar.set_length(total);
            }
            bar.set_position(done);
            bar.set_message(note.to_owned());
        } else if !self.quiet && now.told.elapsed() >= LOG_EVERY {
            now.told = Instant::now();
            let (percent, spent) = (100 * done / total.max(1), now.since.elapsed().as_secs());
            let rate = begun.elapsed().as_secs_f64() / done.saturating_sub(before).max(1) as f64;
            let left = rate * total.saturating_sub(done) as f64;
            say(&format!("           {percent:>3}% after {spent} s, about {left:.0} s to go  {note}"));
        }
    }

    fn end(&self, stage: Stage, result: &str, reused: bool) {
        self.clear();
        if !self.quiet {
            let time = self.now().since.elapsed().as_secs_f64();
            let time = if reused { "as before".to_owned() } else { format!("{time:.1} s") };
            let name = format!("{stage:>9}");
            let name = if self.terminal { format!("\x1b[1;32m{name}\x1b[0m") } else { name };
            say(&format!("{name}  {result}  ({time})"));
        }
    }

    fn stop(&self) -> &AtomicBool {
        &self.stop
    }
}
