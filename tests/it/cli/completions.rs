//! The completions of shells and the manual: they have every verb and every flag.

use std::fs;
use std::process::Command;

use clap::CommandFactory;
use whimbrel::cli::Cli;

use crate::harness::program::Program;

/// All visible verbs, by the words of the command line, with their long flags.
fn verbs() -> Vec<(Vec<String>, Vec<String>)> {
    fn add(verb: &clap::Command, before: &[String], found: &mut Vec<(Vec<String>, Vec<String>)>) {
        let words = [before, &[verb.get_name().to_owned()]].concat();
        let flags = verb.get_arguments().filter(|flag| !flag.is_hide_set());
        let flags = flags.filter_map(|flag| flag.get_long().map(str::to_owned)).collect();
        for below in verb.get_subcommands().filter(|verb| !verb.is_hide_set()) {
            add(below, &words, found);
        }
        found.push((words, flags));
    }
    let mut found = Vec::new();
    add(&Cli::command(), &[], &mut found);
    found
}

/// And no page is left for a verb that is gone or hidden.
#[test]
fn every_verb_has_a_page_of_the_manual_with_its_flags() {
    let folder = tempfile::tempdir().unwrap();
    Program::new().run_with(&["man-pages", folder.path().to_str().unwrap()]).printed();
    let verbs = verbs();
    assert!(verbs.len() > 50, "the verbs were not found");
    for (words, flags) in &verbs {
        let name = format!("{}.1", words.join("-"));
        let page = fs::read_to_string(folder.path().join(&name)).expect(&name);
        let page = page.replace('\\', "");
        assert!(page.contains(".SH SYNOPSIS") && page.contains(".SH NAME"), "{name}");
        for flag in flags {
            assert!(page.contains(&format!("--{flag}")), "{name} lacks --{flag}");
        }
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), verbs.len());
}

/// Nothing is left out for a folder that cannot be written.
#[test]
fn a_manual_that_cannot_be_written_is_an_error() {
    Program::new().run("man-pages /nowhere/at/all").failed(1, "/nowhere/at/all/whimbrel-serve.1");
}

#[test]
fn every_shell_gets_every_verb() {
    for shell in ["bash", "fish", "zsh"] {
        let ran = Program::new().run(&format!("completions {shell}"));
        for (words, _) in verbs() {
            let verb = words.last().unwrap();
            assert!(ran.printed().contains(verb.as_str()), "{shell}: {verb}");
        }
    }
    Program::new().run("completions tcsh").failed(2, "possible values: bash, fish, zsh");
}

/// A shell that sources the script completes a verb, and a flag of it, and offers no hidden verb.
#[test]
fn bash_completes() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("whimbrel.bash");
    fs::write(&script, Program::new().run("completions bash").printed()).unwrap();
    for (typed, expected) in [
        ("'whimbrel' 'ser'", "serve"),
        ("'whimbrel' 'serve' '--post-c'", "--post-cache"),
        ("'whimbrel' 'config' 'sch'", "schema"),
        ("'whimbrel' 'probe'", ""),
    ] {
        let session = format!(
            "source {}; COMP_WORDS=({typed}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
             _whimbrel whimbrel \"${{COMP_WORDS[-1]}}\" \"${{COMP_WORDS[-2]}}\"
             echo \"${{COMPREPLY[@]}}\"",
            script.display()
        );
        let ran = Command::new("bash").args(["--norc", "-c", &session]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&ran.stdout).trim(), expected, "{typed}: {ran:?}");
    }
}
