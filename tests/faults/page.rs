//! `docs/faults.md`: written by the long form, with a row for each case, and the tests that hold the faults
//! which this suite leaves to others.

use std::fs;
use std::path::{Path, PathBuf};

use crate::case::{Case, Outcome};
use crate::short_form::CASES;

/// A row of the table of results.
pub(crate) struct Row(String);

impl Row {
    pub(crate) fn found(case: &Case, outcome: &Outcome) -> Self {
        let Outcome { times, acknowledged, delivered, notes } = outcome;
        let holds = if notes.is_empty() {
            case.holds.to_owned()
        } else {
            format!("{}. {notes}", case.holds)
        };
        Self::new(
            case,
            &format!("{times} | {} | {} | 0", grouped(*acknowledged), grouped(*delivered)),
            &holds,
        )
    }

    pub(crate) fn skipped(case: &Case, missing: &str) -> Self {
        Self::new(case, "0 | – | – | –", &format!("not run: the machine lacks {missing}"))
    }

    fn new(case: &Case, figures: &str, notes: &str) -> Self {
        let how = words(case.how);
        Self(format!("| {} | {how} | {figures} | {} |", case.name, words(notes)))
    }

    pub(crate) fn line(&self) -> &str {
        &self.0
    }
}

/// Writes the page, with this row instead of that of the same case. The other rows stay.
pub(crate) fn write(row: &Row) {
    let page = fs::read_to_string(path("docs/faults.md")).unwrap_or_default();
    let mut text = HEAD.to_owned();
    for case in CASES {
        let begin = format!("| {} | ", case.name);
        let lines = [row.line()].into_iter().chain(page.lines());
        // The first table: the second has rows of the same names, and fewer cells.
        let mut rows =
            lines.filter(|it| it.starts_with(&begin) && it.split(" | ").count() == CELLS);
        text.extend(rows.next().map(|row| format!("{row}\n")));
    }
    text.push_str(OTHERS);
    for (fault, tests) in HELD {
        let tests: Vec<_> = tests.iter().map(|test| format!("`{test}`")).collect();
        text.push_str(&format!("| {fault} | {} |\n", tests.join(", ")));
    }
    text.push_str(LIMITS);
    fs::write(path("docs/faults.md"), text).expect("it is ours");
}

/// The page has a row for each case, and no other, with what the case does.
#[test]
fn the_page_has_the_cases_of_the_suite() {
    let page = fs::read_to_string(path("docs/faults.md")).expect("the long form writes it");
    let table = page.split(OTHERS).next().expect("a part");
    let rows = table.lines().filter_map(|line| {
        let cells: Vec<_> = line.strip_prefix("| ")?.split(" | ").collect();
        (cells.len() == CELLS && cells[0] != "fault").then_some((cells[0], cells[1]))
    });
    let rows: Vec<_> = rows.map(|(name, how)| (name.to_owned(), how.to_owned())).collect();
    let expected: Vec<_> =
        CASES.iter().map(|case| (case.name.to_owned(), words(case.how))).collect();
    assert_eq!(rows, expected, "run the long form again");
    for line in HEAD.lines().chain(LIMITS.lines()) {
        assert!(page.lines().any(|it| it == line), "{line:?} is not in the page");
    }
}

/// Each test that holds a fault exists, under its name and in its file.
#[test]
fn the_tests_of_other_faults_exist() {
    let page = fs::read_to_string(path("docs/faults.md")).expect("the long form writes it");
    for (fault, tests) in HELD {
        assert!(!tests.is_empty(), "nothing holds {fault}");
        assert!(page.contains(&format!("| {fault} | ")), "{fault} is not in the page");
        for test in *tests {
            let (file, name) = test.split_once("::").unwrap_or((test, ""));
            assert!(page.contains(&format!("`{test}`")), "{test} is not in the page");
            if let Some(case) = name.strip_prefix("case ") {
                assert!(CASES.iter().any(|it| it.name == case), "no case {case:?}");
                continue;
            }
            let file = path(file);
            let source = if file.is_dir() { Ok(String::new()) } else { fs::read_to_string(&file) };
            let source = source.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            let is_there =
                ["fn ", "def "].iter().any(|kind| source.contains(&format!("{kind}{name}(")));
            assert!(name.is_empty() || is_there, "{test} does not exist");
        }
    }
}

fn path(relative: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(relative)
}

/// `text` with single spaces.
fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A number with commas.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Of a row of results.
const CELLS: usize = 7;

const HEAD: &str = include_str!("page_head.md");

const OTHERS: &str = include_str!("page_others.md");

const LIMITS: &str = include_str!("page_limits.md");

