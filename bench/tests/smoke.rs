//! The whole of it at small sizes, as its users run it: it measures, loses nothing, and reports.
//! Judges no time.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The aim: a quick run of the systems that need no installation comes to a report, in which
/// everything was measured and nothing lost.
#[test]
fn a_quick_run_makes_a_report() {
    let out = tempfile::tempdir().unwrap();
    let whimbrel = whimbrel();
    let run = Command::new(env!("CARGO_BIN_EXE_whimbrel-bench"))
        .args(["run", "--quick", "--peers", "whimbrel,axum", "--whimbrel"])
        .arg(&whimbrel)
        .arg("--out")
        .arg(out.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{said}");

    let results = fs::read(out.path().join("benchmarks/results.json")).unwrap();
    let results: Value = serde_json::from_slice(&results).unwrap();
    let rows = results["rows"].as_array().unwrap();
    let of = |system: &str| rows.iter().filter(|row| row["system"] == system).collect::<Vec<_>>();
    assert!(of("axum").len() >= 8, "{said}");
    if whimbrel.exists() {
        assert!(of("whimbrel").len() >= 15, "{said}");
        for row in of("whimbrel") {
            assert!(row["note"].is_null(), "{row}\n{said}");
        }
    } else {
        assert!(results["skipped"]["whimbrel"].as_str().unwrap().contains("not installed"));
    }
    for row in rows {
        for figure in ["lost", "incomplete"] {
            let most = row["figures"][figure]["max"].as_f64().unwrap_or_default();
            assert!(most == 0.0 || row["system"] == "axum", "{row}\n{said}");
        }
    }
    if whimbrel.exists() {
        for of in ["security", "security_fan_out", "security_idle"] {
            for protection in ["plain", "tokens", "tls"] {
                let name = format!("{of}_{protection}");
                assert!(rows.iter().any(|row| row["measurement"] == name), "{name}\n{said}");
            }
        }
        let mixed = rows.iter().find(|row| row["measurement"] == "mixed").unwrap();
        assert!(mixed["figures"]["writes_per_s"]["min"].as_f64().unwrap() > 0.0, "{mixed}");
    }
    let report = fs::read_to_string(out.path().join("benchmarks.md")).unwrap();
    assert!(report.contains("quick run"));
    assert!(out.path().join("benchmarks/publish.svg").exists());
}

/// The aim: the stores that are installed here take every call that is measured of them, in each of
/// their designs: a feed has a full page, and a post reaches its watcher once.
#[test]
fn installed_stores_are_measured_in_each_design() {
    let out = tempfile::tempdir().unwrap();
    let run = Command::new(env!("CARGO_BIN_EXE_whimbrel-bench"))
        .args(["run", "--quick", "--rounds", "1", "--only", "publish,latency,feed,idle,edges"])
        .args(["--peers", "redis,redis_hydrated,postgres,postgres_timeline", "--out"])
        .arg(out.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{said}");
    let results = fs::read(out.path().join("benchmarks/results.json")).unwrap();
    let results: Value = serde_json::from_slice(&results).unwrap();
    let rows = results["rows"].as_array().unwrap();
    for row in rows {
        // Neither shares a connection between watchers.
        let is_refused = row["measurement"] == "idle_shared" && row["system"] == "redis";
        assert_eq!(row["note"].is_null(), !is_refused, "{row}\n{said}");
        assert_eq!(row["figures"]["lost"]["max"].as_f64().unwrap_or_default(), 0.0, "{row}");
    }
    for (system, measurements) in [
        ("redis", &["publish", "latency", "feed", "idle_own", "edges"][..]),
        ("redis_hydrated", &["feed"]),
        ("postgres", &["publish", "latency", "feed", "idle_own", "edges"]),
        ("postgres_timeline", &["publish", "latency", "feed"]),
    ] {
        let is_missing = results["skipped"][system].is_string();
        for measurement in measurements {
            let is_there =
                |row: &&Value| row["system"] == system && row["measurement"] == *measurement;
            assert_ne!(rows.iter().any(|row| is_there(&row)), is_missing, "{system} {said}");
        }
    }
}

/// The aim: two builds are compared figure by figure, with as many pairs as rounds.
#[test]
fn two_builds_are_compared() {
    let whimbrel = whimbrel();
    if !whimbrel.exists() {
        return;
    }
    let options = ["--quick", "--only", "feed,idle", "--rounds", "2"];
    let compared = compare(&whimbrel, &whimbrel).args(options).output().unwrap();
    let said = String::from_utf8_lossy(&compared.stderr);
    assert!(compared.status.success(), "{said}");
    let table = String::from_utf8(compared.stdout).unwrap();
    let cells = |name: &str| -> Vec<String> {
        let line = table.lines().find(|line| line.contains(name));
        let line = line.unwrap_or_else(|| panic!("no {name:?} in:\n{table}\n{said}"));
        line.split('|').map(|cell| cell.trim().to_owned()).collect()
    };
    for name in ["feed page, 10 followees", "feed page, 100 followees"] {
        assert_eq!(cells(name)[6..8], ["2", "none: fewer than 5 rounds"], "{table}");
    }
    // So few watchers may take less memory than the process gives back meanwhile: no value, no pair.
    assert_eq!(
        cells("idle watcher of 50, own connection")[7],
        "none: fewer than 5 rounds",
        "{table}"
    );
    assert!(!table.contains("publish,"), "{table}");
}

/// The aim: a build that the client cannot drive is an error that names it, and no figures.
#[test]
fn a_build_that_cannot_be_driven_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let script = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    };
    let other = script("other", "echo other 1.0");
    let older = script("older", "[ $1 = --version ] && echo whimbrel 0.0.1");
    for (base, why) in [
        (&other, "is not Whimbrel"),
        (&older, "the base (OLDER) cannot be measured by the client of this build"),
        (&dir.path().join("missing"), "build it first"),
    ] {
        let compared = compare(base, &older).output().unwrap();
        let said = String::from_utf8_lossy(&compared.stderr);
        let said = said.replace(older.to_str().unwrap(), "OLDER");
        assert!(!compared.status.success() && compared.stdout.is_empty(), "{said}");
        assert!(said.contains(why), "{said}");
    }
}

/// A comparison of two programs.
fn compare(base: &Path, now: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_whimbrel-bench"));
    command.args(["compare", "--base"]).arg(base).arg("--now").arg(now);
    command
}

/// The main package's program, which may not have been built.
fn whimbrel() -> PathBuf {
    let given = std::env::var_os("WHIMBREL_BIN").map(PathBuf::from);
    let bench = PathBuf::from(env!("CARGO_BIN_EXE_whimbrel-bench"));
    let path = given.unwrap_or_else(|| bench.with_file_name("whimbrel"));
    // A relative one is from the main package, and tests run in this one.
    if path.is_absolute() {
        path
    } else {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
    }
}
