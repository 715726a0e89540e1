//! What else earlier programs made of their logs: backups, dumps and tables of API keys.

use std::fs;
use std::sync::Arc;

use crate::harness::Setup;
use crate::harness::program::Program;

use super::answers::answers;
use super::fixtures::{names, root, text, unpack};

/// A backup is restored, and the restored server answers as the one did that was backed up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_is_restored() {
    let with_backup: Vec<_> =
        names().into_iter().filter(|name| root().join(name).join("backup").is_dir()).collect();
    assert!(!with_backup.is_empty(), "a fixture has a backup");
    for name in with_backup {
        let backup = unpack(&format!("{name}/backup"));
        let data = tempfile::tempdir().unwrap();
        let [from, to] = [backup.path(), data.path()].map(|path| path.to_str().unwrap());
        Program::new().run_with(&["backup", "check", "--at", from]).printed();
        Program::new().run_with(&["restore", "--from", from, "--data", to]).printed();
        let server = Setup::new().start_on(Arc::new(data)).await;
        for answer in answers(&text(&format!("{name}/stopped.txt"))) {
            let ran =
                Program::calling(server.address()).run(&format!("--json {}", answer.arguments));
            let difference = answer.difference(ran.printed());
            assert_eq!(difference, None, "{name}: {}", answer.arguments);
        }
    }
}

/// The lines of a dump are loaded, and dumped again they are the same. So is the dump of the folder that they
/// came from.
#[test]
fn a_dump_is_loaded() {
    let mut loaded = 0;
    for name in names() {
        if !root().join(&name).join("dump.jsonl.gz").exists() {
            continue;
        }
        let lines = text(&format!("{name}/dump.jsonl"));
        let (data, folder) = (tempfile::tempdir().unwrap(), unpack(&format!("{name}/stopped")));
        let data = data.path().to_str().unwrap();
        Program::new().run_on(&lines, &["load", "--data", data]).printed();
        for data in [data, folder.path().to_str().unwrap()] {
            let dumped = Program::new().run_with(&["dump", "--data", data]);
            assert!(dumped.printed() == lines, "{name}: {}", dumped.stdout);
        }
        loaded += 1;
    }
    assert!(loaded > 0, "a fixture has a dump");
}

/// A table of API keys lists the same keys.
#[test]
fn a_table_of_keys_is_read() {
    let mut tables = 0;
    for name in names() {
        if !root().join(&name).join("keys.txt.gz").exists() {
            continue;
        }
        let folder = unpack(&format!("{name}/stopped"));
        let table = folder.path().join("api-keys.json");
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        fs::set_permissions(&table, private).unwrap();
        let data = folder.path().to_str().unwrap();
        let listed = Program::new().run_with(&["--json", "key", "list", "--data", data]);
        assert_eq!(listed.printed(), text(&format!("{name}/keys.txt")), "{name}");
        tables += 1;
    }
    assert!(tables > 0, "a fixture has a table of keys");
}
