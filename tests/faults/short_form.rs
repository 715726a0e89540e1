//! Each case a few times, as a test of its own; and that the page describes all of them.

use std::fs::File;
use std::io::Write as _;

use crate::case::Case;
use crate::cases;

/// Defines a test for each case, and the list of all of them.
macro_rules! cases {
    ($($test:ident: $case:expr;)*) => {
        $(
            #[test]
            fn $test() {
                run(&$case);
            }
        )*

        /// All cases.
        pub(crate) const CASES: &[Case] = &[$($case),*];
    };
}

cases! {
    killed_under_load: cases::kills::UNDER_LOAD;
    killed_while_starting: cases::kills::WHILE_STARTING;
    killed_at_a_call: cases::aimed::KILLS;
    killed_with_keys_in_play: cases::keys::KILLS;
    second_process: cases::kills::SECOND;
    power_cut: cases::power::CUT;
    failed_writes_and_flushes: cases::disk::FAILS;
    a_disk_that_fails_the_index: cases::disk::INDEX_FAILS;
    full_disk: cases::disk::FULL;
    bit_rot: cases::bit_rot::ANY_FILE;
    stopped_server: cases::stopped::SERVER;
    stopped_reader: cases::stopped::READER;
    clock_jumps: cases::clock::JUMPS;
    half_open_connections: cases::half_open::VANISHED;
    descriptor_exhaustion: cases::descriptors::EXHAUSTED;
    panicking_threads: cases::panics::THREADS;
    memory_within_what_is_documented: cases::memory::ENOUGH;
    memory_that_runs_out: cases::memory::TOO_LITTLE;
    a_node_lost: cases::nodes::LOST;
    a_node_that_hangs: cases::nodes::HANGING;
    nodes_cut_off_from_each_other: cases::nodes::APART;
    a_node_cut_off_from_postgresql: cases::nodes::WITHOUT_STORE;
    the_primary_lost: cases::nodes::PRIMARY_LOST;
    the_primary_cut_off: cases::nodes::PRIMARY_APART;
    the_primary_hangs: cases::nodes::PRIMARY_HANGING;
    power_cut_of_the_primary: cases::nodes::PRIMARY_WITHOUT_POWER;
    power_cut_of_a_node: cases::nodes::NODE_WITHOUT_POWER;
    a_wrong_setting_of_the_primary: cases::nodes::WITHOUT_SETTING;
}

fn run(case: &Case) {
    match (case.run)(case.short) {
        Ok(outcome) => {
            assert!(outcome.times >= case.short, "{}: {outcome:?}", case.name);
            println!("{}: {outcome:?}", case.name);
        }
        Err(missing) => skipped(case, &missing.0),
    }
}

/// Names a file to which a line is added for each case that was skipped.
const SKIPPED_VARIABLE: &str = "FAULTS_SKIPPED";

/// Says it on standard error itself, which the harness of the tests does not hold back.
fn skipped(case: &Case, why: &str) {
    let line = format!("{}: needs {}\n", case.name, why.replace('\n', " "));
    let loud = format!("\n== SKIPPED, and nothing shown: {line}");
    std::io::stderr().write_all(loud.as_bytes()).expect("somebody reads it");
    if let Some(file) = std::env::var_os(SKIPPED_VARIABLE) {
        let file = File::options().create(true).append(true).open(file);
        file.and_then(|mut file| file.write_all(line.as_bytes())).expect("it can be written");
    }
}
