//! `whimbrel bench`: every measurement runs, loses nothing, and is reported under its name. Speed
//! is not checked.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

/// The rows for machines: their names and required fields.
#[test]
fn a_bench_measures_everything_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let done = Command::new(env!("CARGO_BIN_EXE_whimbrel"))
        .args(["bench", "--json", "--seconds", "1", "--watchers", "32", "--data-in"])
        .arg(folder.path())
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let mut rows: BTreeMap<String, Value> = BTreeMap::new();
    for line in String::from_utf8(done.stdout).unwrap().lines() {
        let row = serde_json::from_str::<Value>(line).unwrap()["measured"].take();
        rows.insert(row["name"].as_str().unwrap().to_owned(), row);
    }
    for (name, fields) in [
        ("floor", &["perS", "p50Us", "p99Us"][..]),
        ("publish", &["perS", "p50Us", "p99Us", "floorRatio"]),
        ("thousand", &["seconds"]),
        ("feed", &["p50Us", "p99Us", "floorRatio"]),
        ("mixed", &["perS", "p50Us", "p99Us", "floorRatio"]),
        ("fan_out_shared", &["perS", "lost"]),
        ("fan_out_own", &["perS", "lost"]),
        ("idle_shared", &["kbEach"]),
        ("idle_own", &["kbEach"]),
    ] {
        let row = rows.get(name).unwrap_or_else(|| panic!("no {name} in {rows:?}"));
        for field in fields {
            assert!(row[field].is_number(), "{field} of {row}");
        }
    }
    assert_eq!(
        (&rows["fan_out_shared"]["lost"], &rows["fan_out_own"]["lost"]),
        (&0.into(), &0.into())
    );
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "no folder is left");
}
