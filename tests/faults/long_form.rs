//! Each case many times, and the page that says what came of it.

use crate::page::{self, Row};
use crate::short_form::CASES;

/// Names the cases to run, separated by commas; all by default, and then the page is written.
const ONLY_VARIABLE: &str = "WHIMBREL_FAULTS";

#[test]
#[ignore = "takes many minutes"]
fn long_form() {
    let only = std::env::var(ONLY_VARIABLE).unwrap_or_default();
    let is_wanted = |name: &str| only.is_empty() || only.split(',').any(|only| only == name);
    let mut rows = Vec::new();
    for case in CASES.iter().filter(|case| is_wanted(case.name)) {
        let row = match (case.run)(case.long) {
            Ok(outcome) => Row::found(case, &outcome),
            Err(missing) => Row::skipped(case, &missing.0),
        };
        println!("{}", row.line());
        rows.push(row);
    }
    assert!(!rows.is_empty(), "{ONLY_VARIABLE} names no case");
    if only.is_empty() {
        page::write(&rows);
    }
}
