//! What follows from each change of a field, in tables: which changed requests are accepted, and by
//! which rule; which errors others get. Never knows an RPC.

use std::collections::BTreeSet;

use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::good::full_name;
use super::rpcs::FieldPath;

/// What follows from some changes of some fields.
#[derive(Debug)]
pub(super) struct Rule {
    /// Names of fields, with that of their message or without; `*` for all.
    fields: &'static [&'static str],
    /// Names of changes; `word…` for all that begin so.
    changes: &'static [&'static str],
    then: Then,
    /// The rule in words.
    why: &'static str,
}

/// What a changed request gets.
#[derive(Clone, Copy, Debug)]
enum Then {
    Accepted,
    /// One of these reasons.
    Refused(&'static [&'static str]),
}

use Then::{Accepted, Refused};

const CURSORS: &[&str] = &["at_least_cursor", "until_cursor", "after_cursor"];
const POSITIONS: &[&str] = &["page_token", "at_least_cursor", "until_cursor", "after_cursor"];
const POSTS: &[&str] = &["post_id", "post_ids", "reply_to_post_id", "quote_post_id"];
const COUNTS: &[&str] = &["page_size", "limit", "depth_max", "replies_max"];

/// The first rule that fits holds. What no rule fits is refused with INVALID_FIELD.
pub(super) const RULES: &[Rule] = &[
    refused(
        &["DeletePostRequest.user_id"],
        &["the longest"],
        &["NOT_THE_AUTHOR"],
        "posts are deleted by their authors",
    ),
    refused(&["*"], &["70000 bytes"], &["MESSAGE_TOO_LARGE"], "a message has at most 64 KiB"),
    accepted(&["*"], &["the longest"], "a limit itself is allowed"),
    accepted(
        &["*"],
        &["true", "false", "2 as a flag"],
        "a flag is on or off, and every number but 0 is on",
    ),
    accepted(&["*"], &["unknown fields after it"], "Protobuf: unknown fields are skipped"),
    accepted(
        &["*"],
        &["twice", "a bad one, then a good one", "another choice after it"],
        "Protobuf: the last one counts, and messages are merged",
    ),
    refused(
        &["*"],
        &[
            "not UTF-8",
            "UTF-8 …",
            "another wire type",
            "a group",
            "wire type 7 after it",
            "field 0 after it",
            "an open group after it",
            "too many groups after it",
            "a key without a value",
            "a varint without an end",
            "longer than the message",
        ],
        &["MALFORMED_MESSAGE"],
        "the bytes are no message of the type",
    ),
    accepted(
        &["text", "alt"],
        &[
            "a bidi mark inside",
            "a zero width space inside",
            "a line feed inside",
            "a space inside",
            "a bird inside",
            "only a bird",
        ],
        "a text or a description has any character but NUL, and a visible one",
    ),
    accepted(
        &["request_id"],
        &[
            "empty",
            "a bidi mark…",
            "a zero width space…",
            "only a bidi mark",
            "only a zero width space",
            "a space inside",
            "only a space",
            "a bird inside",
            "only a bird",
        ],
        "a request id has any characters but control characters, or there is none",
    ),
    accepted(&["alt"], &["empty"], "an attachment may be without a description"),
    accepted(
        &["tag"],
        &["a bidi mark inside", "a zero width space inside", "a bird inside", "only a bird"],
        "a tag has any characters but white space and control characters, and a visible one",
    ),
    accepted(&["media_type"], &["empty"], "an attachment may be without a media type"),
    accepted(
        &["reply_to_post_id", "quote_post_id"],
        &["empty"],
        "a post replies to none, or quotes none",
    ),
    accepted(&["post_ids"], &["in the future"], "posts that do not exist are left out"),
    refused(POSTS, &["in the future"], &["POST_NOT_FOUND"], "there is no such post"),
    refused(POSTS, &["of another log"], &["HISTORY_LOST"], "the post is of no history of this log"),
    refused(
        POSTS,
        &["cut to…", "garbage p1"],
        &["INVALID_FIELD", "HISTORY_LOST"],
        "a number without its epoch is of another history",
    ),
    accepted(&["page_token", "at_least_cursor", "until_cursor"], &["empty"], "from the newest on"),
    refused(
        &["segment_id"],
        &["of another log"],
        &["SEGMENT_REPLACED"],
        "this log has no such segment",
    ),
    refused(
        &["page_token"],
        &["of another list"],
        &["PAGE_TOKEN_MISMATCH"],
        "a token is of one list",
    ),
    refused(POSITIONS, &["of another log"], &["CURSOR_OF_ANOTHER_LOG"], "positions are of one log"),
    refused(
        POSITIONS,
        &["in the future", "at the last revision"],
        &["CURSOR_BEYOND_HEAD"],
        "no position is after the newest revision",
    ),
    refused(
        &["page_token"],
        &["*"],
        &["MALFORMED_PAGE_TOKEN"],
        "a token has a checksum and a kind",
    ),
    refused(CURSORS, &["*"], &["MALFORMED_CURSOR"], "a cursor has a checksum and a kind"),
    accepted(COUNTS, &["0", "max"], "0 is the default, and more than the most is the most"),
    accepted(
        &["seconds", "nanos"],
        &["0", "max"],
        "a heartbeat is taken to the nearest that is allowed",
    ),
    accepted(&["GetChainRequest.revision"], &["0"], "0 is the newest revision"),
    accepted(&["byte_start"], &["0"], "the first byte of the text"),
    accepted(&["gap_policy"], &["value …"], "every value has a meaning"),
    accepted(&["attachments", "langs", "facets"], &["no entries"], "a post may have none"),
    accepted(&["attachments"], &["an entry twice"], "a file may be attached twice"),
    accepted(
        &["other_ids", "post_ids"],
        &["an entry twice"],
        "an id that is repeated is answered once",
    ),
    accepted(&["snapshot", "heartbeat"], &["absent", "an empty message"], "the defaults"),
];

