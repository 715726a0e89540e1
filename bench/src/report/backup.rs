//! What a full backup does to publishing: the table. Never measures.

use super::format::{digits, grouped, time_us};
use super::tables::{cell, rows};
use crate::results::{Results, Row};

/// The table.
pub(super) fn table(results: &Results) -> String {
    let backup = |row: &Row| if row.measurement == "backup" { "full" } else { "none" }.to_owned();
    rows(
        results,
        &["backup", "no_backup"],
        &[
            ("backup", &backup),
            ("posts in the log", &|row| grouped(row.x)),
            ("seconds", &cell("seconds", digits)),
            ("publishes", &cell("posts", grouped)),
            ("p50", &cell("p50_us", time_us)),
            ("p99", &cell("p99_us", time_us)),
            ("longest", &cell("max_us", time_us)),
        ],
    )
}
