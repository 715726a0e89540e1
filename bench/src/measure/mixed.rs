//! The mixed workload of `mix.rs`: all calls of a social app in closed loops, on a server with a
//! history, while some users watch their feeds. Never measures a peer: none has all of these calls.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use whimbrel::api::v1;
use whimbrel::client::{self, Client};

use super::Run;
use crate::data::{self, Data, Posted};
use crate::error::Error;
use crate::load::{closed_loop, lock};
use crate::machine;
use crate::mix::{Call, Draw, MIX, World};
use crate::peer::{Kind, System, Whimbrel, restart_in_order};
use crate::stats::Latencies;
use crate::watchers::{Watch, Watchers};

/// The seed of the history and of the draws, the same in every run.
const SEED: u64 = 1_912;
/// One call in flight shows the latency of each call by itself: with more, most of it is waiting.
const ALONE: usize = 1;
/// Items of a page of a feed.
const PAGE_ITEMS: i32 = 50;

/// The state that all callers share.
struct Day {
    world: World,
    /// In the order of [`MIX`].
    latencies: Vec<Latencies>,
    /// Calls for a post that was deleted while they were in flight.
    gone: u64,
}

/// The effect of an answer on the [`World`].
enum Effect {
    None,
    /// The token of the next page.
    Page(String),
    /// The revision of the new post.
    Posted(u64),
    Changed(bool),
}

