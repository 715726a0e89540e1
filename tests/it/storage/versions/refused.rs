//! Folders and backups as a later program may leave them: they are refused, the refusal names that program, and
//! nothing is changed. An index is rebuilt instead.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::{Database, TableDefinition};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use whimbrel::formats::PROGRAM;
use whimbrel::storage::IndexView;

use crate::harness::program::Program;
use crate::harness::{Setup, blocks, eventually};
use crate::server::process::ServerProcess;
use crate::storage::segment_layout::set_format;

use super::answers::answers;
use super::fixtures::{text, unpack};

/// The fixture of the formats as they are.
const CURRENT: &str = "segments-3-index-6";
/// One with the log in one file.
const ONE_FILE: &str = "log-2-index-3";
const NEWEST_SEGMENT: &str = "log/0000000000000002.seg";
const SLOT_BYTES: usize = 4096;
/// Of a slot of the checkpoint: where the writer begins, and the length of its text.
const WRITER_AT: usize = 64;
const WRITER_TEXT_BYTES: usize = 59;

/// A later log: every verb refuses it, also with what an interrupted rewrite or an interrupted takeover left.
#[test]
fn a_later_log_is_refused_by_every_verb() {
    for (is_rewritten, is_taken_over) in
        [(false, false), (true, false), (false, true), (true, true)]
    {
        let folder = unpack(&format!("{CURRENT}/stopped"));
        let path = |name: &str| folder.path().join(name);
        let mut bytes = fs::read(path(NEWEST_SEGMENT)).unwrap();
        set_format(&mut bytes, 4);
        fs::write(path(NEWEST_SEGMENT), bytes).unwrap();
        change_checkpoint(folder.path(), &mut |slot| set_writer(slot, "9.8.7"));
        if is_rewritten {
            fs::write(path("log/0000000000000001.seg.new"), "half a rewrite").unwrap();
        }
        if is_taken_over {
            fs::create_dir(path("log.new")).unwrap();
            fs::write(path("log.new/0000000000000001.seg"), "half a takeover").unwrap();
        }
        let what = "0000000000000002.seg has version 4";
        refused_by_every_verb(folder.path(), what, Some("9.8.7"));
    }
}

/// A checkpoint of a later format is refused, and not taken for a damaged one.
#[test]
fn a_later_checkpoint_is_refused_by_every_verb() {
    for writer in [Some("9.8.7"), None] {
        let folder = unpack(&format!("{CURRENT}/stopped"));
        change_checkpoint(folder.path(), &mut |slot| {
            slot[7] = b'2';
            let check = crc32fast::hash(&slot[..56]).to_le_bytes();
            slot[56..60].copy_from_slice(&check);
            match writer {
                Some(writer) => set_writer(slot, writer),
                None => slot[WRITER_AT..].fill(0),
            }
        });
        refused_by_every_verb(folder.path(), "checkpoint has a later version", writer);
    }
}

fn refused_by_every_verb(data: &Path, what: &str, writer: Option<&str>) {
    let before = files(data);
    let data_text = data.to_str().unwrap();
    let (code, started) = ServerProcess::refuses(data, SocketAddr::from(([127, 0, 0, 1], 0)));
    assert_eq!(code, Some(4), "{started}");
    let mut messages = vec![started];
    for arguments in [vec!["check"], vec!["check", "--revision", "3"], vec!["dump"]] {
        let ran = Program::new().run_with(&[&arguments[..], &["--data", data_text]].concat());
        assert_ne!(ran.code, Some(0), "{arguments:?}: {ran:?}");
        messages.push(ran.stderr);
    }
    for message in messages {
        assert!(message.contains(what), "{message}");
        let named = match writer {
            Some(writer) => format!("written by whimbrel {writer}"),
            None => "written by a later whimbrel".to_owned(),
        };
        assert!(message.contains(&named) && message.contains("nothing was changed"), "{message}");
        assert!(!message.contains("damaged"), "{message}");
    }
    assert!(files(data) == before, "the refusal changed something");
}

