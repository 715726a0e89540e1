//! The documents: every relative link leads to an existing file and heading, every document is
//! linked from the README, the README is short, and flags, calls and verbs are documented.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::{Component, Path, PathBuf};

use clap::CommandFactory;
use whimbrel::cli::Cli;

/// The documents outside of `docs/`; some may not exist.
const AT_THE_ROOT: [&str; 5] =
    ["README.md", "ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"];
const README_LINES_MAX: usize = 170;
/// The table of contents of the book.
const SUMMARY: &str = "docs/SUMMARY.md";

/// A link to another document, or within the same one.
#[derive(Debug, PartialEq, Eq)]
struct Link {
    line: usize,
    target: String,
}

/// A moved file or a renamed heading breaks no link.
#[test]
fn every_relative_link_leads_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let documents = documents(root);
    assert!(documents.len() > 10, "the documents were not found: {documents:?}");
    let broken: Vec<_> =
        documents.iter().flat_map(|document| broken_links(root, document)).collect();
    assert!(broken.is_empty(), "{broken:#?}");
}

/// Every document below `docs/` can be reached by links from the README.
#[test]
fn every_document_can_be_found_from_the_readme() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = BTreeSet::new();
    let mut next = vec![PathBuf::from("README.md")];
    while let Some(document) = next.pop() {
        let is_document = document.extension().is_some_and(|extension| extension == "md");
        if is_document && root.join(&document).is_file() && found.insert(document.clone()) {
            let links = links(&fs::read_to_string(root.join(&document)).unwrap());
            next.extend(links.iter().filter_map(|link| resolved(&document, &link.target)));
        }
    }
    let lost: Vec<_> = documents(root)
        .into_iter()
        .filter(|document| document.starts_with("docs") && !found.contains(document))
        // It is no page: the book is ordered by it.
        .filter(|document| document != Path::new(SUMMARY))
        .collect();
    assert_eq!(lost, [] as [PathBuf; 0]);
}

/// Every document, also of an example, is a page of the book, and has one place in it.
#[test]
fn every_document_is_in_the_book() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let summary = Path::new(SUMMARY);
    let mut pages: Vec<_> = links(&page(SUMMARY))
        .iter()
        .map(|link| resolved(summary, &link.target).expect("a link within the repository"))
        .collect();
    let mut documents = documents(root);
    documents.retain(|document| document != summary);
    pages.sort_unstable();
    documents.sort_unstable();
    assert_eq!(pages, documents);
}

/// The map of the code names only paths that exist.
#[test]
fn every_source_that_the_documents_name_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut named = 0;
    for document in ["ARCHITECTURE.md", "CONTRIBUTING.md"] {
        let text = page(document);
        let is_path = |code: &&str| {
            let is_part = |c: char| c.is_ascii_alphanumeric() || "_./".contains(c);
            let is_file = code.ends_with(".rs") || code.ends_with('/');
            is_file && code.contains('/') && code.chars().all(is_part)
        };
        for path in text.split('`').skip(1).step_by(2).filter(is_path) {
            let exists = root.join(path).exists() || root.join("src").join(path).exists();
            // A file that a contributor adds, or that a fuzzer makes.
            let is_later = path.contains("RPC") || path.starts_with("fuzz/");
            assert!(exists || is_later, "{document} names {path}, which does not exist");
            named += 1;
        }
    }
    assert!(named > 40, "the paths were not found: {named}");
}

/// The README is for a first reading. Details have documents of their own.
#[test]
fn the_readme_is_short() {
    let lines = page("README.md").lines().count();
    assert!(lines <= README_LINES_MAX, "README.md has {lines} lines");
}

/// Every flag is described in the document for operators.
#[test]
fn every_flag_of_serve_is_described() {
    let page = page("docs/operations.md");
    let cli = Cli::command();
    let serve = cli.find_subcommand("serve").unwrap();
    let flags: Vec<_> = serve.get_arguments().filter(|flag| !flag.is_hide_set()).collect();
    assert!(flags.len() > 10, "the flags were not found");
    let is_described = |flag: &clap::Arg| {
        let name = format!("| `--{}", flag.get_long().unwrap());
        let variable = format!("`{}", flag.get_env().unwrap().to_str().unwrap());
        page.lines().any(|line| line.starts_with(&name) && line.contains(&variable))
    };
    let missing: Vec<_> = flags.iter().filter(|flag| !is_described(flag)).collect();
    assert!(missing.is_empty(), "{missing:#?}");
}

