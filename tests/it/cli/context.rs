//! Contexts, `status`, and the formats of the output.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};

use crate::harness::TestServer;
use crate::harness::program::{Program, Ran};

/// Somebody with a home, in which contexts are kept.
struct Person(TempDir);

impl Person {
    fn new() -> Self {
        Self(tempdir().unwrap())
    }

    fn program(&self) -> Program {
        Program::new().with("XDG_CONFIG_HOME", self.0.path().to_str().unwrap())
    }

    fn run(&self, arguments: &str) -> Ran {
        self.program().run(arguments)
    }

    fn contexts(&self) -> Vec<(String, bool)> {
        let lines = self.run("context list --json").lines();
        let all = lines.iter().map(|line| &line["context"]);
        all.map(|it| (it["name"].as_str().unwrap().to_owned(), it["isCurrent"] == json!(true)))
            .collect()
    }
}

/// An address at which nobody listens.
fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// The server of the context in use is called, unless another context or an address is given.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_of_the_context_in_use_is_called() {
    let (one, other) = (TestServer::start().await, TestServer::start().await);
    one.user("alice").publishes("at one").await;
    other.user("alice").publishes("at other").await;
    let person = Person::new();
    person.run(&format!("context add one --addr {}", one.address())).printed();
    person.run(&format!("context add other --addr {}", other.address())).printed();
    assert_eq!(person.contexts(), [("one".to_owned(), true), ("other".to_owned(), false)]);
    let posts = |program: Program, arguments: &str| {
        program.run(&format!("posts alice {arguments}")).printed().to_owned()
    };
    assert!(posts(person.program(), "").contains("at one"));
    assert!(posts(person.program(), "--context other").contains("at other"));
    let by_variable = person.program().with("WHIMBREL_CONTEXT", "other");
    assert!(posts(by_variable, "").contains("at other"));
    let by_address = person.program().with("WHIMBREL_ADDR", &other.address().to_string());
    assert!(posts(by_address, "").contains("at other"));
    person.run("context use other").printed();
    assert!(posts(person.program(), "").contains("at other"));
    assert!(posts(person.program(), &format!("--addr {}", one.address())).contains("at one"));

    let both = format!("posts alice --context one --addr {}", one.address());
    person.run(&both).failed(2, "both say which server");
    person.run("posts alice --context oen").failed(2, "no context oen, only one, other");
    person.run("context use oen").failed(2, "no context oen");
    person.run("context add a/b --addr 127.0.0.1:1").failed(2, "letters, digits");
    person.run("context add a --addr nothing:x").failed(2, "nothing:x");
    person.run("context remove other").printed();
    assert_eq!(person.contexts(), [("one".to_owned(), false)]);
    person.run("context use one").printed();
    person.run("context unuse").printed();
    assert_eq!(person.contexts(), [("one".to_owned(), false)]);
}

/// A token of one server is never sent to another one: with an address, nothing of a context is used.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_a_context_is_used_for_another_server() {
    let server = TestServer::start().await;
    let person = Person::new();
    let token = person.0.path().join("token");
    fs::write(&token, "secret").unwrap();
    fs::set_permissions(&token, fs::Permissions::from_mode(0o644)).unwrap();
    let (address, token) = (server.address(), token.display());
    person.run(&format!("context add safe --addr {address} --token-file {token}")).printed();
    // The file is refused if it is looked at.
    person.run("feed alice").failed(1, "chmod 600");
    person.run(&format!("feed alice --addr {address}")).printed();
    let contexts = person.0.path().join("whimbrel/contexts.json");
    assert_eq!(fs::metadata(&contexts).unwrap().permissions().mode() & 0o777, 0o600);
    fs::write(contexts, "{").unwrap();
    person.run("feed alice").failed(2, "contexts.json is damaged");
    person.run(&format!("feed alice --addr {address}")).printed();
}

/// Who serves and who does not, for people, programs and health checks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn status_says_who_serves() {
    let server = TestServer::start().await;
    let person = Person::new();
    person.run("status --all").failed(2, "context add");
    person.run(&format!("context add up --addr {}", server.address())).printed();
    person.run(&format!("context add down --addr {}", nobody())).printed();
    let one = person.run("status").printed().to_owned();
    assert!(one.contains(env!("CARGO_PKG_VERSION")) && one.contains("yes"), "{one}");
    let all = person.run("status --all --json");
    all.failed(3, "1 of 2 servers");
    let [down, up] = all.lines().try_into().unwrap_or_else(|_| panic!("{all:?}"));
    assert_eq!(
        (&down["status"]["context"], &down["status"]["isServing"]),
        (&json!("down"), &json!(false))
    );
    assert!(down["status"]["problem"].as_str().unwrap().contains("cannot reach"), "{down}");
    assert_eq!(
        (&up["status"]["context"], &up["status"]["isServing"]),
        (&json!("up"), &json!(true))
    );
    assert!(up["status"]["milliseconds"].is_number() && up["status"]["logId"].is_string(), "{up}");
    person.run("status --context down").failed(3, "does not serve");
}

/// JSON by each of its flags; YAML with the same members; and nothing of either for people.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_format_says_the_same() {
    let server = TestServer::start().await;
    // What YAML 1.1 takes for another type, unless it is quoted.
    let text = "no\n- a: 'b' # 1e3";
    server.user("alice").publishes(text).await;
    let feed = |arguments: &str| Program::calling(server.address()).run(arguments);
    let json = feed("feed alice --json").lines();
    assert_eq!(json[0]["item"]["post"]["text"], text);
    assert_eq!(feed("-o json feed alice").lines(), json);
    let by_variable = Program::calling(server.address()).with("WHIMBREL_OUTPUT", "json");
    assert_eq!(by_variable.run("feed alice").lines(), json);
    let yaml = feed("feed alice --output yaml");
    let documents: Vec<Value> = serde_saphyr::from_multiple(yaml.printed()).unwrap();
    assert_eq!(documents, json);
    assert!(feed("feed alice").printed().starts_with("alice"), "people read text");
    feed("feed alice -o xml").failed(2, "table, json, yaml");

    let refused = feed("-o yaml show alice p0");
    let error: Value = serde_saphyr::from_str(refused.stderr.trim()).unwrap();
    assert!(error["error"]["message"].is_string(), "{error}");
}