/// Fields that are to blame for a change of another one.
const BLAMED_FOR: &[(&str, &str, &str)] = &[
    ("text", "empty", "facets[0].byte_end"),
    ("facets[0].byte_start", "max", "facets[0].byte_end"),
    ("facets[0].mention", "absent", "facets[0].feature"),
    ("facets[0].link", "absent", "facets[0].feature"),
    ("facets[0].tag", "absent", "facets[0].feature"),
];

/// The code of each reason.
const CODES: &[(&str, Code)] = &[
    ("INVALID_FIELD", Code::InvalidArgument),
    ("MALFORMED_MESSAGE", Code::InvalidArgument),
    ("MESSAGE_TOO_LARGE", Code::ResourceExhausted),
    ("MALFORMED_CURSOR", Code::InvalidArgument),
    ("MALFORMED_PAGE_TOKEN", Code::InvalidArgument),
    ("PAGE_TOKEN_MISMATCH", Code::InvalidArgument),
    ("CURSOR_OF_ANOTHER_LOG", Code::FailedPrecondition),
    ("CURSOR_BEYOND_HEAD", Code::FailedPrecondition),
    ("HISTORY_LOST", Code::FailedPrecondition),
    ("POST_NOT_FOUND", Code::NotFound),
    ("SEGMENT_REPLACED", Code::Aborted),
    ("NOT_THE_AUTHOR", Code::PermissionDenied),
];

/// What holds without a rule.
static OTHERWISE: Rule = refused(&["*"], &["*"], &["INVALID_FIELD"], "the field breaks its rule");

const fn accepted(
    fields: &'static [&'static str],
    changes: &'static [&'static str],
    why: &'static str,
) -> Rule {
    Rule { fields, changes, then: Accepted, why }
}

const fn refused(
    fields: &'static [&'static str],
    changes: &'static [&'static str],
    reasons: &'static [&'static str],
    why: &'static str,
) -> Rule {
    Rule { fields, changes, then: Refused(reasons), why }
}

/// The rule for a change of the field at the end of `path`.
pub(super) fn of(path: &FieldPath, change: &str) -> &'static Rule {
    RULES.iter().find(|rule| rule.fits(path, change)).unwrap_or(&OTHERWISE)
}

/// Whether `name` is that of the pattern, which may end with `…` for any rest.
fn is_like(name: &str, pattern: &str) -> bool {
    match pattern.strip_suffix('…') {
        Some(beginning) => name.starts_with(beginning),
        None => pattern == "*" || pattern == name,
    }
}

impl Rule {
    fn fits(&self, path: &FieldPath, change: &str) -> bool {
        let names = [path.last().name().to_owned(), full_name(path.last())];
        let has_field =
            self.fields.iter().any(|pattern| names.iter().any(|name| is_like(name, pattern)));
        has_field && self.changes.iter().any(|pattern| is_like(change, pattern))
    }

    pub(super) fn accepts(&self) -> bool {
        matches!(self.then, Accepted)
    }

    /// What is wrong with the answer to a request with this change; `None` if it is as it is to be.
    pub(super) fn problem(
        &self,
        path: &FieldPath,
        change: &str,
        answer: &Result<(), Status>,
    ) -> Option<String> {
        let (status, reasons) = match (answer, self.then) {
            (Ok(()), Accepted) => return None,
            (Ok(()), Refused(reasons)) => return Some(format!("accepted, and not {reasons:?}")),
            (Err(status), Accepted) => {
                return Some(format!("refused, though {}: {status:?}", self.why));
            }
            (Err(status), Refused(reasons)) => (status, reasons),
        };
        let details = status.get_error_details();
        let Some(info) = details.error_info() else {
            return Some(format!("without ErrorInfo: {status:?}"));
        };
        let reason = info.reason.as_str();
        let code = CODES.iter().find(|(name, _)| *name == reason).map(|(_, code)| *code);
        if !reasons.contains(&reason) || code != Some(status.code()) || info.domain != "whimbrel" {
            return Some(format!("{:?} {reason}, and not {reasons:?}", status.code()));
        }
        let violations = details.bad_request().map(|bad| bad.field_violations.as_slice());
        let blamed: Vec<_> =
            violations.unwrap_or_default().iter().map(|it| it.field.as_str()).collect();
        match *blamed.as_slice() {
            [] if reason != "INVALID_FIELD" => None,
            [blamed] if may_be_blamed(path, change, blamed) => None,
            _ => Some(format!("{reason} with {blamed:?} to blame")),
        }
    }
}

/// Whether an error may name `blamed`: the field, what is in it, or the value that it is a part of.
fn may_be_blamed(path: &FieldPath, change: &str, blamed: &str) -> bool {
    let field = path.text();
    let is_inside = blamed
        .strip_prefix(field.as_str())
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']));
    // A duration is one value.
    let is_part = path.last().parent_message().package_name() == "google.protobuf"
        && field.strip_prefix(blamed).is_some_and(|rest| rest.starts_with('.'));
    is_inside || is_part || BLAMED_FOR.contains(&(&field, change, blamed))
}

/// The rules that are of none of these fields and changes.
pub(super) fn unused<'a>(
    seen: impl Iterator<Item = (&'a FieldPath, &'a str)>,
) -> Vec<&'static str> {
    let mut used = BTreeSet::new();
    for (path, change) in seen {
        used.insert(of(path, change).why);
    }
    RULES.iter().map(|rule| rule.why).filter(|why| !used.contains(why)).collect()
}