/// Every call and every verb is listed in the document for its users.
#[test]
fn every_call_and_verb_is_listed() {
    let page = page("docs/api.md");
    let protos = Path::new(env!("CARGO_MANIFEST_DIR")).join("proto/whimbrel/v1");
    let protos = fs::read_dir(protos).unwrap().map(|entry| entry.unwrap().path());
    let protos: String = protos.map(|proto| fs::read_to_string(proto).unwrap()).collect();
    let calls =
        protos.lines().filter_map(|line| line.trim().strip_prefix("rpc ")?.split('(').next());
    let cli = Cli::command();
    // These verbs call no single RPC.
    let others = ["serve", "import", "bench"];
    let verbs =
        cli.get_subcommands().filter(|verb| !verb.is_hide_set()).map(|verb| verb.get_name());
    let names: Vec<_> = calls.chain(verbs.filter(|verb| !others.contains(verb))).collect();
    assert!(names.len() > 40, "the calls and verbs were not found: {names:?}");
    let missing: Vec<_> =
        names.iter().filter(|name| !page.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// Made-up documents that break the rules are found.
#[test]
fn broken_links_are_found() {
    let root = tempfile::tempdir().unwrap();
    let finds = |text: &str| {
        fs::write(root.path().join("README.md"), text).unwrap();
        broken_links(root.path(), Path::new("README.md"))
    };
    fs::create_dir(root.path().join("docs")).unwrap();
    fs::write(root.path().join("docs/a.md"), "# A `--flag`\n\n## Run it, test it\n\n## B\n## B\n")
        .unwrap();

    assert!(finds("[a](docs/a.md), ![a](docs/a.md#a---flag) and [all](docs/)").is_empty());
    assert!(
        finds("[a](docs/a.md#run-it-test-it) [b](docs/a.md#b-1)\n\n[a]: docs/a.md#b").is_empty()
    );
    assert!(finds("# Own\n\n[own](#own) [web](https://example.org/x#y)").is_empty());
    assert!(
        finds("`[code](missing.md)`\n\n```sh\n[code](missing.md)\n# no heading\n```").is_empty()
    );

    assert_eq!(finds("x\n[a](docs/b.md)"), ["README.md:2: docs/b.md does not exist"]);
    assert_eq!(finds("[a](docs/a.md#c)"), ["README.md:1: docs/a.md#c is no heading"]);
    assert_eq!(finds("```\n# Code\n```\n[own](#code)").len(), 1);
    assert_eq!(finds("[one](docs/a.md) [two](docs/b.md) [three](c.md)").len(), 2);
    assert_eq!(finds("[a]\n\n[a]: b.md").len(), 1);
    assert_eq!(finds("[![picture](b.svg)](docs/a.md)").len(), 1);
    assert_eq!(finds("[out](../README.md)").len(), 1);
    assert_eq!(finds("[root](/README.md)").len(), 1);
}

fn page(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// All documents, as paths from the root.
fn documents(root: &Path) -> Vec<PathBuf> {
    let at_the_root = AT_THE_ROOT.iter().map(PathBuf::from);
    let mut documents: Vec<_> = at_the_root.filter(|path| root.join(path).is_file()).collect();
    let mut folders = ["docs", "examples", "proto"].map(|folder| root.join(folder)).to_vec();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                // Packages of others, which have documents of their own.
                if !path.ends_with("node_modules") {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|extension| extension == "md") {
                documents.push(path.strip_prefix(root).unwrap().to_owned());
            }
        }
    }
    documents
}

/// The broken links of `document`.
fn broken_links(root: &Path, document: &Path) -> Vec<String> {
    let text = fs::read_to_string(root.join(document)).unwrap();
    let problem = |link: &Link| {
        let (path, heading) = link.target.split_once('#').unwrap_or((&link.target, ""));
        let Some(target) = resolved(document, path) else {
            return Some("leads out of the repository");
        };
        let target = root.join(target);
        if !target.exists() {
            return Some("does not exist");
        }
        if heading.is_empty() {
            return None;
        }
        let headings = fs::read_to_string(target).map(|text| headings(&text)).unwrap_or_default();
        (!headings.contains(heading)).then_some("is no heading")
    };
    let broken = links(&text).into_iter().filter_map(|link| Some((problem(&link)?, link)));
    broken
        .map(|(what, link)| format!("{}:{}: {} {what}", document.display(), link.line, link.target))
        .collect()
}

/// The path from the root that `target` names in `document`; `None` if it is outside.
fn resolved(document: &Path, target: &str) -> Option<PathBuf> {
    let path = target.split('#').next().unwrap_or_default();
    if path.is_empty() {
        return Some(document.to_owned());
    }
    let mut resolved = document.parent()?.to_owned();
    for component in Path::new(path).components() {
        match component {
            Component::Normal(name) => resolved.push(name),
            Component::CurDir => {}
            Component::ParentDir if resolved.pop() => {}
            _ => return None,
        }
    }
    Some(resolved)
}

/// The relative links of a document: those in text, and definitions of references.
fn links(text: &str) -> Vec<Link> {
    let mut links = Vec::new();
    for (line, text) in prose(text) {
        let text = without_code(text);
        let inline = text.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next());
        let defined = text.strip_prefix('[').and_then(|rest| rest.split_once("]: "));
        let targets = inline.chain(defined.map(|(_, target)| target.trim()));
        let relative = targets.filter(|target| !target.contains("://"));
        links.extend(relative.map(|target| Link { line, target: target.to_owned() }));
    }
    links
}

/// The headings of a document, as links name them: GitHub's rule.
fn headings(text: &str) -> BTreeSet<String> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    let titles = prose(text).filter_map(|(_, line)| {
        let (level, title) = line.split_once(' ')?;
        (!level.is_empty() && level.chars().all(|c| c == '#')).then_some(title)
    });
    titles
        .map(|title| {
            let name = anchor(title);
            let earlier = seen.entry(name.clone()).or_default();
            *earlier += 1;
            if *earlier == 1 { name } else { format!("{name}-{}", *earlier - 1) }
        })
        .collect()
}

fn anchor(title: &str) -> String {
    let kept = title.trim().chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// The lines outside of blocks of code, with their numbers.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut is_code = false;
    (1..).zip(text.lines()).filter(move |(_, line)| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    })
}

/// `line` without its code spans.
fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect()
}
