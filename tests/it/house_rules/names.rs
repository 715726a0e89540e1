//! Names and sizes: below `api` a type name stands for one thing, a function fits on a screen, and the
//! sources have no unused words.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::sources::files_in;

/// The modules below `api`.
const BELOW_API: [&str; 8] =
    ["model", "config", "runtime", "storage", "state", "query", "live", "engine"];

/// The one name that several modules share, as in the standard library. It is written `module::Error`.
const EXCEPTION: &str = "Error";

/// The lines from the `fn` to its closing brace.
const FUNCTION_LINES_MAX: usize = 70;

/// Words without a technical meaning, each with the words to use.
const UNUSED_WORDS: [(&str, &str); 17] = [
    ("anew", "again"),
    ("told", "delivered, notified"),
    ("parcel", "mailbox message"),
    ("porter", "mailbox"),
    ("ledger", "reducer"),
    ("tally", "count"),
    ("tallies", "counts"),
    ("sieve", "filter"),
    ("sift", "filter"),
    ("sifted", "filtered"),
    ("lens", "feed rules"),
    ("lane", "shard"),
    ("lanes", "shards"),
    ("hub", "live feeds"),
    ("beside", "next to, in addition to"),
    ("eraser", "compactor"),
    ("at hand", "cached, in memory"),
];

/// All sources follow all rules.
#[test]
fn the_sources_keep_the_rules_on_names() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let sources = sources(&root.join("src"));
    assert!(sources.len() > 50, "the sources were not found");
    let mut problems = doubled_types(&sources);
    for (path, source) in &sources {
        // The defaults of all limits have a line each: cut in two, they would not be easier to read.
        let is_list = |it: &String| path == "config/limits.rs" && it.starts_with("default has");
        let long = long_functions(source).into_iter().filter(|it| !is_list(it));
        problems.extend(long.map(|it| format!("{path}: {it}")));
        problems.extend(unused_words(source).into_iter().map(|it| format!("{path}:{it}")));
    }
    for proto in fs::read_dir(root.join("proto/whimbrel/v1")).unwrap() {
        let proto = proto.unwrap().path();
        let source = fs::read_to_string(&proto).unwrap();
        let words = unused_words(&source).into_iter();
        problems.extend(words.map(|it| format!("{}:{it}", proto.display())));
    }
    assert!(problems.is_empty(), "{problems:#?}");
}

/// Made-up sources that break the rules are found.
#[test]
fn broken_rules_on_names_are_found() {
    let of = |path: &str, source: &str| (path.to_owned(), source.to_owned());
    let one = of("state/a.rs", "pub(super) struct Place;\nenum Kind {\n    A,\n}");
    let other = of("live/b.rs", "struct Place<T>(T);\nenum Error {}");
    assert_eq!(
        doubled_types(&[one.clone(), other]),
        ["Place is a type in state/a.rs and in live/b.rs"]
    );
    let above = of("api/c.rs", "struct Place;\ntrait Kind {}");
    assert_eq!(doubled_types(&[one, above, of("query/d.rs", "enum Error {}")]), [""; 0]);

    let function =
        |lines: usize| format!("impl A {{\n    fn f() {{\n{}    }}\n}}\n", "x\n".repeat(lines));
    assert_eq!(long_functions(&function(FUNCTION_LINES_MAX - 2)), [""; 0]);
    assert_eq!(long_functions(&function(FUNCTION_LINES_MAX - 1)), ["f has 71 lines"]);
    assert_eq!(long_functions("trait A {\n    fn f();\n}\nfn g() {}\n"), [""; 0]);

    assert_eq!(
        unused_words("fn f() {\n    // It is told.\n}"),
        ["2: \"told\": say delivered, notified"]
    );
    assert_eq!(unused_words("let made_anew = 1;").len(), 1);
    assert_eq!(unused_words("// What is at hand.").len(), 1);
    assert_eq!(unused_words("// GitHub, a stolder, plane_of\nlet relane = 1;"), [""; 0]);
}

/// The path of each file below `root`, and its text.
fn sources(root: &Path) -> Vec<(String, String)> {
    let path = |file: &Path| file.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
    let source = |file: &PathBuf| (path(file), fs::read_to_string(file).unwrap());
    files_in(root).iter().map(source).collect()
}

fn doubled_types(sources: &[(String, String)]) -> Vec<String> {
    let mut paths: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (path, source) in sources {
        let module = path.split('/').next().unwrap().trim_end_matches(".rs");
        if BELOW_API.contains(&module) {
            for name in source.lines().filter_map(type_name).filter(|name| *name != EXCEPTION) {
                paths.entry(name).or_default().push(path);
            }
        }
    }
    paths.retain(|_, paths| paths.len() > 1);
    let doubled =
        |(name, paths): (_, Vec<&str>)| format!("{name} is a type in {}", paths.join(" and in "));
    paths.into_iter().map(doubled).collect()
}

/// The name of the type that a line declares.
fn type_name(line: &str) -> Option<&str> {
    let mut line = line.trim_start();
    if let Some(public) = line.strip_prefix("pub") {
        let public =
            public.strip_prefix('(').and_then(|it| it.split_once(')')).map_or(public, |it| it.1);
        line = public.strip_prefix(' ')?;
    }
    let name =
        ["struct ", "enum ", "trait ", "union "].iter().find_map(|it| line.strip_prefix(it))?;
    name.split(|character: char| !character.is_alphanumeric()).next()
}

fn long_functions(source: &str) -> Vec<String> {
    let lines: Vec<_> = source.lines().collect();
    let mut long = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let Some(name) = function_name(line) else { continue };
        let indent = line.len() - line.trim_start().len();
        let is_end = |line: &&&str| {
            line.len() - line.trim_start().len() == indent
                && (line.trim_start() == "}" || line.ends_with(';') || line.ends_with('}'))
        };
        let rest = &lines[start..];
        let end = rest.iter().position(|line| is_end(&line)).unwrap_or(rest.len());
        if end + 1 > FUNCTION_LINES_MAX {
            long.push(format!("{name} has {} lines", end + 1));
        }
    }
    long
}

/// The name of the function that begins in a line.
fn function_name(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let (before, after) = line.split_once("fn ")?;
    let words = ["pub", "const", "async", "unsafe", "extern"];
    let is_modifier = |word: &str| words.iter().any(|it| word.starts_with(it));
    if !before.split_whitespace().all(is_modifier) {
        return None;
    }
    after.split(|character: char| !character.is_alphanumeric() && character != '_').next()
}

/// The lines with an unused word, each with the words to use.
fn unused_words(source: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (number, line) in (1..).zip(source.lines()) {
        let line = line.to_lowercase();
        let words: Vec<_> = line.split(|character: char| !character.is_alphabetic()).collect();
        for (word, instead) in UNUSED_WORDS {
            let is_there = match word.split_once(' ') {
                Some((first, second)) => words.windows(2).any(|pair| pair == [first, second]),
                None => words.contains(&word),
            };
            if is_there {
                found.push(format!("{number}: {word:?}: say {instead}"));
            }
        }
    }
    found
}
