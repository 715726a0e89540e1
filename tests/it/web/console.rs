//! The console: its files, what protects those who look at it, and when it is served. What it does in a browser is tested in
//! `tests/clients/test_console.py`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use http::{StatusCode, Version};
use whimbrel::config::{Config, ConsoleMode};

use super::http;
use crate::harness::{Setup, TestServer};

/// The files in `console/`, by the names that a browser asks for.
fn files() -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("console");
    let mut folders = vec![root.clone()];
    let mut names = BTreeSet::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                names.insert(path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    names
}

/// Each file is served as it is in the sources, with a policy under which nothing else runs.
#[tokio::test]
async fn every_file_is_served_and_protected() {
    let server = TestServer::start().await;
    let names = files();
    assert!(names.len() > 10, "the files were not found: {names:?}");
    for version in super::VERSIONS {
        let mut client = http(&server, version).await;
        for name in &names {
            let asked = name.trim_end_matches("index.html");
            let answer = client.send("GET", &format!("/console/{asked}"), &[], "").await;
            assert_eq!(answer.status(), StatusCode::OK, "{name}");
            let file = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("console").join(name));
            assert_eq!(answer.body(), &file.unwrap(), "{name}");
            let header = |name: &str| answer.headers()[name].to_str().unwrap();
            let policy = header("content-security-policy");
            assert!(
                policy.contains("default-src 'none'") && !policy.contains("unsafe"),
                "{policy}"
            );
            assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
            assert_eq!(header("x-content-type-options"), "nosniff");
            assert_eq!(header("cross-origin-resource-policy"), "same-origin");
        }
    }
}

/// The page has no script and no style of its own, which its policy would not let run.
#[test]
fn the_page_has_nothing_inline() {
    let page = include_str!("../../../console/index.html");
    assert_eq!(
        page.matches("<script").count(),
        page.matches("<script type=\"module\" src=").count()
    );
    assert!(
        !page.contains("<style") && !page.contains(" style=") && !page.contains(" on"),
        "{page}"
    );
    for name in files().iter().filter(|name| name.ends_with(".js")) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("console").join(name);
        let code = fs::read_to_string(path).unwrap();
        for markup in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("] {
            assert!(!code.contains(markup), "{name} makes markup of a text: {markup}");
        }
    }
}

/// The address of the server leads there. A file that the browser has is not sent again.
#[tokio::test]
async fn it_is_found_and_kept() {
    let server = TestServer::start().await;
    let mut client = http(&server, Version::HTTP_11).await;
    for path in ["/", "/console"] {
        let answer = client.send("GET", path, &[], "").await;
        assert_eq!(answer.status(), StatusCode::TEMPORARY_REDIRECT, "{path}");
        assert_eq!(answer.headers()["location"], "/console/");
        assert_eq!(answer.body(), "The console is at /console/\n");
    }
    let first = client.send("GET", "/console/console.js", &[], "").await;
    let etag = first.headers()["etag"].to_str().unwrap().to_owned();
    let again = client.send("GET", "/console/console.js", &[("if-none-match", &etag)], "").await;
    assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
    assert!(again.body().is_empty());
    let head = client.send("HEAD", "/console/", &[], "").await;
    assert_eq!((head.status(), head.body().len()), (StatusCode::OK, 0));
}

/// There is no other file, and no other method: such a request is none, as everywhere.
#[tokio::test]
async fn nothing_else_is_there() {
    let server = TestServer::start().await;
    let mut client = http(&server, Version::HTTP_11).await;
    for path in ["/console/no.js", "/console/../Cargo.toml", "/console/views/", "/consoles/"] {
        let answer = client.send("GET", path, &[], "").await;
        assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED, "{path}");
    }
    let posted = client.send("POST", "/console/", &[("content-type", "text/plain")], "").await;
    assert_eq!(posted.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let foreign = [("origin", "https://elsewhere.example")];
    let answer = client.send("GET", "/console/", &foreign, "").await;
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
}

/// A server that only this machine reaches has it; another one if its operator says so.
#[tokio::test]
async fn it_is_served_on_loopback_or_on_request() {
    let folder = tempfile::tempdir().unwrap();
    let config = |listen: &str, console| Config {
        listen: vec![listen.parse().unwrap()],
        console,
        ..Setup::new().config(folder.path())
    };
    for (listen, console, is_served) in [
        ("127.0.0.1:0", ConsoleMode::Auto, true),
        ("[::1]:0", ConsoleMode::Auto, true),
        ("0.0.0.0:0", ConsoleMode::Auto, false),
        ("192.0.2.1:0", ConsoleMode::Auto, false),
        ("0.0.0.0:0", ConsoleMode::On, true),
        ("127.0.0.1:0", ConsoleMode::Off, false),
    ] {
        assert_eq!(config(listen, console).serves_console(), is_served, "{listen} {console:?}");
    }
    let server = Setup::new().console(ConsoleMode::Off).start().await;
    let mut client = http(&server, Version::HTTP_11).await;
    for path in ["/", "/console/"] {
        let answer = client.send("GET", path, &[], "").await;
        assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED, "{path}");
    }
}
