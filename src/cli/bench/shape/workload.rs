//! The calls of a shape: makes its data, and then random calls by the mix. Never measures.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fastrand::Rng;
use tokio::time::{Instant, interval_at};

use super::composer::Composer;
use super::graph::{FollowEdge, FollowGraph};
use super::{CallKind, Shape};
use crate::api::v1::{FollowRequest, ListPostsRequest, NewsFeedRequest, PublishRequest};
use crate::cli::bench::load::run_calls;
use crate::cli::{Output, number};
use crate::client::{Client, Error};

/// Concurrent calls during the preparation.
const IN_FLIGHT: usize = 512;
/// Time between two notes about the preparation.
const NOTE_INTERVAL: Duration = Duration::from_secs(10);
/// The seed of posts before the measurement.
const SEED: u64 = 0x0b5e_55ed;

/// A call that is made when it is polled.
pub(super) type CallFuture = Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

/// The data of a shape on a server, and the calls that use it.
#[derive(Debug)]
pub(super) struct Workload {
    clients: Vec<Client>,
    composer: Arc<Composer>,
    shape: Shape,
    rng: Rng,
    /// Number of calls that were made.
    made: u64,
}

impl Workload {
    /// Users whose names begin with `names`, without follows and posts yet.
    pub(super) fn new(clients: Vec<Client>, names: Arc<str>, shape: &Shape) -> Self {
        let composer = Composer { names, users: shape.users as u32, text: shape.text };
        let (composer, shape) = (Arc::new(composer), shape.clone());
        Self { clients, composer, shape, rng: Rng::new(), made: 0 }
    }

    /// Makes the follows and then the posts, with notes about the progress.
    pub(super) async fn prepare(&self, output: Output) -> Result<(), Error> {
        let made = Arc::new(AtomicU64::new(0));
        let preparation = async {
            self.follow_all(Arc::clone(&made)).await?;
            self.publish_all(Arc::clone(&made)).await
        };
        let started = Instant::now();
        let mut notes = interval_at(started + NOTE_INTERVAL, NOTE_INTERVAL);
        tokio::pin!(preparation);
        loop {
            tokio::select! {
                prepared = &mut preparation => return prepared,
                _ = notes.tick() => {
                    let made = made.load(Ordering::Relaxed);
                    let all = number::grouped(self.shape.changes());
                    let rate = number::rounded(number::per_second(made, started.elapsed()));
                    let made = number::grouped(made);
                    output.note(&format!("prepared: {made} of {all} changes, {rate} a second"));
                }
            }
        }
    }

    async fn follow_all(&self, made: Arc<AtomicU64>) -> Result<(), Error> {
        let edges = FollowGraph::new(&self.shape).edges();
        let edges: Arc<Mutex<dyn Iterator<Item = FollowEdge> + Send>> = Arc::new(Mutex::new(edges));
        let composer = Arc::clone(&self.composer);
        run_calls(&self.clients, IN_FLIGHT, self.shape.follows, move |client, _| {
            let edge = edges.lock().unwrap_or_else(PoisonError::into_inner).next();
            let (composer, made) = (Arc::clone(&composer), Arc::clone(&made));
            async move {
                // The graph has as many edges as there are calls.
                let Some(FollowEdge { follower, followee }) = edge else { return Ok(()) };
                let user_id = composer.user_id(follower);
                let followee_id = composer.user_id(followee);
                client.follow(FollowRequest { user_id, followee_id }).await?;
                made.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
        })
        .await
    }

    async fn publish_all(&self, made: Arc<AtomicU64>) -> Result<(), Error> {
        let composer = Arc::clone(&self.composer);
        run_calls(&self.clients, IN_FLIGHT, self.shape.posts, move |client, number| {
            let author = (number % u64::from(composer.users)) as u32;
            let request = composer.post(&mut Rng::with_seed(SEED ^ number), author);
            let made = Arc::clone(&made);
            async move {
                client.publish(request).await?;
                made.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
        })
        .await
    }

    /// A random call by the mix. It is made when the future is polled.
    pub(super) fn call(&mut self) -> (CallKind, CallFuture) {
        let number = self.made;
        self.made += 1;
        let client = self.clients[number as usize % self.clients.len()].clone();
        let kind = self.kind();
        let (rng, composer) = (&mut self.rng, &self.composer);
        let user = composer.user(rng);
        let user_id = composer.user_id(user);
        let page_size = self.shape.page_items as i32;
        let call: CallFuture = match kind {
            CallKind::Feed => {
                let request = NewsFeedRequest { user_id, page_size, ..Default::default() };
                Box::pin(async move { client.news_feed(request).await.map(drop) })
            }
            CallKind::UserPosts => {
                let author_id = composer.user_id(composer.user(rng));
                let request =
                    ListPostsRequest { user_id, author_id, page_size, ..Default::default() };
                Box::pin(async move { client.list_posts(request).await.map(drop) })
            }
            CallKind::Publish => {
                // With an id, as an app has that may have to repeat the call.
                let request_id = number.to_string();
                let request = PublishRequest { request_id, ..composer.post(rng, user) };
                Box::pin(async move { client.publish(request).await.map(drop) })
            }
            CallKind::Follow => {
                let followee_id = composer.user_id(composer.other(rng, user));
                let request = FollowRequest { user_id, followee_id };
                Box::pin(async move { client.follow(request).await.map(drop) })
            }
        };
        (kind, call)
    }

    fn kind(&mut self) -> CallKind {
        let weights = self.shape.calls.weights();
        let mut at = self.rng.u64(..weights.iter().sum::<u64>());
        for (kind, weight) in CallKind::ALL.into_iter().zip(weights) {
            if at < weight {
                return kind;
            }
            at -= weight;
        }
        unreachable!("the number is less than the sum of the weights")
    }
}
