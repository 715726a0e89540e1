//! The help of the whole program: its verbs in groups. Never says what a verb does; the verb itself does.

use clap::Command;

/// The verbs by what they are for. Each visible verb is in one group.
const GROUPS: [(&str, &[&str]); 7] = [
    ("Serve", &["serve", "config"]),
    (
        "Write",
        &[
            "publish", "reply", "quote", "delete", "like", "unlike", "repost", "unrepost",
            "follow", "unfollow", "block", "unblock", "mute", "unmute", "seen",
        ],
    ),
    (
        "Read",
        &[
            "feed",
            "watch",
            "posts",
            "show",
            "thread",
            "replies",
            "quotes",
            "likes",
            "reposts",
            "followers",
            "following",
            "blocks",
            "mutes",
            "relationships",
            "profile",
            "notifications",
        ],
    ),
    ("Connect", &["context", "login", "logout", "status", "top", "info", "nodes", "cursor"]),
    (
        "Keep data",
        &["backup", "restore", "check", "check-index", "chain", "dump", "load", "log", "import"],
    ),
    ("Administer", &["key", "token", "bench"]),
    ("Set up", &["completions", "man-pages"]),
];

/// What stands around the groups.
const TEMPLATE: &str = "\
{about-with-newline}
{usage-heading} {usage}
{before-help}Options:
{options}{after-help}
";

/// The end of the help.
pub(super) const AFTER: &str = "\
`whimbrel VERB --help` has more about a verb.

Exit codes:
  0  done; a list may be empty
  1  refused, not found, or not all done
  2  wrong command line
  3  the server cannot be reached, or asks to be called later
  4  the server cannot start
  5  a part of the server failed

With --output=json every line is an object with one member, whose name is one of:
  item, post, user, notification, relationship  an entry of a list
  page       the end of a list: the rest of the answer, with nextPageToken and cursor
  missing    the postId of a post that `show` did not find
  response   the answer to any other call
  opened, batch, caughtUp, bookmark, reset, closing  a message of `watch`
  context    of context list: a context
  status     of status: whether a server serves
  figures    of top: what a server did in an interval, and what it has
  key        of key: an API key, with its `secret` when it is made
  token      of token: a token for development
  checked, compared  of check: the log and index of a folder, and how a server's compares with it
  backup     of backup: a backup that was taken, or one of the list
  checkedBackups, pruned  of backup check and backup prune
  restored, loaded, copied  of restore, load and log copy: what is there now
  serving, imported, measured  of serve, import and bench
  shape, prepared, held  of bench --shape, and a `measured` for each step
  completions, manual  of completions and man-pages
  error, note  on standard error
Responses are in the JSON form of ProtoJson, as grpcurl prints it: names in lowerCamelCase, 64-bit
numbers as strings, enums by name, times as RFC 3339; fields with their default are left out.
With --output=yaml each of these objects is a YAML document. `dump` prints its own lines in each format.";

/// `command` with its verbs in groups. Its verbs are all known.
pub(super) fn grouped(command: Command) -> Command {
    let mut text = String::new();
    let width = GROUPS.iter().flat_map(|(_, verbs)| *verbs).map(|verb| verb.len()).max();
    for (group, verbs) in GROUPS {
        text.push_str(&format!("\n{group}:\n"));
        for verb in verbs {
            let about = command.find_subcommand(verb).and_then(Command::get_about);
            let about = about.map(ToString::to_string).unwrap_or_default();
            debug_assert!(!about.is_empty(), "{verb} is no verb");
            text.push_str(&format!("  {verb:0$}  {about}\n", width.unwrap_or_default()));
        }
    }
    debug_assert!(
        command
            .get_subcommands()
            .filter(|verb| !verb.is_hide_set())
            .all(|verb| { GROUPS.iter().any(|(_, verbs)| verbs.contains(&verb.get_name())) }),
        "each verb is in a group"
    );
    command.before_help(text).help_template(TEMPLATE)
}
