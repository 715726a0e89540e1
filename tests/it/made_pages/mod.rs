//! The pages of `docs/` that are made from the code: the reference of the API, the errors, the
//! limits and the metrics. A page that differs from the code fails its test, which says how to write it again. Never
//! holds what other documents say.

mod api_reference;
mod comments;
mod errors;
mod limits;
mod metrics;
mod openapi;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// With this variable the tests write the pages instead of comparing them.
const WRITE: &str = "WHIMBREL_WRITE_DOCS";
const COMMAND: &str = "WHIMBREL_WRITE_DOCS=1 cargo test --test it made_pages::";

/// The first lines of a page. People who would edit it learn what it is made from.
fn head(title: &str, source: &str) -> String {
    format!("# {title}\n\n<!-- Made from {source}. To write it again: {COMMAND} -->\n\n")
}

/// Holds that the files have these texts; they are named from the root of the repository.
fn hold(pages: &BTreeMap<String, String>) {
    for (name, text) in pages {
        let file = path(name);
        if std::env::var_os(WRITE).is_some() {
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, text).unwrap();
        }
        let written = fs::read_to_string(&file).unwrap_or_default();
        let line =
            (1..).zip(text.lines()).find(|(n, line)| written.lines().nth(n - 1) != Some(line));
        assert!(
            written == *text,
            "{name} is not what the code says, first at {line:?}. Write it again: {COMMAND}"
        );
    }
}

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Text for a cell of a table.
fn cell(text: &str) -> String {
    let paragraphs =
        text.split("\n\n").map(|it| it.split_whitespace().collect::<Vec<_>>().join(" "));
    paragraphs.collect::<Vec<_>>().join("<br>").replace('|', "\\|")
}
