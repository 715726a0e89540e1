//! `whimbrel completions` and `whimbrel man-pages`: what shells and `man` know of the command line, made from
//! its own list. Never says anything that `--help` does not.

use std::path::{Path, PathBuf};

use clap::{Args, Command, ValueEnum};
use clap_mangen::Man;
use serde_json::json;

use super::json::JsonLine;
use super::{Error, Output};

/// Print the completions for a shell.
///
/// For bash, in the shell or in ~/.bashrc: source <(whimbrel completions bash). Packages have them in the
/// folders where the shells look.
#[derive(Args, Debug)]
pub(super) struct CompletionsArgs {
    shell: Shell,
}

/// Write the manual, a page for each verb, into a folder.
#[derive(Args, Debug)]
pub(super) struct ManPagesArgs {
    /// The folder, which exists.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Shell {
    Bash,
    Fish,
    Zsh,
}

impl CompletionsArgs {
    pub(super) fn run(&self, command: &Command, output: &Output) -> Result<(), Error> {
        let shell = match self.shell {
            Shell::Bash => clap_complete::Shell::Bash,
            Shell::Fish => clap_complete::Shell::Fish,
            Shell::Zsh => clap_complete::Shell::Zsh,
        };
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut without_hidden(command), "whimbrel", &mut script);
        let script = String::from_utf8_lossy(&script);
        output.print(
            || script.trim_end().to_owned(),
            || JsonLine("completions", json!({ "script": script })),
        )
    }
}

impl ManPagesArgs {
    pub(super) fn run(&self, mut command: Command, output: &Output) -> Result<(), Error> {
        command.build();
        let mut pages = Vec::new();
        write_pages(command, &self.folder, &mut pages)?;
        output.print(
            || format!("{} pages in {}", pages.len(), self.folder.display()),
            || JsonLine("manual", json!({ "pages": pages })),
        )
    }
}

/// The command line without its hidden verbs, which some shells would offer.
fn without_hidden(command: &Command) -> Command {
    let verbs = command.get_subcommands().filter(|verb| !verb.is_hide_set());
    Command::new("whimbrel").args(command.get_arguments().cloned()).subcommands(verbs.cloned())
}

/// Writes the page of a verb, and of the verbs below it, and adds their names to `pages`.
fn write_pages(command: Command, folder: &Path, pages: &mut Vec<String>) -> Result<(), Error> {
    let below: Vec<Command> = command.get_subcommands().cloned().collect();
    for verb in below.into_iter().filter(|verb| !verb.is_hide_set() && verb.get_name() != "help") {
        write_pages(verb, folder, pages)?;
    }
    let page = Man::new(command.disable_help_subcommand(true));
    let name = page.get_filename();
    let file = folder.join(&name);
    let mut text = Vec::new();
    page.render(&mut text).map_err(Error::Output)?;
    std::fs::write(&file, text).map_err(|source| Error::File { file, source })?;
    pages.push(name);
    Ok(())
}
