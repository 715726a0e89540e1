//! Each case many times, and the page that says what came of it.

use crate::page::{self, Row};
use crate::short_form::CASES;

/// Names the cases to run, separated by commas; all by default. The rows of the others stay.
const ONLY_VARIABLE: &str = "WHIMBREL_FAULTS";

#[test]
#[ignore = "takes many minutes"]
fn long_form() {
    let only = std::env::var(ONLY_VARIABLE).unwrap_or_default();
    let is_wanted = |name: &str| only.is_empty() || only.split(',').any(|only| only == name);
    let wanted: Vec<_> = CASES.iter().filter(|case| is_wanted(case.name)).collect();
    assert!(!wanted.is_empty(), "{ONLY_VARIABLE} names no case");
    for case in wanted {
        let row = match (case.run)(case.long) {
            Ok(outcome) => Row::found(case, &outcome),
            Err(missing) => Row::skipped(case, &missing.0),
        };
        println!("{}", row.line());
        // After each, so that a later one that fails costs no figures.
        page::write(&row);
    }
}
