//! API keys are those of all nodes: made and revoked once, they are known, or none, at each.

use tonic::Request;
use tonic::metadata::AsciiMetadataValue;
use whimbrel::api::v1::GetServerInfoRequest;
use whimbrel::api::v1::meta_service_client::MetaServiceClient;
use whimbrel::auth::{ApiKeys, NewKey, Options, Role, Settings};

use crate::harness::postgres::Postgres;
use crate::harness::program::{Program, Ran};
use crate::harness::{Setup, TestServer, eventually};

/// A node that asks who calls.
fn asking(address: &str) -> Setup {
    let options = Options { settings: Settings::default(), development: false };
    Setup::new().store(address).authentication(options)
}

async fn knows(node: &TestServer, secret: &str) -> bool {
    let mut request = Request::new(GetServerInfoRequest {});
    let value: AsciiMetadataValue = format!("Bearer {secret}").parse().unwrap();
    request.metadata_mut().insert("authorization", value);
    MetaServiceClient::new(node.channel()).get_server_info(request).await.is_ok()
}

/// Runs `whimbrel key` on the keys of the nodes at `address`.
fn key(address: &str, arguments: &[&str]) -> Ran {
    let of_store = ["--store", address, "--store-replicated-elsewhere", "--json"];
    Program::new().run_with(&[&["key"], arguments, &of_store].concat())
}

#[tokio::test]
async fn a_key_is_one_of_all_nodes() {
    let Some(postgres) = Postgres::shared() else { return };
    let address = postgres.new_log();
    // Before the first node, too.
    let create = ["create", "--name", "backend", "--role", "service"];
    let made = [(); 2].map(|()| key(&address, &create).lines()[0]["key"].clone());
    let secrets = [0, 1].map(|at: usize| made[at]["secret"].as_str().unwrap());
    let nodes = [asking(&address).start().await, asking(&address).start().await];
    for node in &nodes {
        assert!(knows(node, secrets[0]).await && knows(node, secrets[1]).await);
    }
    key(&address, &["revoke", made[0]["id"].as_str().unwrap()]).printed();
    for node in &nodes {
        eventually("the key to end", async || (!knows(node, secrets[0]).await).then_some(())).await;
        assert!(knows(node, secrets[1]).await);
    }
    let new = key(&address, &create).lines()[0]["key"]["secret"].as_str().unwrap().to_owned();
    for node in &nodes {
        eventually("the key to be known", async || knows(node, &new).await.then_some(())).await;
    }
    assert_eq!(key(&address, &["list"]).lines().len(), 3);
    // Its folder has a copy of them, which another start must not take for its own.
    let folder = nodes[0].folder();
    let local = ["key", "list", "--data", folder.path().to_str().unwrap()];
    Program::new().run_with(&local).failed(2, "give --store");
}

#[tokio::test]
async fn keys_of_a_server_that_was_alone_become_those_of_all_nodes() {
    let Some(postgres) = Postgres::shared() else { return };
    let address = postgres.new_log();
    let first = asking(&address).start().await;
    let former = std::sync::Arc::new(tempfile::tempdir().unwrap());
    let new = NewKey { name: "backend".to_owned(), role: Role::Service, user: None, expires: None };
    let (_, secret) = ApiKeys::create(former.path(), new.clone(), 1).unwrap();
    let second = asking(&address).start_on(former).await;
    for node in [&first, &second] {
        eventually("the key to be known", async || knows(node, &secret).await.then_some(())).await;
    }
    // Of those that come later none: nodes have one table.
    let later = std::sync::Arc::new(tempfile::tempdir().unwrap());
    let (_, other) = ApiKeys::create(later.path(), new, 1).unwrap();
    let third = asking(&address).start_on(later).await;
    assert!(knows(&third, &secret).await && !knows(&third, &other).await);
    // They are those of a server that is alone again.
    for node in [first, second, third] {
        node.stop().await;
    }
    let alone = tempfile::tempdir().unwrap();
    let to = alone.path().to_str().unwrap();
    let copy = ["log", "copy", "--from", &address, "--to", to, "--store-replicated-elsewhere"];
    Program::new().run_with(&copy).printed();
    assert_eq!(ApiKeys::list(alone.path()).unwrap().len(), 1);
}
