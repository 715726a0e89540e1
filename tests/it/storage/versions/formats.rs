//! The versions of formats: each has a row in `docs/upgrades.md` and a fixture, and what is written does not
//! change without a new one.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde_json::Value;
use whimbrel::formats::{
    ALL, API_KEYS, CHECKPOINT, DiskFormat, INDEX, INDEX_BLOCKS, LOG_FILE, MANIFEST, OtherFormat,
    OtherVersion, PROGRAM, SEGMENT,
};
use whimbrel::storage::IndexView;

use super::fixtures::{data_folders, names, root, unpack};

/// The sources that say which bytes are written, each line of them that says it.
const WRITTEN_BY: [&str; 11] = [
    "log/codec.rs",
    "log/event_record.rs",
    "log/facet_codec.rs",
    "log/record.rs",
    "local/format.rs",
    "local/checkpoint.rs",
    "index/blocks.rs",
    "index/chains.rs",
    "index/edges.rs",
    "index/records.rs",
    "index/tables.rs",
];
/// What such a line has.
const SAYS_BYTES: [&str; 9] = [
    "tag = \"",
    "TableDefinition<",
    "TableDefinition::new(",
    "MAGIC: ",
    "_BYTES: ",
    "_AT: ",
    ".put(",
    ".u32(",
    ".u64(",
];

/// The table in the documents has the versions of the code, and no others.
#[test]
fn each_format_has_a_row() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("docs/upgrades.md")).unwrap();
    let rows: BTreeSet<_> = text.lines().filter(|line| line.starts_with("| `")).collect();
    let cells = |row: &str| row.split('|').take(5).map(str::trim).collect::<Vec<_>>().join("|");
    let found: BTreeSet<_> = rows.into_iter().map(cells).collect();
    let row = |format: &&DiskFormat| {
        let DiskFormat { name, version, oldest, other, .. } = format;
        let reads = match oldest == version {
            true => version.to_string(),
            false => format!("{oldest} to {version}"),
        };
        let other = match other {
            OtherVersion::Refused => "refused",
            OtherVersion::Rebuilt => "rebuilt from the log",
            OtherVersion::FetchedAgain => "fetched again",
        };
        format!("|`{name}`|{version}|{reads}|{other}")
    };
    assert_eq!(found, ALL.iter().map(row).collect());
}

/// A new version of a format has a fixture, with which the one after it begins: see README.md.
#[test]
fn each_version_that_is_written_has_a_fixture() {
    let mut found: BTreeSet<(&str, u64)> = BTreeSet::new();
    for folder in data_folders() {
        let folder = unpack(&folder);
        if let Ok(segment) = fs::read(folder.path().join("log/0000000000000001.seg")) {
            assert!(segment.starts_with(b"WHIMSEGM"));
            let version = u32::from_le_bytes(segment[8..12].try_into().unwrap());
            found.insert((SEGMENT.name, version.into()));
            found.insert((CHECKPOINT.name, 1));
        }
        if folder.path().join("log.redb").exists() {
            found.insert((LOG_FILE.name, LOG_FILE.version.into()));
        }
        if let Ok(Some(_)) = IndexView::open(folder.path()) {
            found.insert((INDEX.name, INDEX.version.into()));
            found.insert((INDEX_BLOCKS.name, INDEX_BLOCKS.version.into()));
        }
        if let Ok(keys) = fs::read(folder.path().join("api-keys.json")) {
            found.insert((API_KEYS.name, format_in(&keys)));
        }
    }
    for name in names().into_iter().filter(|name| root().join(name).join("backup").is_dir()) {
        let backup = unpack(&format!("{name}/backup"));
        for manifest in fs::read_dir(backup.path().join("backups")).unwrap() {
            let manifest = fs::read(manifest.unwrap().path()).unwrap();
            found.insert((MANIFEST.name, format_in(&manifest)));
        }
    }
    for format in [&SEGMENT, &LOG_FILE, &CHECKPOINT, &INDEX, &INDEX_BLOCKS, &API_KEYS, &MANIFEST] {
        let version = (format.name, u64::from(format.version));
        assert!(found.contains(&version), "{version:?} has no fixture, only {found:?}");
    }
}

fn format_in(json: &[u8]) -> u64 {
    let json: Value = serde_json::from_slice(json).unwrap();
    json["format"].as_u64().unwrap()
}

/// Who changes what is written decides whether a format has a new version.
#[test]
fn what_is_written_does_not_change_by_accident() {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/storage");
    let mut shapes = String::new();
    for format in ALL {
        writeln!(shapes, "{} {}", format.name, format.version).unwrap();
    }
    for file in WRITTEN_BY {
        writeln!(shapes, "\n{file}").unwrap();
        let source = fs::read_to_string(sources.join(file)).unwrap();
        let mut lines = source.lines().map(str::trim).peekable();
        while let Some(line) = lines.next() {
            if !line.starts_with("//") && SAYS_BYTES.iter().any(|part| line.contains(part)) {
                // The field follows its tag.
                let field = lines.peek().filter(|_| line.starts_with("#[")).copied();
                writeln!(shapes, "{line} {}", field.unwrap_or_default()).unwrap();
            }
        }
    }
    let kept = fs::read_to_string(root().join("shapes.txt")).unwrap_or_default();
    assert!(
        shapes.lines().map(str::trim_end).eq(kept.lines().map(str::trim_end)),
        "what is written to disks has changed: raise the version in src/formats/ unless each older \
         program reads it rightly, and write tests/it/storage/versions/shapes.txt anew:\n{shapes}"
    );
}

/// A version that was given up names the release that reads it; a later one, who wrote it.
#[test]
fn a_refusal_names_who_reads_it() {
    static MADE_UP: DiskFormat = DiskFormat {
        name: "made up",
        version: 5,
        oldest: 3,
        migrated_by: Some("0.4"),
        other: OtherVersion::Refused,
    };
    assert_eq!(
        OtherFormat::new(&MADE_UP, 2).to_string(),
        format!(
            "has version 2 of the format `made up`; this is whimbrel {PROGRAM}, which reads versions \
             3 to 5: whimbrel 0.4 is the last that reads it, so start that one on it first; nothing \
             was changed"
        )
    );
    let later = OtherFormat::new(&MADE_UP, 6).written_by(Some("9.1".to_owned())).to_string();
    assert!(later.contains("written by whimbrel 9.1;"), "{later}");
    assert!(later.contains("use whimbrel 9.1 or a later one"), "{later}");
    let unknown = OtherFormat::new(&MADE_UP, 4).to_string();
    assert!(unknown.contains("a later version of the format"), "{unknown}");
    assert!(unknown.contains("use the version that wrote it, or a later one"), "{unknown}");
}

/// A format whose first versions are not read any more says who reads them.
#[test]
fn who_migrates_what_was_given_up_is_known() {
    for format in ALL {
        assert!(format.oldest <= format.version, "{format:?}");
        // Versions of segments begin with 3: those before are of the log in one file.
        let first = if *format == SEGMENT { LOG_FILE.version + 1 } else { 1 };
        let gave_up = format.other == OtherVersion::Refused && format.oldest > first;
        assert!(!gave_up || format.migrated_by.is_some(), "{format:?}: who migrates older ones?");
    }
}
