//! What a feed has of people whom its reader blocks or mutes, and of others' words to them: page,
//! live stream and resumed stream agree, and a thread shows gaps.

use whimbrel::engine::Draft;
use whimbrel::live::Start;
use whimbrel::model::PostId;
use whimbrel::model::Relation;
use whimbrel::query::Gap;
use whimbrel::query::GetThread;

use crate::harness::core::{Core, FEED, post, user};
use crate::harness::reader::Reader;
use crate::oracle::relations::{EdgeKind, SetRelation};

/// Others' replies to them and quotes of them are left out, also where they are reposted; what the
/// reader wrote stays, reposted or not.
#[tokio::test]
async fn words_to_hidden_people_are_left_out() {
    for kind in [EdgeKind::Block, EdgeKind::Mute] {
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
        engine.change_edge(kind, user("v"), user("u")).await.unwrap();

        let start = engine.cursor();
        let mut live = Reader::live(&core, "v", FEED).await;
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
        let texts = |told: Vec<(u64, String)>| -> Vec<String> {
            told.into_iter().map(|(_, told)| told).collect()
        };
        // The repost of what the reader wrote is left out, for it is near that.
        let expected = ["b: to v, in u's thread"];
        assert_eq!(texts(live.told_by_now(&core).await), expected, "{kind:?}, live");
        let mut resumed = Reader::open(engine, "v", FEED, Start::After(start));
        assert_eq!(texts(resumed.told_missed().await), expected, "{kind:?}, resumed");
        assert_eq!(page(&core).await, [to_reply, own_quote, own_reply], "{kind:?}, page");
    }
}

/// A thread is opened on purpose: it shows what others wrote to somebody who is blocked, below a gap;
/// and whom the reader only mutes.
#[tokio::test]
async fn a_thread_has_a_gap_for_a_blocked_author() {
    let core = Core::limited(|_| ());
    let engine = core.engine();
    let root = core.publish("b", "the root").await.post.id();
    let mut above = root;
    let mut places = Vec::new();
    for (author, text) in [("u", "of u's"), ("v", "own"), ("b", "of b's")] {
        let draft = Draft { reply_to: Some(above), ..Draft::from(post(text)) };
        above = engine.publish(user(author), draft, None).await.unwrap().post.id();
        places.push(above);
    }
    for (kind, gap) in [(EdgeKind::Mute, None), (EdgeKind::Block, Some(Gap::Hidden))] {
        engine.change_edge(kind, user("v"), user("u")).await.unwrap();
        let query =
            GetThread { viewer: user("v"), post: root, depth_max: 9, replies_max: 99, after: None };
        let thread = engine.ask(query).await.unwrap();
        let shown = thread.replies.iter().map(|it| (it.id, it.shown.as_ref().err().copied()));
        let expected = [(places[0], gap), (places[1], None), (places[2], None)];
        assert_eq!(shown.collect::<Vec<_>>(), expected, "{kind:?}");
    }
}

/// The posts of the feed of `v`, newest first.
async fn page(core: &Core) -> Vec<PostId> {
    let query = whimbrel::query::HomeFeed {
        user: user("v"),
        items_max: 100,
        position: None,
        with_own: true,
        all_replies: true,
    };
    let page = core.engine().ask(query).await.unwrap();
    page.items.iter().map(|item| item.post.post.id()).collect()
}
