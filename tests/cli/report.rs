//! The report in a browser: every section is there, nothing is fetched, and nothing complains.

use crate::support::{built, built_text};
use limbeck_tests::skipped;
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// What a browser made of a page.
struct Opened {
    /// The page as it stands after loading.
    dom: String,
    /// What the page wrote to the console, violations of its own policy included.
    console: Vec<String>,
    /// What the page asked the network for.
    requests: Vec<String>,
}

/// The first Chromium that starts.
fn browser() -> Option<&'static str> {
    let names = ["chromium", "chromium-browser", "google-chrome"];
    names.into_iter().find(|name| Command::new(name).arg("--version").output().is_ok_and(|done| done.status.success()))
}

fn open(browser: &str, page: &Path) -> Opened {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("net.json");
    let mut command = Command::new(browser);
    command
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"])
        .args(["--disable-background-networking", "--disable-component-update", "--enable-logging=stderr"])
        // Whatever anybody asks for, nothing leaves this computer.
        .args(["--proxy-server=127.0.0.1:9", "--dump-dom"])
        .arg(format!("--user-data-dir={}", folder.path().join("profile").display()))
        .arg(format!("--log-net-log={}", log.display()))
        .arg(format!("file://{}", page.display()));
    let done = command.output().unwrap();
    let errors = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{errors}");
    let log: Value = serde_json::from_slice(&std::fs::read(&log).unwrap()).unwrap();
    let asked = log["events"].as_array().unwrap().iter().filter_map(|event| {
        let (url, initiator) = (event["params"]["url"].as_str()?, event["params"]["initiator"].as_str()?);
        // What the browser asks for itself has no page behind it.
        (initiator != "not an origin").then(|| url.to_owned())
    });
    Opened {
        dom: String::from_utf8_lossy(&done.stdout).into_owned(),
        console: errors.lines().filter(|line| line.contains("CONSOLE")).map(str::to_owned).collect(),
        requests: asked.collect(),
    }
}

/// Opens a page that is whole in itself: it must not even try to load anything, with its policy and without.
fn check(browser: &str, page: &Path, sections: &str) {
    let opened = open(browser, page);
    assert_eq!(opened.console, [""; 0]);
    assert_eq!(opened.requests, [""; 0]);
    for id in sections.split_whitespace() {
        assert!(opened.dom.contains(&format!("<section id=\"{id}\">")), "no section `{id}`");
        assert!(opened.dom.contains(&format!("<a href=\"#{id}\">")), "no link to `{id}`");
    }
    assert_eq!(opened.dom.matches("<section ").count(), sections.split_whitespace().count());
    for broken in ["NaN", "inf%", "undefined", "could not be"] {
        assert!(!opened.dom.contains(broken), "{broken}");
    }
    let text = std::fs::read_to_string(page).unwrap();
    let free = tempfile::Builder::new().suffix(".html").tempfile().unwrap();
    std::fs::write(free.path(), text.replace("Content-Security-Policy", "x-none")).unwrap();
    let opened = open(browser, free.path());
    assert_eq!((opened.console, opened.requests), (Vec::new(), Vec::new()));
}

const SECTIONS: &str =
    "accuracy examples disagreement confusion calibration layers memory flash latency training exact pipeline";

#[test]
fn reports_are_whole_in_a_browser() {
    let Some(browser) = browser() else {
        return skipped("there is no Chromium to open reports in: `cargo xtask setup` installs it");
    };
    let control = tempfile::Builder::new().suffix(".html").tempfile().unwrap();
    let noisy = "<!doctype html><img src=\"http://limbeck.invalid/x.png\"><script>console.error('loud')</script>";
    std::fs::write(control.path(), noisy).unwrap();
    let opened = open(browser, control.path());
    assert_eq!(opened.requests, ["http://limbeck.invalid/x.png"]);
    assert!(opened.console.iter().any(|line| line.contains("loud")), "{:?}", opened.console);

    let page = built().join("limbeck-out/tiny/report.html");
    check(browser, &page, SECTIONS);
    let text = std::fs::read_to_string(page).unwrap();
    assert_eq!(text.matches("src=\"data:image/png;base64,").count(), 24, "examples are shown as pictures");
    let page = built_text().join("limbeck-out/tiny/report.html");
    check(browser, &page, SECTIONS);
    assert!(
        std::fs::read_to_string(page).unwrap().matches("<blockquote>").count() >= 12,
        "examples are shown as texts"
    );
}
