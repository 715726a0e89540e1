//! The whole of it at small sizes, as its users run it: it measures, loses nothing, and reports.
//! Judges no time.

use std::fs;
use std::path::PathBuf;
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
        let mixed = rows.iter().find(|row| row["measurement"] == "mixed").unwrap();
        assert!(mixed["figures"]["writes_per_s"]["min"].as_f64().unwrap() > 0.0, "{mixed}");
    }
    let report = fs::read_to_string(out.path().join("benchmarks.md")).unwrap();
    assert!(report.contains("quick run"));
    assert!(out.path().join("benchmarks/publish.svg").exists());
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