/// The figures of a round: of all calls, and of each kind of call that was made.
type Figures = (Vec<(&'static str, f64)>, Vec<(String, f64)>);

/// The ids of posts as clients know them: the revision, and letters for the opening of the log that
/// published it.
struct PostIds {
    history_last: u64,
    history_letters: String,
    day_letters: String,
}

/// The server and its watchers.
struct Stage {
    whimbrel: Arc<Whimbrel>,
    watching: Watchers,
    ids: Arc<PostIds>,
    day: Arc<Mutex<Day>>,
}

pub(super) async fn measure(run: &mut Run) {
    if !run.kinds.contains(&Kind::Whimbrel) {
        return;
    }
    let stage = match Stage::open(run).await {
        Ok(stage) => stage,
        Err(error) => return run.failed("mixed", Kind::Whimbrel, 0.0, &error),
    };
    for in_flight in [ALONE].into_iter().chain(run.sizes.in_flight.clone()) {
        let x = in_flight as f64;
        let clients = match stage.whimbrel.clients(in_flight).await {
            Ok(clients) => clients,
            Err(error) => return run.failed("mixed", Kind::Whimbrel, x, &error),
        };
        for round in 0..=run.sizes.rounds {
            match stage.round(&clients, in_flight, run.sizes.mixed_time).await {
                // The first one is not counted: it warms up.
                Ok(_) if round == 0 => {}
                Ok((all, each)) => {
                    run.note("mixed", Kind::Whimbrel, x, Ok(all));
                    run.take("mixed", Kind::Whimbrel, x, each);
                }
                Err(error) => run.failed("mixed", Kind::Whimbrel, x, &error),
            }
        }
    }
}

impl Stage {
    async fn open(run: &Run) -> Result<Self, Error> {
        let sizes = &run.sizes;
        let (world, edges, actions) = World::with_history(
            SEED,
            sizes.mixed_users,
            sizes.mixed_followees,
            sizes.mixed_actions,
        );
        let data = Data { edges, actions, ..Data::default() };
        let whimbrel = Arc::new(Whimbrel::start(&run.programs, &data).await?);
        drop(data);
        let system: Arc<dyn System> = Arc::clone(&whimbrel) as _;
        // Memory that only the loading needed does not count.
        restart_in_order(&*system).await?;
        let ids = PostIds::read(&whimbrel.client().await?, world.newest()).await?;

        let step = sizes.mixed_users / sizes.mixed_watchers;
        let watch = |number| Watch { user: number * step, authors: Arc::default(), cursor: None };
        let watches = (0..sizes.mixed_watchers).map(watch).collect();
        let watching = Watchers::open(&system, watches, sizes.shared_connections).await?;
        let day = Day { world, latencies: Vec::new(), gone: 0 };
        Ok(Self { whimbrel, watching, ids: Arc::new(ids), day: Arc::new(Mutex::new(day)) })
    }

    async fn round(
        &self,
        clients: &[Client],
        in_flight: usize,
        time: Duration,
    ) -> Result<Figures, Error> {
        let pid = self.whimbrel.server().pid();
        self.watching.clear();
        {
            let mut day = lock(&self.day);
            day.latencies = MIX.iter().map(|_| Latencies::new()).collect();
            day.gone = 0;
        }
        let cpu = machine::cpu_time(pid);
        let (ids, day) = (Arc::clone(&self.ids), Arc::clone(&self.day));
        let load = closed_loop(clients, in_flight, time, move |client| {
            let (ids, day) = (Arc::clone(&ids), Arc::clone(&day));
            async move { step(&client, &ids, &day).await }
        })
        .await?;
        let cpu = machine::cpu_time(pid) - cpu;
        let pushed = self.watching.received() as f64;
        let seconds = load.calls as f64 / load.per_s;
        let day = lock(&self.day);
        let reads = MIX.iter().zip(&day.latencies).filter(|(part, _)| part.call.is_read());
        let reads: u64 = reads.map(|(_, latencies)| latencies.len()).sum();
        let all = vec![
            ("per_s", load.per_s),
            ("reads_per_s", reads as f64 / seconds),
            ("writes_per_s", (load.calls - reads) as f64 / seconds),
            ("p50_us", load.latencies.quantile_us(0.5)),
            ("p99_us", load.latencies.quantile_us(0.99)),
            ("cpu_us", cpu.as_secs_f64() * 1e6 / load.calls as f64),
            ("pushed_per_s", pushed / seconds),
            ("gone", day.gone as f64),
        ];
        let made = MIX.iter().zip(&day.latencies).filter(|(_, latencies)| latencies.len() > 0);
        let each = made.flat_map(|(part, latencies)| {
            [
                ("per_s", latencies.len() as f64 / seconds),
                ("p50_us", latencies.quantile_us(0.5)),
                ("p99_us", latencies.quantile_us(0.99)),
            ]
            .map(|(figure, value)| (format!("{}_{figure}", part.name), value))
        });
        Ok((all, each.collect()))
    }
}

impl PostIds {
    /// Reads the newest post of the history, and publishes one.
    ///
    /// # Errors
    /// A call fails, or the server lacks the history: then all calls for its posts would fail, and
    /// fast.
    async fn read(client: &Client, newest: Option<Posted>) -> Result<Self, Error> {
        let newest = newest.ok_or_else(|| Error::Failed("there is no history".to_owned()))?;
        let user_id = data::user_name(newest.author);
        let author_id = user_id.clone();
        let include_replies = true;
        let request =
            v1::ListPostsRequest { user_id, author_id, include_replies, ..Default::default() };
        let listed = client.list_posts(request).await?.items.into_iter();
        let mut posts = listed.filter_map(|item| item.post);
        let lacks = || Error::Failed("the server lacks the history that was written".to_owned());
        let in_history = posts.find(|post| post.revision == newest.revision).ok_or_else(lacks)?;

        let (user_id, text) = (data::user_name(newest.author), "good morning".to_owned());
        let request = v1::PublishRequest { user_id, text, ..Default::default() };
        let in_day = client.publish(request).await?.post.unwrap_or_default();
        Ok(Self {
            history_last: newest.revision,
            history_letters: letters(&in_history),
            day_letters: letters(&in_day),
        })
    }

    fn of(&self, post: Posted) -> String {
        let is_history = post.revision <= self.history_last;
        let letters = if is_history { &self.history_letters } else { &self.day_letters };
        format!("p{}{letters}", post.revision)
    }
}

fn letters(post: &v1::Post) -> String {
    let number = format!("p{}", post.revision);
    post.post_id.strip_prefix(&number).unwrap_or_default().to_owned()
}

/// Makes the next call. An error ends the round, unless the post of the call was deleted meanwhile.
async fn step(client: &Client, ids: &PostIds, day: &Mutex<Day>) -> Result<(), Error> {
    let draw = lock(day).world.draw();
    let begun = Instant::now();
    let effect = make(client, ids, &draw).await;
    let took = begun.elapsed();
    let Day { world, latencies, gone } = &mut *lock(day);
    latencies[draw.call.index()].record(took);
    let effect = match effect {
        Ok(effect) => effect,
        Err(error) if !draw.posts.is_empty() && is_gone(&error) => {
            *gone += 1;
            Effect::None
        }
        Err(error) => return Err(Error::from(error).while_doing(MIX[draw.call.index()].label)),
    };
    let Draw { call, user, other, ref posts, .. } = draw;
    match (effect, call, posts.first()) {
        (Effect::Page(page_token), ..) => world.turned(user, page_token),
        (Effect::Posted(revision), Call::Reply, Some(&parent)) => {
            world.replied(user, parent, revision);
        }
        (Effect::Posted(revision), ..) => world.posted(user, revision),
        (Effect::Changed(true), Call::Like, Some(&post)) => world.liked(user, post),
        (Effect::Changed(true), Call::Follow, _) => world.followed(user, other),
        _ => {}
    }
    Ok(())
}

fn is_gone(error: &client::Error) -> bool {
    matches!(error, client::Error::Call(error) if error.reason == "POST_NOT_FOUND")
}

/// Makes a call as an app would: with the default page sizes, except for feeds.
async fn make(client: &Client, ids: &PostIds, draw: &Draw) -> Result<Effect, client::Error> {
    let is_read = draw.call.is_read();
    if is_read { read(client, ids, draw).await } else { write(client, ids, draw).await }
}

async fn read(client: &Client, ids: &PostIds, draw: &Draw) -> Result<Effect, client::Error> {
    let user_id = data::user_name(draw.user);
    let other_id = data::user_name(draw.other);
    let post_id = draw.posts.first().map(|&post| ids.of(post)).unwrap_or_default();
    match draw.call {
        Call::NewsFeed | Call::NextPage => {
            let request = v1::NewsFeedRequest {
                user_id,
                page_size: PAGE_ITEMS,
                page_token: draw.page_token.clone(),
                ..Default::default()
            };
            return Ok(Effect::Page(client.news_feed(request).await?.next_page_token));
        }
        Call::GetThread => {
            let request = v1::GetThreadRequest { user_id, post_id, ..Default::default() };
            client.get_thread(request).await.map(drop)
        }
        Call::ListNotifications => {
            let request = v1::ListNotificationsRequest { user_id, ..Default::default() };
            client.list_notifications(request).await.map(drop)
        }
        Call::GetProfile => {
            let request =
                v1::GetProfileRequest { user_id, of_user_id: other_id, ..Default::default() };
            client.get_profile(request).await.map(drop)
        }
        Call::ListPosts => {
            let request = v1::ListPostsRequest {
                user_id,
                author_id: other_id,
                include_reposts: true,
                ..Default::default()
            };
            client.list_posts(request).await.map(drop)
        }
        Call::GetPosts => {
            let post_ids = draw.posts.iter().map(|&post| ids.of(post)).collect();
            let request = v1::GetPostsRequest { user_id, post_ids, ..Default::default() };
            client.get_posts(request).await.map(drop)
        }
        Call::ListLikes => {
            let request = v1::ListLikesRequest { user_id, post_id, ..Default::default() };
            client.list_likes(request).await.map(drop)
        }
        Call::ListReplies => {
            let request = v1::ListRepliesRequest { user_id, post_id, ..Default::default() };
            client.list_replies(request).await.map(drop)
        }
        Call::ListFollowers => {
            let request =
                v1::ListFollowersRequest { user_id, of_user_id: other_id, ..Default::default() };
            client.list_followers(request).await.map(drop)
        }
        Call::ListFollowing => {
            let request =
                v1::ListFollowingRequest { user_id, of_user_id: other_id, ..Default::default() };
            client.list_following(request).await.map(drop)
        }
        Call::GetRelationships => {
            let other_ids = vec![other_id];
            let request = v1::GetRelationshipsRequest { user_id, other_ids, ..Default::default() };
            client.get_relationships(request).await.map(drop)
        }
        call => unreachable!("{call:?} is no read"),
    }?;
    Ok(Effect::None)
}

async fn write(client: &Client, ids: &PostIds, draw: &Draw) -> Result<Effect, client::Error> {
    let user_id = data::user_name(draw.user);
    let other_id = data::user_name(draw.other);
    let post_id = draw.posts.first().map(|&post| ids.of(post)).unwrap_or_default();
    let changed = match draw.call {
        Call::Post | Call::Reply => {
            let number = data::next_post();
            let request = v1::PublishRequest {
                user_id,
                text: data::text(number),
                request_id: format!("{number:016x}"),
                reply_to_post_id: post_id,
                ..Default::default()
            };
            let post = client.publish(request).await?.post;
            return Ok(Effect::Posted(post.unwrap_or_default().revision));
        }
        Call::Like => client.like(v1::LikeRequest { user_id, post_id }).await?.changed,
        Call::Unlike => client.unlike(v1::UnlikeRequest { user_id, post_id }).await?.changed,
        Call::Repost => client.repost(v1::RepostRequest { user_id, post_id }).await?.changed,
        Call::Follow => {
            let request = v1::FollowRequest { user_id, followee_id: other_id };
            client.follow(request).await?.changed
        }
        Call::Unfollow => {
            let request = v1::UnfollowRequest { user_id, followee_id: other_id };
            client.unfollow(request).await?.changed
        }
        Call::MarkNotificationsSeen => {
            let request = v1::MarkNotificationsSeenRequest { user_id, ..Default::default() };
            client.mark_notifications_seen(request).await?.changed
        }
        Call::DeletePost => {
            let request = v1::DeletePostRequest { user_id, post_id };
            client.delete_post(request).await?.changed
        }
        call => unreachable!("{call:?} is no write"),
    };
    Ok(Effect::Changed(changed))
}
