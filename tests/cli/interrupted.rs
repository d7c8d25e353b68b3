//! Ctrl-C, requests to terminate, plain kills and full disks at every stage: nothing half-written, and the same bytes in
//! the end.
#![cfg(unix)]

use crate::support::{
    Run, assert_same_results, built, built_text, files, folder_with, litter, program, tiny, tiny_text,
};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Begins a build and sends it a signal a while after the line on some stage.
fn signalled(folder: &Path, signal: &str, stage: &str, wait: Duration) -> Run {
    let mut command = program(folder);
    command.args(["build", "r.toml", "--json", "--work", "w"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut seen = String::new();
    while !seen.lines().last().is_some_and(|line| line.trim_start().starts_with(stage)) {
        assert!(stderr.read_line(&mut seen).unwrap() > 0, "no line on {stage}: {seen}");
    }
    std::thread::sleep(wait);
    let sent = Command::new("kill").args([format!("-{signal}"), child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    stderr.read_to_string(&mut seen).unwrap();
    let mut run = Run::of(child.wait_with_output().unwrap());
    run.stderr = seen;
    run
}

#[test]
fn whatever_stops_a_build_it_goes_on_to_the_same_bytes() {
    goes_on(&tiny(), built(), 120);
}

#[test]
fn whatever_stops_a_build_of_texts_it_goes_on_to_the_same_bytes() {
    goes_on(&tiny_text(), built_text(), 60);
}

/// Stops a build again and again, in trainings after some milliseconds, and compares its results with those of a whole one.
fn goes_on(recipe: &str, whole: &Path, milliseconds: u64) {
    let folder = folder_with(recipe);
    let work = folder.path().join("w");
    // The stage that is over when the signal comes, and the one that it comes in.
    let rows = [
        ("INT", "data", "teacher"),
        ("KILL", "data", "teacher"),
        ("TERM", "teacher", "label"),
        ("INT", "label", "distill"),
        ("KILL", "label", "distill"),
        ("TERM", "distill", "quantize"),
        ("INT", "pack", "verify"),
        ("TERM", "verify", "report"),
    ];
    for (signal, over, during) in rows {
        let wait = if during == "teacher" || during == "distill" { milliseconds } else { 0 };
        let run = signalled(folder.path(), signal, over, Duration::from_millis(wait));
        assert!(!run.stderr.contains("panicked"), "{run:?}");
        if signal == "KILL" {
            assert_eq!((run.code, run.stdout.as_str()), (None, ""), "{signal} in {during}: {run:?}");
            continue;
        }
        let text = run.error(130);
        assert!(text.starts_with("stopped in stage ") && text.contains("the same command goes on"), "{text}");
        assert!(run.stderr.contains("stopping in good order"), "{run:?}");
        assert_eq!(litter(&work), [""; 0], "{signal} in {during}");
        let saved = files(&work).iter().any(|file| file.ends_with(".checkpoint"));
        assert!(!saved || text.contains("teacher") || text.contains("distill"), "{text}: {:?}", files(&work));
    }
    let run = Run::new(folder.path(), "build r.toml --json --work w");
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_same_results(&whole.join("limbeck-out/tiny"), &work);
}

#[test]
fn quiet_means_quiet_even_when_stopped() {
    let folder = folder_with(&tiny());
    let mut command = program(folder.path());
    command.args(["build", "r.toml", "--json", "--quiet"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    // The work folder is opened after the signals are caught.
    while !folder.path().join("limbeck-out/tiny/.lock").exists() {
        std::thread::sleep(Duration::from_millis(2));
    }
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let run = Run::of(child.wait_with_output().unwrap());
    let text = run.error(130);
    assert_eq!(run.stderr.trim_end(), text);
}

#[test]
fn one_build_at_a_time_works_in_a_folder() {
    let folder = folder_with(&tiny());
    std::fs::create_dir(folder.path().join("w")).unwrap();
    let lock = std::fs::File::create(folder.path().join("w/.lock")).unwrap();
    lock.lock().unwrap();
    let error = Run::new(folder.path(), "build r.toml --json --work w").error(1);
    assert!(error.contains("another build is at work there"), "{error}");
}

/// Runs a build in which no file may grow beyond some blocks of 512 bytes, and a write that would is told so.
fn limited(folder: &Path, blocks: u32) -> Run {
    let mut shell = Command::new("sh");
    let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" pack r.toml --json --work w");
    shell.args(["-c", &script, env!("CARGO_BIN_EXE_limbeck-tested")]).current_dir(folder);
    Run::of(shell.output().unwrap())
}

#[test]
fn a_disk_without_room_stops_a_build_that_later_goes_on() {
    let folder = folder_with(&tiny());
    let work = folder.path().join("w");
    // Room for nothing, for the small files alone, and for all but the largest.
    let failed: Vec<String> = [0, 16, 160].map(|blocks| limited(folder.path(), blocks).error(1)).into();
    for text in &failed {
        assert!(text.contains("cannot write w") && text.contains("make room"), "{text}");
        assert!(text.contains("run the same command again"), "{text}");
    }
    assert!(failed[2].contains("stage teacher") && failed[2].contains("teacher1"), "{failed:?}");
    assert_eq!(litter(&work), [""; 0]);
    let run = Run::new(folder.path(), "pack r.toml --json --work w");
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_same_results(&built().join("limbeck-out/tiny"), &work);
}

#[test]
fn a_full_disk_stops_a_build_that_later_goes_on() {
    let folder = folder_with(&tiny());
    let work = folder.path().join("w");
    std::fs::create_dir(&work).unwrap();
    let mount = |size: &str, options: &str| {
        let options = format!("{options}size={size}");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(&work).stderr(Stdio::null());
        mount.status().is_ok_and(|status| status.success())
    };
    if !mount("192k", "") {
        return limbeck_tests::skipped("a small file system can be mounted only by root; quotas stand in for it");
    }
    struct Mounted<'a>(&'a Path);
    impl Drop for Mounted<'_> {
        fn drop(&mut self) {
            let _ = Command::new("umount").arg(self.0).status();
        }
    }
    let mounted = Mounted(&work);
    let text = Run::new(folder.path(), "build r.toml --json --work w").error(1);
    assert!(text.contains("cannot write w") && text.contains("make room"), "{text}");
    assert_eq!(litter(&work), [""; 0]);
    assert!(mount("64m", "remount,"));
    let run = Run::new(folder.path(), "pack r.toml --json --work w");
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_same_results(&built().join("limbeck-out/tiny"), &work);
    drop(mounted);
}

#[test]
fn a_work_folder_that_cannot_be_written_is_told_at_once() {
    let folder = folder_with(&tiny());
    std::fs::write(folder.path().join("file"), "").unwrap();
    for work in ["file", "file/w"] {
        let error = Run::new(folder.path(), &format!("build r.toml --json --work {work}")).error(1);
        assert!(error.contains(&format!("cannot write {work}")), "{error}");
    }
    let error = Run::new(folder.path(), "build r.toml --json --output file/o").error(1);
    assert!(error.contains("cannot write file/o"), "{error}");
}
