//! Starts programs, keeps what they print, and ends them when their time is up.

use std::io::Read;
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::Result;

/// What a program left behind.
#[derive(Debug)]
pub(crate) struct Finished {
    /// How it ended; `None` if it was stopped because its time was up.
    pub(crate) status: Option<ExitStatus>,
    /// Its standard output.
    pub(crate) stdout: Vec<u8>,
    /// Its standard error.
    pub(crate) stderr: Vec<u8>,
}

impl Finished {
    /// Whether it ended by itself, and well.
    pub(crate) fn success(&self) -> bool {
        self.status.is_some_and(|s| s.success())
    }

    /// Both streams as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned() + &String::from_utf8_lossy(&self.stderr)
    }
}

/// Runs a program for no longer than `limit`.
pub(crate) fn run_limited(command: &mut Command, limit: Duration) -> Result<Finished> {
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| format!("{} does not start: {e}", command.get_program().display()))?;
    let reader = |stream: Option<Box<dyn Read + Send>>| {
        thread::spawn(move || {
            let mut bytes = Vec::new();
            stream.map(|mut s| s.read_to_end(&mut bytes));
            bytes
        })
    };
    let out = reader(child.stdout.take().map(|s| Box::new(s) as _));
    let err = reader(child.stderr.take().map(|s| Box::new(s) as _));
    let end = Instant::now() + limit;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break Some(status);
        }
        if Instant::now() >= end {
            child.kill()?;
            child.wait()?;
            break None;
        }
        thread::sleep(Duration::from_millis(10));
    };
    let join = |t: thread::JoinHandle<Vec<u8>>| t.join().unwrap_or_default();
    Ok(Finished { status, stdout: join(out), stderr: join(err) })
}

/// Runs a program to its end and gives its standard output.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let done = command.output().map_err(|e| format!("{} does not start: {e}", command.get_program().display()))?;
    if !done.status.success() {
        let text = if done.stderr.is_empty() { &done.stdout } else { &done.stderr };
        let text = String::from_utf8_lossy(text);
        return Err(format!("{}: {}\n{}", shown(command), done.status, tail(&text, 40)).into());
    }
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}

/// Whether a program starts and ends well.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|s| s.success())
}

/// A command as one would type it.
pub(crate) fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|w| w.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// The last `lines` lines.
pub(crate) fn tail(text: &str, lines: usize) -> String {
    let all: Vec<_> = text.trim_end().lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}
