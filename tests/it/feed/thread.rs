//! The size of a thread response is bounded.

use whimbrel::engine::Draft;
use whimbrel::model::{CursorError, PostId, bounds};
use whimbrel::query::{Error, GetThread, PagePosition, Thread};

use crate::harness::core::{Core, post, user};

/// The bytes of each post here, at most: the text, and the names of the authors above it.
const POST_BYTES: usize = 200;

/// A thread of few large posts is cut like one of many posts: parents come before their replies,
/// and a post with omitted replies says so.
#[tokio::test]
async fn a_thread_is_bounded_by_the_bytes_of_its_posts() {
    // The post itself, and the replies that still fit.
    let core = Core::limited(|limits| limits.thread_bytes_max = 5 * POST_BYTES);
    let root = publish(&core, None).await;
    let mut replies = Vec::new();
    for _ in 0..6 {
        replies.push(publish(&core, Some(root)).await);
    }
    let seen = thread(&core, root).await;
    assert_eq!(listed(&seen), replies[..4]);
    assert!(seen.post.has_more_replies);

    // No reply is omitted below a reply.
    let below = publish(&core, Some(replies[5])).await;
    let seen = thread(&core, replies[5]).await;
    assert_eq!(listed(&seen), [below]);
    assert_eq!(seen.ancestors.len(), 1);
    assert!(!seen.post.has_more_replies);
}

/// Of the ancestors the nearest are returned, up to half of the bytes.
#[tokio::test]
async fn ancestors_take_half_of_the_bytes() {
    let core = Core::limited(|limits| limits.thread_bytes_max = 10 * POST_BYTES);
    let mut chain = vec![publish(&core, None).await];
    for _ in 0..7 {
        chain.push(publish(&core, chain.last().copied()).await);
    }
    let last = chain.pop().expect("a post");
    let seen = thread(&core, last).await;
    let above: Vec<_> = seen.ancestors.iter().map(|above| above.id).collect();
    assert_eq!(above, chain[3..]);
    assert_eq!(seen.ancestors[0].parent, Some(chain[2]));
}

/// The position of a later page is one of this log, as in all lists.
#[tokio::test]
async fn a_thread_as_of_after_the_newest_revision_is_refused() {
    let core = Core::limited(|_| {});
    let root = publish(&core, None).await;
    publish(&core, Some(root)).await;
    let head = core.engine().cursor().after;
    for (at, is_refused) in [(head, false), (head.next(), true)] {
        let position = Some(PagePosition { before: root.revision(), at });
        let viewer = user("bob");
        let query = GetThread { viewer, post: root, position, depth_max: 5, replies_max: 100 };
        let read = core.engine().ask(query).await;
        let refused = matches!(read, Err(Error::Cursor(CursorError::BeyondHead { .. })));
        assert_eq!(refused, is_refused, "{read:?}");
    }
}

/// The largest possible thread is below the default message limit of clients.
#[test]
fn the_default_leaves_room_for_the_fields_around_the_posts() {
    let limits = whimbrel::config::Limits::default();
    let posts = limits.thread_replies_max + limits.thread_ancestors_max + 1;
    // Ids of users and posts, counts, times, tags and lengths.
    let parts = 4 * bounds::ATTACHMENTS_MAX + bounds::LANGS_MAX + bounds::FACETS_MAX;
    let around = 6 * bounds::USER_ID_BYTES_MAX + 256 + 24 * parts;
    assert!(limits.thread_bytes_max + posts * around < 4 << 20);
}

async fn publish(core: &Core, reply_to: Option<PostId>) -> PostId {
    let draft = Draft { reply_to, ..post(&"x".repeat(POST_BYTES - 10)).into() };
    let published = core.engine().publish(user("alice"), draft, None).await;
    published.expect("the post is published").post.id()
}

async fn thread(core: &Core, post: PostId) -> Thread {
    let query =
        GetThread { viewer: user("bob"), post, position: None, depth_max: 5, replies_max: 100 };
    core.engine().ask(query).await.expect("the thread is read")
}

fn listed(thread: &Thread) -> Vec<PostId> {
    thread.replies.iter().map(|reply| reply.id).collect()
}
