//! The sources follow the layers in the crate's documentation, and the rules for size and shape of
//! a file.

use std::fs;
use std::path::{Path, PathBuf};

/// The modules from the bottom up, each with the lower modules that it may import. By default that
/// is every lower module; the exceptions are on the right.
const LAYERS: [(&str, Below); 17] = [
    ("formats", Below::Only(&[])),
    ("runtime", Below::Only(&[])),
    ("model", Below::Only(&[])),
    ("auth", Below::Only(&["formats", "runtime", "model"])),
    ("config", Below::Only(&["model", "auth"])),
    ("storage", Below::AllBut(&["auth"])),
    ("state", Below::AllBut(&["auth"])),
    ("query", Below::AllBut(&["auth"])),
    ("live", Below::AllBut(&["auth"])),
    ("engine", Below::AllBut(&["auth"])),
    ("cluster", Below::Only(&["runtime", "model", "storage"])),
    ("api", Below::All),
    ("client", Below::Only(&["api", "runtime"])),
    ("backup", Below::Only(&["formats", "runtime", "model", "storage", "api", "client"])),
    ("dump", Below::Only(&["model", "storage", "api", "client"])),
    ("server", Below::AllBut(&["backup", "dump"])),
    ("cli", Below::All),
];

/// The lower modules that a module may import.
enum Below {
    All,
    AllBut(&'static [&'static str]),
    Only(&'static [&'static str]),
}

/// Other crates, each with the only paths that may name it.
const OUTSIDERS: [(&str, &[&str]); 20] = [
    ("object_store", &["backup/http.rs", "backup/s3.rs"]),
    (
        "redb",
        &["storage/redb_log/", "storage/index/", "storage/redb_file.rs", "storage/unwritten.rs"],
    ),
    ("dashmap", &["state/", "live/"]),
    ("tonic", &["api/", "client/", "server/"]),
    ("tonic_health", &["api/", "client/", "server/"]),
    ("hyper", &["server/", "api/nodes.rs"]),
    ("hyper_util", &["server/"]),
    (
        "rustls",
        &[
            "client/tls.rs",
            "runtime/http_client.rs",
            "server/tls.rs",
            "server/self_signed.rs",
            "storage/postgres/connection.rs",
        ],
    ),
    ("tokio_rustls", &["client/tls.rs", "server/"]),
    ("tokio_postgres", &["storage/postgres/"]),
    ("tokio_postgres_rustls", &["storage/postgres/connection.rs"]),
    ("webpki", &["server/tls.rs"]),
    ("rcgen", &["server/self_signed.rs"]),
    ("proxy_header", &["server/proxy_protocol.rs"]),
    ("ipnet", &["config/transport.rs"]),
    ("clap", &["cli/", "main.rs"]),
    ("prost_reflect", &["api/proto_json.rs"]),
    ("prometheus_client", &["runtime/metrics/text.rs"]),
    ("arc_swap", &["config/in_force.rs"]),
    ("strsim", &["cli/settings/file.rs"]),
];

/// The path of the generated types, which the command line may also name.
const GENERATED: (&str, &[&str]) =
    ("api::v1", &["api/", "client/", "backup/", "dump/", "server/", "cli/"]);

const LINES_MAX: usize = 450;

/// All files follow all rules.
#[test]
fn the_sources_keep_the_rules() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files = files_in(&root);
    assert!(files.len() > 50, "the sources were not found");
    let problems: Vec<_> = files
        .iter()
        .flat_map(|file| {
            let path = file.strip_prefix(&root).unwrap().to_str().unwrap();
            problems(path, &fs::read_to_string(file).unwrap())
        })
        .collect();
    assert!(problems.is_empty(), "{problems:#?}");
}

/// Every module of the crate has a layer.
#[test]
fn every_module_has_a_layer() {
    let lib = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap();
    let mut modules: Vec<_> =
        lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    let mut layers: Vec<_> = LAYERS.iter().map(|(name, _)| *name).collect();
    modules.sort_unstable();
    layers.sort_unstable();
    assert_eq!(modules, layers);
}

