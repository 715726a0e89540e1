//! Events of streams as short texts.

use whimbrel::hub::{FeedEvent, FeedEventKind, Removal};

/// When it happened, and what.
pub(crate) fn in_short(event: &FeedEvent) -> (u64, String) {
    let what = match &event.kind {
        FeedEventKind::Posted(post) => format!("{}: {}", post.author, post.content.text.as_str()),
        FeedEventKind::Reposted { post, by } => format!("{by} reposts {}", post.id()),
        FeedEventKind::Unreposted { post, by } => format!("{by} reposts {post} no longer"),
        FeedEventKind::Deleted(post) => format!("{post} is deleted"),
        FeedEventKind::AuthorAdded(author) => format!("+{author}"),
        FeedEventKind::AuthorRemoved { author, reason: Removal::Unfollow } => format!("-{author}"),
        FeedEventKind::AuthorRemoved { author, reason } => format!("-{author} {reason:?}"),
        FeedEventKind::Notified(it) => {
            let subject = it.subject.map_or_else(String::new, |subject| format!(" {subject}"));
            format!("{:?} by {}{subject}", it.kind, it.actor)
        }
        FeedEventKind::ActorRemoved { actor, reason } => format!("no {actor} {reason:?}"),
        FeedEventKind::Seen { until } => format!("seen {until}"),
    };
    (event.revision.get(), what)
}