/// A later log in one file, closed or not: a start refuses it with its version, and changes neither it nor what
/// an interrupted takeover left. A check and a dump do not read it.
#[test]
fn a_later_log_in_one_file_is_refused() {
    const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
    for is_closed in [true, false] {
        let folder = unpack(&format!("{ONE_FILE}/stopped"));
        let path = |name: &str| folder.path().join(name);
        let database = Database::open(path("log.redb")).unwrap();
        let mut transaction = database.begin_write().unwrap();
        transaction.set_quick_repair(true);
        transaction.open_table(META).unwrap().insert("format", 3).unwrap();
        transaction.commit().unwrap();
        let open = fs::read(path("log.redb")).unwrap();
        drop(database);
        if !is_closed {
            fs::write(path("log.redb"), open).unwrap();
        }
        fs::create_dir(path("log.new")).unwrap();
        for unfinished in
            ["log.redb.new", "log.redb.compacted", "log.new/0000000000000001.seg", "index.redb.new"]
        {
            fs::write(path(unfinished), "half of it").unwrap();
        }
        let before = files(folder.path());
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let (code, message) = ServerProcess::refuses(folder.path(), listen);
        let sentence = format!(
            "log.redb has version 3 of the format `log.redb`, written by a later whimbrel; this is \
             whimbrel {PROGRAM}, which reads versions 1 to 2: use the version that wrote it, or a later \
             one, or go back to a backup from before the upgrade; nothing was changed"
        );
        assert!(code == Some(4) && message.contains(&sentence), "{code:?}: {message}");
        let data = folder.path().to_str().unwrap();
        for verb in ["check", "dump"] {
            let ran = Program::new().run_with(&[verb, "--data", data]);
            ran.failed(1, "a log.redb of an earlier version is taken over when a server starts");
        }
        assert_same(&files(folder.path()), &before);
    }
}

/// A writer that is damaged or no text is not shown, and stops nothing.
#[tokio::test]
async fn a_damaged_writer_stops_nothing() {
    for damage in [vec![0xff; 64], vec![1; 64], [&[63][..], &[b'x'; 63]].concat()] {
        let folder = unpack(&format!("{CURRENT}/stopped"));
        change_checkpoint(folder.path(), &mut |slot| {
            slot[WRITER_AT..][..64].copy_from_slice(&damage);
        });
        let server = Setup::new().start_on(Arc::new(folder)).await;
        assert!(!server.user("alice").feed().await.texts().is_empty());
    }
}

/// An index of a later program is rebuilt from the log: it is never the truth.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_later_index_is_rebuilt() {
    let folder = unpack(&format!("{CURRENT}/stopped"));
    let index = folder.path().join("index.redb");
    let mut bytes = fs::read(&index).unwrap();
    assert!(bytes.starts_with(b"whimblk1"));
    bytes[7] = b'2';
    fs::write(&index, bytes).unwrap();
    let mut server = Setup::new().start_on(Arc::new(folder)).await;
    for _ in 0..2 {
        for answer in answers(&text(&format!("{CURRENT}/stopped.txt"))) {
            let ran =
                Program::calling(server.address()).run(&format!("--json {}", answer.arguments));
            assert_eq!(answer.difference(ran.printed()), None, "{}", answer.arguments);
        }
        server.restart().await;
    }
    let index = server.folder().path().join("index.redb");
    let is_rebuilt = async || fs::read(&index).unwrap().starts_with(b"whimblk1").then_some(());
    eventually("the rebuilt index", is_rebuilt).await;
}