/// Made-up sources that break the rules are found.
#[test]
fn broken_rules_are_found() {
    let finds = |path: &str, source: &str| {
        let source = format!("//! A file.\n\n{source}\n");
        problems(path, &source)
    };
    assert!(
        finds("state/mod.rs", "use crate::storage::Log;\nuse crate::model::{A, B};").is_empty()
    );
    assert_eq!(
        finds("storage/mod.rs", "use crate::state::State;"),
        ["storage/mod.rs imports crate::state"]
    );
    assert_eq!(finds("config/mod.rs", "fn f(x: crate::storage::A) {}").len(), 1);
    assert_eq!(finds("storage/a.rs", "use crate::{model, engine::Engine};").len(), 1);
    assert_eq!(
        finds("storage/a.rs", "use crate::{\n    live::LiveFeeds,\n    model,\n};").len(),
        1
    );
    assert_eq!(finds("server/mod.rs", "use crate::cli::client::Client;").len(), 1);
    assert_eq!(finds("client/mod.rs", "use crate::engine::Engine;").len(), 1);

    assert!(finds("storage/redb_log/mod.rs", "use redb::Database;").is_empty());
    assert!(finds("storage/index/tables.rs", "use redb::Database;").is_empty());
    assert_eq!(finds("storage/mod.rs", "use redb::Database;"), ["storage/mod.rs names redb"]);
    assert_eq!(finds("state/indexing.rs", "use redb::Database;").len(), 1);
    assert_eq!(finds("engine/mod.rs", "fn f() -> tonic::Status;"), ["engine/mod.rs names tonic"]);
    assert_eq!(finds("engine/mod.rs", "use dashmap::{DashMap};").len(), 1);
    assert!(finds("cli/show.rs", "use crate::api::v1::Post;").is_empty());
    // Comments may name anything.
    assert!(finds("storage/mod.rs", "// Unlike tonic::Status or crate::live::Live.").is_empty());

    assert_eq!(problems("model/a.rs", "use std::fmt;\n").len(), 1, "a file without //!");
    assert_eq!(finds("model/a.rs", &"fn f() {}\n".repeat(LINES_MAX)).len(), 1);
}

pub(crate) fn files_in(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| if path.is_dir() { files_in(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}

/// The broken rules of the file at `path` below `src/`.
fn problems(path: &str, source: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if !source.starts_with("//!") {
        problems.push(format!("{path} does not open with //!"));
    }
    let lines = source.lines().count();
    if lines > LINES_MAX {
        problems.push(format!("{path} has {lines} lines"));
    }
    let code = without_comments(source);
    let module = path.split('/').next().unwrap_or_default().trim_end_matches(".rs");
    if let Some(layer) = LAYERS.iter().position(|(name, _)| *name == module) {
        let upward = imports(&code).into_iter().filter(|import| !may_import(layer, import));
        problems.extend(upward.map(|import| format!("{path} imports crate::{import}")));
    }
    for (name, paths) in OUTSIDERS {
        let is_allowed = paths.iter().any(|allowed| path.starts_with(allowed));
        if !is_allowed && names_crate(&code, name) {
            problems.push(format!("{path} names {name}"));
        }
    }
    let (generated, paths) = GENERATED;
    if code.contains(generated) && !paths.iter().any(|allowed| path.starts_with(allowed)) {
        problems.push(format!("{path} names {generated}"));
    }
    problems
}

fn without_comments(source: &str) -> String {
    let lines = source.lines().map(|line| line.split("//").next().unwrap_or_default());
    lines.collect::<Vec<_>>().join("\n")
}

/// The modules that `code` names by `crate::…`, in braces or alone.
fn imports(code: &str) -> Vec<&str> {
    let mut imports = Vec::new();
    for (at, start) in code.match_indices("crate::") {
        let rest = &code[at + start.len()..];
        match rest.strip_prefix('{') {
            None => imports.extend(first_word(rest)),
            Some(group) => imports.extend(top_level(group).into_iter().filter_map(first_word)),
        }
    }
    imports.retain(|import| !import.is_empty());
    imports
}

/// The parts of a brace group, without nested groups.
fn top_level(group: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut depth, mut start) = (0, 0);
    for (at, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            ',' | '}' if depth == 0 => {
                parts.push(group[start..at].trim_start());
                start = at + 1;
                if character == '}' {
                    break;
                }
            }
            '}' => depth -= 1,
            _ => {}
        }
    }
    parts
}

fn first_word(text: &str) -> Option<&str> {
    text.split(|character: char| !character.is_alphanumeric() && character != '_').next()
}

fn may_import(layer: usize, import: &str) -> bool {
    let (own, below) = &LAYERS[layer];
    if import == *own {
        return true;
    }
    let is_below = LAYERS[..layer].iter().any(|(name, _)| *name == import);
    match below {
        Below::All => is_below,
        Below::AllBut(others) => is_below && !others.contains(&import),
        Below::Only(some) => is_below && some.contains(&import),
    }
}

/// Whether `name::` stands in `code` as a word of its own.
fn names_crate(code: &str, name: &str) -> bool {
    let path = format!("{name}::");
    code.match_indices(&path).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        !before.is_some_and(|character| character.is_alphanumeric() || "_:".contains(character))
    })
}
