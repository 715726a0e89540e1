//! The command line's token: from a file, a variable or a login, and never in clear text beyond this
//! machine.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use tempfile::{TempDir, tempdir};
use whimbrel::api::v1::GetServerInfoRequest;
use whimbrel::client::{Client, ConnectOptions, TokenSource};

use crate::harness::program::Program;
use crate::server::process::ServerProcess;

/// A server that takes tokens for development, and the home of somebody who calls it.
struct World {
    folder: TempDir,
    server: ServerProcess,
}

impl World {
    fn start() -> Self {
        let folder = tempdir().unwrap();
        let variable = ("WHIMBREL_DEVELOPMENT_TOKENS", "1");
        let server = ServerProcess::start_with(&folder.path().join("data"), variable);
        Self { folder, server }
    }

    fn program(&self) -> Program {
        let home = self.folder.path().join("home");
        let program = Program::calling(self.server.address());
        program.with("XDG_CONFIG_HOME", home.to_str().unwrap()).with("HOME", home.to_str().unwrap())
    }

    fn token(&self, arguments: &[&str]) -> String {
        let data = self.folder.path().join("data");
        let mut all = vec!["token", "--data", data.to_str().unwrap()];
        all.extend(arguments);
        Program::new().run_with(&all).printed().trim().to_owned()
    }
}

/// Verbs call with the token of a file, of a variable, or of a login, in that order.
#[tokio::test]
async fn a_token_comes_from_a_file_a_variable_or_a_login() {
    let world = World::start();
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|user| world.token(&[user]));
    let file = world.folder.path().join("token");
    fs::write(&file, format!("{alice}\n")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let file = file.to_str().unwrap();
    world.program().run("info").failed(1, "NO_TOKEN");

    world.program().run_with(&["info", "--token-file", file]).failed(1, "chmod 600");
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
    world.program().run_on(&carol, &["login"]).printed();
    let who = |program: Program| program.run("info").printed().to_owned();
    assert!(who(world.program()).contains("you are carol, user"));
    assert!(who(world.program().with("WHIMBREL_TOKEN", &bob)).contains("you are bob, user"));
    let of_file = world.program().with("WHIMBREL_TOKEN", &bob).with("WHIMBREL_TOKEN_FILE", file);
    assert!(who(of_file).contains("you are alice, user"));

    // The caller's own name may be left out, also in the next command.
    world.program().run_with(&["publish", "", "hello"]).printed();
    let page = world.program().run_with(&["feed", ""]);
    assert!(
        page.printed().contains("carol") && page.stderr.contains("watch '' --after"),
        "{page:?}"
    );

    let kept = world.folder.path().join("home/whimbrel/tokens.json");
    assert_eq!(fs::metadata(&kept).unwrap().permissions().mode() & 0o777, 0o600);
    let out = world.program().run("logout");
    assert!(out.stderr.contains("forgot the token"), "{out:?}");
    world.program().run("info").failed(1, "NO_TOKEN");
    assert!(world.program().run("logout").stderr.contains("there was no token"));
}

/// What is no token is refused, and none is sent in clear text to another machine.
#[tokio::test]
async fn a_token_is_not_sent_where_others_can_read_it() {
    let world = World::start();
    world.program().run_on("", &["login"]).failed(2, "no token on standard input");
    world.program().run_on("two words", &["login"]).failed(2, "no token on standard input");
    let token = world.token(&["alice"]);
    let elsewhere = ["info", "--addr", "http://192.0.2.1:50051"];
    let ran = world.program().with("WHIMBREL_TOKEN", &token).run_with(&elsewhere);
    ran.failed(1, "in clear text");
    assert!(!ran.stderr.contains(&token));
    world.program().with("WHIMBREL_TOKEN", "a b").run("info").failed(1, "one word");
}

/// Each call has the token that its file has then; a file without one changes nothing.
#[tokio::test]
async fn a_changed_file_is_the_next_token() {
    let world = World::start();
    let file = world.folder.path().join("token");
    write_token(&file, &world.token(&["alice"]));
    let options =
        ConnectOptions { token: Some(TokenSource::File(file.clone())), ..Default::default() };
    assert!(!format!("{options:?}").contains("eyJ"));
    let address = world.server.address().to_string();
    let client = Client::connect_with(&address, &options).await.unwrap();
    let role = async || {
        let info = client.get_server_info(GetServerInfoRequest {}).await.unwrap();
        info.caller.unwrap().role
    };
    assert_eq!(role().await, "user");
    write_token(&file, &world.token(&["--role", "service"]));
    assert_eq!(role().await, "service");
    write_token(&file, "");
    assert_eq!(role().await, "service");
}

/// Replaces the file, so that nobody reads half of it.
pub(super) fn write_token(file: &std::path::Path, token: &str) {
    let next = file.with_extension("next");
    fs::write(&next, token).unwrap();
    fs::set_permissions(&next, fs::Permissions::from_mode(0o600)).unwrap();
    fs::rename(&next, file).unwrap();
}