/// So is one whose tables are of a later program, also if a table is missing that this one reads first. A check
/// says what becomes of it, and changes nothing.
#[test]
fn later_tables_of_the_index_are_rebuilt() {
    for has_users in [true, false] {
        let folder = unpack(&format!("{CURRENT}/stopped"));
        let (data, log) = (folder.path(), tempfile::NamedTempFile::new().unwrap());
        make_tables_later(&data.join("index.redb"), has_users);
        let before = files(data);
        let ran = Program::new().run_with(&["check", "--data", data.to_str().unwrap()]);
        let sentence = format!(
            "index.redb has version 7 of the format `index`, written by a later whimbrel; this is \
             whimbrel {PROGRAM}, which reads version 6; it is rebuilt from the log"
        );
        assert!(ran.stderr.contains(&sentence), "{ran:?}");
        ran.printed();
        assert_same(&files(data), &before);

        let server = ServerProcess::start_tracing(data, &[], log.path());
        for answer in answers(&text(&format!("{CURRENT}/stopped.txt"))) {
            let ran =
                Program::calling(server.address()).run(&format!("--json {}", answer.arguments));
            assert_eq!(answer.difference(ran.printed()), None, "{}", answer.arguments);
        }
        assert_eq!(server.terminate(), Some(0));
        let said = fs::read_to_string(log.path()).unwrap();
        assert!(said.contains(&sentence), "{said}");
        let rebuilt = IndexView::open(data).unwrap().expect("there is an index");
        assert!(rebuilt.complete_until().get() > 0, "it has the events of the log");
    }
}

/// Makes the tables of the index in `file` those of version 7, with the table of users or without.
fn make_tables_later(file: &Path, has_users: bool) {
    // How redb stores a table with values of 8 bytes: all keys, and then all values.
    const KEYS: &[u8] =
        b"complete_checkcomplete_untilformathash_key_lowerhash_key_upperlog_idrows_sum";
    const VERSION_AT: usize = KEYS.len() + 2 * 8;
    const TABLES: &[u8] = b"requestsresidentusers";
    let mut bytes = fs::read(file).unwrap();
    let places = |bytes: &[u8], part: &[u8]| -> Vec<usize> {
        (0..bytes.len()).filter(|&at| bytes[at..].starts_with(part)).collect()
    };
    for at in places(&bytes, KEYS) {
        let version = &mut bytes[at + VERSION_AT..][..8];
        assert_eq!(version, 6_u64.to_le_bytes());
        version.copy_from_slice(&7_u64.to_le_bytes());
    }
    for at in places(&bytes, TABLES) {
        if !has_users {
            bytes[at + TABLES.len() - 1] = b'z';
        }
    }
    blocks::reseal(&mut bytes);
    fs::write(file, bytes).unwrap();
}

/// A manifest of a later program is refused by all that use backups, also by a prune: what it needs is not
/// known.
#[test]
fn a_later_manifest_is_refused() {
    let backup = unpack(&format!("{CURRENT}/backup"));
    change_manifest(backup.path(), &mut |manifest| {
        manifest["format"] = json!(2);
        manifest["version"] = json!("9.8.7");
        manifest["somethingNew"] = json!([1]);
    });
    backup_is_refused(&backup, "has version 2 of the format `backup manifest`", true);
}

/// So is a backup whose segments are of a later program.
#[test]
fn a_backup_with_later_segments_is_refused() {
    let backup = unpack(&format!("{CURRENT}/backup"));
    let segments = backup.path().join("segments");
    change_manifest(backup.path(), &mut |manifest| {
        manifest["version"] = json!("9.8.7");
        for segment in manifest["segments"].as_array_mut().unwrap() {
            let name = |sha256: &Value| segments.join(format!("{}.seg", sha256.as_str().unwrap()));
            let mut bytes = fs::read(name(&segment["sha256"])).unwrap();
            fs::remove_file(name(&segment["sha256"])).unwrap();
            set_format(&mut bytes, 4);
            let digits = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
            segment["sha256"] = Value::String(digits);
            fs::write(name(&segment["sha256"]), bytes).unwrap();
        }
    });
    backup_is_refused(&backup, "has version 4 of the format `segment`", false);
}

