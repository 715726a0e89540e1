//! The catalogue of errors, made from the comments of `error_reason.proto`. A reason without a code,
//! without a group, or without what to do about it fails.

use std::collections::{BTreeMap, BTreeSet};

use prost_reflect::MethodDescriptor;
use tonic::Code;
use whimbrel::auth::access::Access;

use super::comments::{PACKAGE, comment, comments_of, has_field, pool, words};
use super::{head, hold};

const PAGE: &str = "docs/errors.md";
const PREFIX: &str = "ERROR_REASON_";

/// Which calls end with the reasons of a group.
pub(super) struct Group {
    pub(super) title: &'static str,
    about: &'static str,
    reasons: &'static [&'static str],
}

pub(super) const EVERY_CALL: Group = Group {
    title: "Every call",
    about: "Any call may end with these.",
    reasons: &[
        "INVALID_FIELD",
        "MALFORMED_MESSAGE",
        "INVALID_METADATA",
        "MESSAGE_TOO_LARGE",
        "UNSUPPORTED",
        "OVERLOADED",
        "DEADLINE_EXCEEDED",
        "DRAINING",
        "INTERNAL",
    ],
};
pub(super) const CALLERS: Group = Group {
    title: "Callers and quotas",
    about: "Any call may end with these where the server asks who calls: [security](security.md).",
    reasons: &[
        "NO_TOKEN",
        "INVALID_TOKEN",
        "TOKEN_EXPIRED",
        "KEY_REVOKED",
        "KEYS_UNAVAILABLE",
        "ROLE_NOT_ALLOWED",
        "OTHER_USER",
        "QUOTA_EXCEEDED",
    ],
};
pub(super) const CHANGES: Group = Group {
    title: "Every change",
    about: "Any call that changes something may end with these.",
    reasons: &["DISK_FULL", "OUTCOME_UNKNOWN", "CLOCK_OUT_OF_RANGE", "TOO_MANY_USERS"],
};
pub(super) const POSITIONS: Group = Group {
    title: "Cursors and page tokens",
    about: "A call that takes a cursor, a page token or a post id may end with these: \
            [concepts](concepts.md#cursor).",
    reasons: &[
        "MALFORMED_CURSOR",
        "MALFORMED_PAGE_TOKEN",
        "PAGE_TOKEN_MISMATCH",
        "CURSOR_OF_ANOTHER_LOG",
        "CURSOR_BEYOND_HEAD",
        "CURSOR_TOO_OLD",
        "HISTORY_LOST",
        "NODE_BEHIND",
    ],
};
pub(super) const READS: Group = Group {
    title: "Every read",
    about: "Any call that reads may end with this.",
    reasons: &["INDEX_LOST"],
};
pub(super) const STREAMS: Group = Group {
    title: "Streams",
    about: "`WatchFeed` and `WatchNotifications` may end with these.",
    reasons: &["TOO_MANY_STREAMS", "READER_STALLED"],
};
const SOME_CALLS: Group = Group {
    title: "Some calls",
    about: "What the change or the post itself does not allow.",
    reasons: &[
        "SELF_FOLLOW",
        "SELF_TARGET",
        "BLOCKED",
        "TOO_MANY_FOLLOWS",
        "TOO_MANY_BLOCKS",
        "TOO_MANY_MUTES",
        "REQUEST_ID_REUSED",
        "POST_NOT_FOUND",
        "POST_DELETED",
        "NOT_THE_AUTHOR",
        "SERVICE_NOT_FOUND",
        "SEGMENT_REPLACED",
        "LOG_DAMAGED",
        "INDEX_DAMAGED",
    ],
};
const GROUPS: [&Group; 7] =
    [&EVERY_CALL, &CALLERS, &CHANGES, &READS, &POSITIONS, &STREAMS, &SOME_CALLS];

const INTRODUCTION: &str = "\
The details of every error have a `google.rpc.ErrorInfo` with the domain `whimbrel` and one of these reasons. Its
metadata has the parts of the message that vary, so no client has to parse a sentence. A call that may succeed later
has a `google.rpc.RetryInfo` with the delay. Which errors to retry, and how: [retries](guides/retries.md).
";

