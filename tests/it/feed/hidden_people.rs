//! Posts of users whom the reader blocks or mutes, and replies to them, are hidden. Page, live
//! stream and resumed stream agree; a thread shows gaps.

use whimbrel::engine::Draft;
use whimbrel::live::Start;
use whimbrel::model::{PostId, Relation};
use whimbrel::query::{Gap, GetThread, HomeFeed};

use crate::harness::core::{Core, FEED, post, user};
use crate::harness::reader::StreamReader;

/// Replies to hidden users and quotes of them are left out, also as reposts. The reader's own posts
/// stay.
#[tokio::test]
async fn replies_to_hidden_users_are_left_out() {
    let block = Relation::Block(user("v"), user("u"));
    let mute = Relation::Mute(user("v"), user("u"));
    for relation in [block, mute] {
        let core = Core::limited(|_| ());
        let engine = core.engine();
        for followee in ["b", "u"] {
            core.follow("v", followee).await;
        }
        let of_u = core.publish("u", "of u's").await.post.id();
        let publish = async |author: &str, draft: Draft| {
            engine.publish(user(author), draft, None).await.unwrap().post.id()
        };
        let reply = |to, text| Draft { reply_to: Some(to), ..Draft::from(post(text)) };
        let quote = |of, text| Draft { quote: Some(of), ..Draft::from(post(text)) };
        let own_reply = publish("v", reply(of_u, "own reply")).await;
        let own_quote = publish("v", quote(of_u, "own quote")).await;
        engine.set(relation.clone(), true).await.unwrap();

        let start = engine.cursor();
        let mut live = StreamReader::live(&core, "v", FEED).await;
        publish("b", reply(of_u, "to u")).await;
        publish("b", quote(of_u, "quote of u")).await;
        let to_u = publish("s", reply(of_u, "of a stranger, to u")).await;
        let of_quote = publish("s", quote(of_u, "of a stranger, with u")).await;
        let to_reply = publish("b", reply(own_reply, "to v, in u's thread")).await;
        let repost = async |post| {
            engine.set(Relation::Repost(user("b"), post), true).await.unwrap();
        };
        for reposted in [of_u, to_u, of_quote, own_reply] {
            repost(reposted).await;
        }
        let texts = |events: Vec<(u64, String)>| -> Vec<String> {
            events.into_iter().map(|(_, event)| event).collect()
        };
        // The original, close before it, hides the repost of the reader's own post.
        let expected = ["b: to v, in u's thread"];
        assert_eq!(texts(live.read_to_now(&core).await), expected, "{relation:?}, live");
        let mut resumed = StreamReader::open(engine, "v", FEED, Start::After(start));
        assert_eq!(texts(resumed.read_backlog().await), expected, "{relation:?}, resumed");
        assert_eq!(page(&core).await, [to_reply, own_quote, own_reply], "{relation:?}, page");
    }
}

/// A thread shows a gap for a post of a blocked author, and the replies below it. It shows the
/// posts of muted authors.
#[tokio::test]
async fn a_thread_has_a_gap_for_a_blocked_author() {
    let core = Core::limited(|_| ());
    let engine = core.engine();
    let root = core.publish("b", "the root").await.post.id();
    let mut above = root;
    let mut replies = Vec::new();
    for (author, text) in [("u", "of u's"), ("v", "own"), ("b", "of b's")] {
        let draft = Draft { reply_to: Some(above), ..Draft::from(post(text)) };
        above = engine.publish(user(author), draft, None).await.unwrap().post.id();
        replies.push(above);
    }
    let mute = Relation::Mute(user("v"), user("u"));
    let block = Relation::Block(user("v"), user("u"));
    for (relation, gap) in [(mute, None), (block, Some(Gap::Hidden))] {
        engine.set(relation.clone(), true).await.unwrap();
        let query = GetThread {
            viewer: user("v"),
            post: root,
            depth_max: 9,
            replies_max: 99,
            position: None,
        };
        let thread = engine.ask(query).await.unwrap();
        let shown = thread.replies.iter().map(|it| (it.id, it.shown.as_ref().err().copied()));
        let expected = [(replies[0], gap), (replies[1], None), (replies[2], None)];
        assert_eq!(shown.collect::<Vec<_>>(), expected, "{relation:?}");
    }
}

/// The posts of the feed of `v`, newest first.
async fn page(core: &Core) -> Vec<PostId> {
    let query = HomeFeed {
        user: user("v"),
        items_max: 100,
        position: None,
        with_own: true,
        all_replies: true,
    };
    let page = core.engine().ask(query).await.unwrap();
    page.items.iter().map(|item| item.post.post.id()).collect()
}
