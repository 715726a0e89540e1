//! Events of an engine's streams, in short.

use whimbrel::live::{FeedEvent, FeedEventKind, Removal};

/// The revision of an event, and the event in short.
pub(crate) fn in_short(event: &FeedEvent) -> (u64, String) {
    let what = match &event.kind {
        FeedEventKind::Posted(post) => format!("{}: {}", post.author, post.content.text.as_str()),
        FeedEventKind::Reposted { post, by } => format!("{by} reposted {:?}", post.id()),
        FeedEventKind::Unreposted { post, by, .. } => format!("{by} unreposted {post:?}"),
        FeedEventKind::Deleted(post) => format!("deleted {post:?}"),
        FeedEventKind::AuthorAdded(author) => format!("+{author}"),
        FeedEventKind::AuthorRemoved { author, reason } => {
            format!("-{author} {}", why(*reason))
        }
        FeedEventKind::Notified(it) => {
            let subject = it.subject.map_or_else(String::new, |subject| format!(" {subject:?}"));
            format!("{:?} by {}{subject}", it.kind, it.actor)
        }
        FeedEventKind::ActorRemoved { actor, reason } => {
            format!("without {actor}, {}", why(*reason))
        }
        FeedEventKind::AuthorShown(author) => format!("shown {author}"),
        FeedEventKind::ActorShown(actor) => format!("with {actor} again"),
        FeedEventKind::Withdrawn { notification } => format!("withdrawn {notification}"),
        FeedEventKind::Seen { until } => format!("seen {until}"),
    };
    (event.revision.get(), what)
}

fn why(reason: Removal) -> &'static str {
    match reason {
        Removal::Unfollow => "unfollowed",
        Removal::Block => "blocked",
        Removal::Mute => "muted",
    }
}