/// The names of all reasons that are sent.
pub(super) fn reasons() -> Vec<String> {
    let reasons = pool().get_enum_by_name(&format!("{PACKAGE}.ErrorReason")).unwrap();
    let names = reasons.values().filter(|value| value.number() != 0);
    names.map(|value| value.name().strip_prefix(PREFIX).unwrap().to_owned()).collect()
}

/// The groups whose reasons a call may have.
pub(super) fn groups_of(rpc: &MethodDescriptor, access: Access) -> Vec<&'static Group> {
    let takes_position = ["at_least_cursor", "after_cursor", "page_token", "post_id", "post_ids"];
    let mut groups = vec![&EVERY_CALL, &CALLERS];
    groups.extend(match access {
        Access::Changes => Some(&CHANGES),
        Access::Reads | Access::Watches | Access::AllUsers => Some(&READS),
        Access::Everybody | Access::Administers => None,
    });
    groups.extend(has_field(&rpc.input(), &takes_position).then_some(&POSITIONS));
    groups.extend((access == Access::Watches).then_some(&STREAMS));
    groups
}

/// The reasons that the comments on an RPC name, without those of the groups that it has anyway.
pub(super) fn named_by(rpc: &MethodDescriptor) -> BTreeSet<String> {
    let text = comments_of(rpc);
    // Also the name of a status code.
    let codes = ["INTERNAL", "DEADLINE_EXCEEDED"];
    let known = reasons().into_iter().filter(|reason| !codes.contains(&reason.as_str()));
    known.filter(|reason| words(&text).any(|word| word == reason)).collect()
}

/// Every reason is in the catalogue with its code, its cause, and what to do.
#[test]
fn the_catalogue_of_errors_is_what_the_protos_say() {
    let mut grouped: Vec<_> = GROUPS.iter().flat_map(|group| group.reasons).copied().collect();
    grouped.sort_unstable();
    let mut all = reasons();
    all.sort_unstable();
    assert_eq!(grouped, all, "each reason is in one group");

    let mut page = head("Errors", "`proto/whimbrel/v1/error_reason.proto`") + INTRODUCTION;
    for group in GROUPS {
        page += &format!("\n## {}\n\n{}\n", group.title, group.about);
        for reason in group.reasons {
            page += &entry(reason);
        }
    }
    hold(&BTreeMap::from([(PAGE.to_owned(), page)]));
}

fn entry(reason: &str) -> String {
    let file = pool().get_file_by_name("whimbrel/v1/error_reason.proto").unwrap();
    let all = pool().get_enum_by_name(&format!("{PACKAGE}.ErrorReason")).unwrap();
    let value = all.get_value_by_name(&format!("{PREFIX}{reason}")).unwrap();
    let text = comment(&file, value.path());
    let (code, text) = text.split_once(": ").unwrap_or_else(|| panic!("{reason} has no code"));
    let (cause, action) =
        text.split_once("\n\n").unwrap_or_else(|| panic!("{reason} does not say what to do"));
    let mut cause = cause.to_owned();
    cause[..1].make_ascii_uppercase();
    let mut entry = format!(
        "\n### {reason}\n\n`{code}` ({}). {cause}\n\n**What to do:** {action}\n",
        number_of(code)
    );
    let calls: Vec<_> = pool()
        .services()
        .filter(|service| service.package_name() == PACKAGE)
        .flat_map(|service| service.methods().collect::<Vec<_>>())
        .filter(|rpc| named_by(rpc).contains(reason))
        .map(|rpc| {
            let stem = super::api_reference::stem(&rpc.parent_service().parent_file());
            let name = rpc.name();
            format!("[`{name}`](reference/{stem}.md#{})", name.to_lowercase())
        })
        .collect();
    if !calls.is_empty() {
        entry += &format!("\nDescribed with {}.\n", calls.join(", "));
    }
    entry
}

/// The number of a status code, for clients that have no names of them.
fn number_of(code: &str) -> i32 {
    let number = (1..=16).find(|&number| {
        let name = format!("{:?}", Code::from_i32(number));
        name.to_uppercase() == code.replace('_', "")
    });
    number.unwrap_or_else(|| panic!("{code} is no status code"))
}
