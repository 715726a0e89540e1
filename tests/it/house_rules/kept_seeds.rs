//! The seeds of failed property tests are kept in the repository, so everyone runs a case that
//! failed once first.

use std::fs;
use std::path::Path;

use proptest::test_runner::{Config, FailurePersistence, FileFailurePersistence};

use crate::house_rules::sources::files_in;

/// proptest keeps seeds unless a test turns that off, and none does.
#[test]
fn no_property_test_throws_its_failing_seeds_away() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let kept: Box<dyn FailurePersistence> =
        Box::new(FileFailurePersistence::SourceParallel("proptest-regressions"));
    assert_eq!(Config::default().failure_persistence, Some(kept));
    assert!(
        root.join("tests/proptest-regressions/README.md").is_file(),
        "the seeds are kept elsewhere"
    );

    let own = root.join("tests/it/house_rules/kept_seeds.rs");
    let others = files_in(&root.join("tests")).into_iter().filter(|file| *file != own);
    let set =
        others.filter(|file| fs::read_to_string(file).unwrap().contains("failure_persistence"));
    assert_eq!(set.collect::<Vec<_>>(), [] as [std::path::PathBuf; 0]);
}
