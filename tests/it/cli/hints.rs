//! The suggested next commands, for ids that a shell or an option parser would misread.

use std::process::Command;

use crate::server::process::ServerProcess;

const PROGRAM: &str = env!("CARGO_BIN_EXE_whimbrel");

/// Every suggestion runs in a shell, and shows what it announces.
#[test]
fn suggested_commands_run() {
    let folder = tempfile::tempdir().unwrap();
    let server = ServerProcess::start(folder.path());
    let address = format!("http://{}", server.address());
    for user in ["bob", "auth0|123", "-bob", "#1;touch${x}&(y)*?[z]", "--bob==", "~bob"] {
        for text in ["one", "two"] {
            let run = program(&address, &["publish", "--", user, text]);
            assert!(run.status.success(), "{user}: {run:?}");
        }
        let page = program(&address, &["feed", "--page-size", "1", "--", user]);
        let hints = String::from_utf8(page.stderr).unwrap();
        let (older, newer) = (hinted(&hints, "older: "), hinted(&hints, "newer: "));
        let older = in_shell(&address, older);
        assert!(older.contains("one") && !older.contains("two"), "{user}: {hints}{older}");
        assert!(program(&address, &["publish", "--", user, "three"]).status.success());
        // Without a limit it would never end.
        let newer = in_shell(&address, &newer.replacen(" --after", " --limit 1 --after", 1));
        assert!(newer.contains("three"), "{user}: {hints}{newer}");
    }
}

/// The suggested command after `label`.
fn hinted<'a>(hints: &'a str, label: &str) -> &'a str {
    hints.lines().find_map(|line| line.strip_prefix(label)).expect("a suggestion")
}

fn program(address: &str, arguments: &[&str]) -> std::process::Output {
    Command::new(PROGRAM).env("WHIMBREL_ADDR", address).args(arguments).output().unwrap()
}

/// The output of `command` in a shell where `whimbrel` is the built program.
fn in_shell(address: &str, command: &str) -> String {
    let script = format!("whimbrel() {{ \"$WHIMBREL\" \"$@\"; }}; {command}");
    let mut shell = Command::new("bash");
    shell.env("WHIMBREL", PROGRAM).env("WHIMBREL_ADDR", address).args(["-c", &script]);
    let run = shell.output().unwrap();
    assert!(run.status.success(), "{command}: {run:?}");
    String::from_utf8(run.stdout).unwrap()
}