/// Who holds each fault and each method, by the file and the name of a test, or by the name of a case here.
const HELD: &[(&str, &[&str])] = &[
    (
        "process killed",
        &[
            "tests/faults::case kill under load",
            "tests/faults::case kill while starting",
            "tests/faults::case kill at a call",
            "tests/faults::case kill with keys in play",
            "tests/it/histories/watch_contract/mod.rs::nothing_is_lost_when_the_program_is_killed",
            "tests/clients/test_crashes.py::test_a_server_that_is_killed_keeps_what_it_answered_for",
        ],
    ),
    (
        "power cut",
        &[
            "tests/faults::case power cut",
            "tests/it/storage/crash/power_cuts.rs::acknowledged_changes_survive_a_power_cut_after_any_operation",
            "tests/clients/test_crashes.py::test_a_server_whose_disk_is_cut_off_ends_and_keeps_what_it_answered_for",
        ],
    ),
    (
        "failed write or flush",
        &[
            "tests/faults::case failed writes and flushes",
            "tests/it/storage/crash/faults.rs::after_a_failed_write_or_flush_nothing_is_acknowledged_and_nothing_is_lost",
        ],
    ),
    (
        "full disk",
        &[
            "tests/faults::case full disk",
            "tests/it/storage/crash/full_disk.rs::below_the_reserve_an_append_is_refused",
        ],
    ),
    (
        "bit rot",
        &[
            "tests/faults::case bit rot",
            "tests/it/storage/file_damage.rs::a_damaged_log_is_read_right_or_refused",
            "tests/it/storage/segment_damage/files.rs::an_older_copy_of_a_file_is_read_right_or_refused",
            "tests/it/storage/segment_damage/blocks.rs::misplaced_sectors_of_a_closed_log_are_harmless_or_found",
        ],
    ),
    (
        "one damaged record",
        &[
            "tests/it/storage/log_damage/mod.rs::only_the_retry_of_a_damaged_record_fails",
            "tests/it/storage/log_damage/mod.rs::a_missing_event_is_an_error_in_every_read",
        ],
    ),
    (
        "a backup put back",
        &["tests/it/api/lost_history.rs::positions_of_a_lost_history_are_refused_everywhere"],
    ),
    (
        "the index cannot be read or written",
        &[
            "tests/faults::case a disk that fails the index",
            "tests/it/storage/index_trouble/while_serving.rs::a_failing_disk_of_the_index_does_not_end_the_engine",
            "tests/it/storage/index_trouble/at_start.rs::a_folder_at_the_path_of_the_index_is_no_obstacle",
        ],
    ),
    ("two processes on one data folder", &["tests/faults::case a second process"]),
    (
        "stop and continue",
        &["tests/faults::case stopped server", "tests/faults::case stopped reader"],
    ),
    (
        "clock jump",
        &[
            "tests/faults::case clock jumps",
            "tests/it/engine/clock_jumps.rs::times_are_right_once_the_clock_is",
        ],
    ),
    (
        "SIGTERM under load",
        &[
            "tests/it/server/drain.rs::nothing_acknowledged_is_lost_under_load",
            "tests/it/live/watch.rs::a_stop_sends_closing_and_a_cursor_to_resume_from",
        ],
    ),
    (
        "a reader that takes nothing",
        &[
            "tests/it/live/watch_pace.rs::a_stalled_reader_is_cut_off",
            "tests/it/server/untaken.rs::the_connection_that_holds_most_is_closed",
        ],
    ),
    ("half-open connections", &["tests/faults::case half-open connections"]),
    ("floods", &["tests/floods/short_form.rs::good_calls_are_answered_under_every_flood"]),
    ("descriptor exhaustion", &["tests/faults::case descriptor exhaustion"]),
    (
        "a thread that panics",
        &[
            "tests/faults::case a thread that panics",
            "tests/it/server/workers.rs::a_panic_in_a_call_ends_the_server",
        ],
    ),
    (
        "limits of memory",
        &[
            "tests/faults::case a limit of memory as documented",
            "tests/faults::case memory that runs out",
        ],
    ),
    (
        "a node of several lost, hanging or cut off",
        &[
            "tests/faults::case a node lost",
            "tests/faults::case a node that hangs",
            "tests/faults::case nodes cut off from each other",
            "tests/faults::case a node cut off from PostgreSQL",
            "tests/faults::case power cut of a node",
            "tests/it/cluster/deciding.rs::no_call_fails_when_the_deciding_node_stops",
            "tests/it/cluster/clients.rs::calls_and_streams_go_on_at_another_node",
            "tests/clients/test_store.py::test_the_node_that_decides_hangs",
        ],
    ),
    (
        "the primary of PostgreSQL lost, hanging or cut off",
        &[
            "tests/faults::case the primary lost",
            "tests/faults::case the primary hangs",
            "tests/faults::case the primary cut off",
            "tests/faults::case power cut of the primary",
            "tests/faults::case a wrong setting of the primary",
            "tests/clients/test_store.py::test_the_primary_is_lost",
        ],
    ),
    (
        "a commit that no standby has",
        &["tests/clients/test_store.py::test_a_commit_that_no_standby_has_is_not_shown"],
    ),
    (
        "an append whose outcome is not known",
        &[
            "tests/it/storage/postgres.rs::lost_connections_lose_nothing_and_repeat_nothing",
            "tests/it/storage/postgres.rs::two_that_append_never_fork_the_log",
        ],
    ),
    (
        "settings of PostgreSQL that keep nothing",
        &["tests/clients/test_store.py::test_settings_that_keep_nothing_stop_changes_only"],
    ),
    (
        "method: an engine against a model, with restarts",
        &["tests/it/histories/engine_model/mod.rs::the_engine_behaves_as_the_model"],
    ),
    (
        "method: a storage double with seeds",
        &[
            "tests/it/storage/crash/engines.rs::changes_that_an_engine_acknowledged_survive_a_power_cut",
        ],
    ),
    (
        "method: every moment between a write, a flush and an answer",
        &[
            "tests/it/storage/crash/power_cuts.rs::acknowledged_changes_survive_a_power_cut_after_any_operation",
            "tests/it/storage/crash/starts.rs::an_interrupted_start_can_be_repeated",
            "tests/it/storage/erase_crash.rs::a_power_cut_leaves_each_post_whole_or_erased",
        ],
    ),
    (
        "method: recorded histories against the watch contract",
        &["tests/it/histories/watch_contract/mod.rs::streams_are_complete_across_restarts"],
    ),
    (
        "method: every step of subscribe and publish in any order",
        &["tests/it/live/dispatch/mod.rs::every_reader_gets_its_feed_in_order"],
    ),
    ("method: fuzzing of what is decoded", &["fuzz/fuzz_targets"]),
];