fn backup_is_refused(backup: &TempDir, what: &str, is_manifest: bool) {
    let before = files(backup.path());
    let at = backup.path().to_str().unwrap();
    let data = tempfile::tempdir().unwrap();
    let restore = ["restore", "--from", at, "--data", data.path().to_str().unwrap()];
    let mut verbs = vec![restore.to_vec(), vec!["backup", "check", "--at", at]];
    if is_manifest {
        verbs.push(vec!["backup", "list", "--at", at]);
        verbs.push(vec!["backup", "prune", "--at", at, "--keep", "1"]);
    }
    for verb in verbs {
        let ran = Program::new().run_with(&verb);
        ran.failed(1, what).failed(1, "written by whimbrel 9.8.7");
        assert!(!ran.stderr.contains("damaged"), "{}", ran.stderr);
    }
    assert!(files(backup.path()) == before, "the refusal changed the backup");
    assert!(!data.path().join("log").exists(), "nothing is restored");
}

/// A table of keys of a later program is refused, and not overwritten by a new key.
#[test]
fn a_later_table_of_keys_is_refused() {
    let folder = unpack(&format!("{CURRENT}/stopped"));
    let table = folder.path().join("api-keys.json");
    fs::write(&table, r#"{"format": 2, "keys": [], "something": "new"}"#).unwrap();
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(&table, private).unwrap();
    let before = files(folder.path());
    let data = folder.path().to_str().unwrap();
    let create = ["key", "create", "--role", "admin", "--name", "one more", "--data", data];
    for arguments in [&create[..], &["key", "list", "--data", data]] {
        let ran = Program::new().run_with(arguments);
        assert_ne!(ran.code, Some(0), "{ran:?}");
        assert!(ran.stderr.contains("api-keys.json has version 2"), "{}", ran.stderr);
    }
    assert!(files(folder.path()) == before, "the refusal changed something");
}

/// A line of a dump with a field that a later program added is refused, and nothing is loaded.
#[test]
fn a_later_dump_is_refused() {
    let lines = text(&format!("{CURRENT}/dump.jsonl"));
    let (first, rest) = lines.split_once('\n').unwrap();
    let mut line: Value = serde_json::from_str(first).unwrap();
    line["somethingNew"] = json!(1);
    let data = tempfile::tempdir().unwrap();
    let load = ["load", "--data", data.path().to_str().unwrap()];
    let ran = Program::new().run_on(&format!("{line}\n{rest}"), &load);
    ran.failed(1, "line 1").failed(1, "a later whimbrel may have written it");
    assert!(!data.path().join("log").exists());
}

/// Fails with the names of the files that differ: the files are too long to be shown.
fn assert_same(now: &BTreeMap<PathBuf, Vec<u8>>, before: &BTreeMap<PathBuf, Vec<u8>>) {
    let names = now.keys().chain(before.keys());
    let differ: Vec<_> = names.filter(|name| now.get(*name) != before.get(*name)).collect();
    assert!(differ.is_empty(), "changed: {differ:?}");
}

/// All files below a folder, but the locks.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if !path.ends_with("lock") && !path.ends_with("api-keys.lock") {
            found.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    found
}

/// Changes each slot of the checkpoint that is not empty.
fn change_checkpoint(data: &Path, change: &mut dyn FnMut(&mut [u8])) {
    let path = data.join("log/checkpoint");
    let mut bytes = fs::read(&path).unwrap();
    for slot in bytes.chunks_mut(SLOT_BYTES).filter(|slot| slot[0] != 0) {
        change(slot);
    }
    fs::write(path, bytes).unwrap();
}

/// Makes `version` the writer of a slot.
fn set_writer(slot: &mut [u8], version: &str) {
    let writer = &mut slot[WRITER_AT..][..1 + WRITER_TEXT_BYTES + 4];
    writer.fill(0);
    writer[0] = version.len().try_into().unwrap();
    writer[1..][..version.len()].copy_from_slice(version.as_bytes());
    let check = crc32fast::hash(&writer[..1 + WRITER_TEXT_BYTES]).to_le_bytes();
    writer[1 + WRITER_TEXT_BYTES..].copy_from_slice(&check);
}

fn change_manifest(backup: &Path, change: &mut dyn FnMut(&mut Value)) {
    let folder = backup.join("backups");
    let file = fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
    let mut manifest: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    change(&mut manifest);
    fs::write(file, serde_json::to_vec(&manifest).unwrap()).unwrap();
}
