//! A social feed in the maps of one process: JSON over HTTP/1.1, and nothing on disk. Written with
//! care for speed: a feed is merged from the newest posts of each followee, and a live event is
//! encoded once for all watchers.
//!
//! It never stores anything, and drops events for a watcher that lags.

use std::collections::{BinaryHeap, HashSet};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Sse;
use axum::response::sse::Event;
use axum::routing::{get, post};
use axum::{Json, Router};
use dashmap::DashMap;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::{Stream, StreamExt};

/// The same allocator as in Whimbrel.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Items of a page.
const PAGE_ITEMS: usize = 50;
/// Most events that wait for a slow watcher; then the oldest are dropped.
const EVENTS_MAX: usize = 1_024;
/// The largest bulk call.
const BULK_BYTES_MAX: usize = 16 << 20;

/// The data of the service.
#[derive(Default)]
struct Service {
    users: DashMap<Arc<str>, User>,
    live: DashMap<Arc<str>, broadcast::Sender<Arc<str>>>,
    next: AtomicU64,
}

#[derive(Default)]
struct User {
    followees: HashSet<Arc<str>>,
    followers: HashSet<Arc<str>>,
    posts: Vec<Arc<Post>>,
}

#[derive(Serialize)]
struct Post {
    id: String,
    author: Arc<str>,
    text: String,
    #[serde(skip)]
    position: u64,
}

#[derive(Deserialize)]
struct Publish {
    author: Arc<str>,
    text: String,
    id: String,
}

#[derive(Deserialize)]
struct Of {
    user: Arc<str>,
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let routes = Router::new()
        .route("/health", get(async || "ok"))
        .route("/publish", post(publish))
        .route("/feed", get(feed))
        .route("/watch", get(watch))
        .route("/bulk/edges", post(bulk_edges))
        .route("/bulk/posts", post(bulk_posts))
        .layer(axum::extract::DefaultBodyLimit::max(BULK_BYTES_MAX))
        .with_state(Arc::<Service>::default());
    let listener = TcpListener::bind(&address).await?;
    axum::serve(
        axum::serve::ListenerExt::tap_io(listener, |stream| {
            // Without it a stream is only slower.
            let _ = stream.set_nodelay(true);
        }),
        routes,
    )
    .await
}

async fn publish(
    State(service): State<Arc<Service>>,
    Json(Publish { author, text, id }): Json<Publish>,
) -> Json<String> {
    let post = service.add(author, text, id.clone());
    service.deliver(&post);
    Json(id)
}

async fn feed(State(service): State<Arc<Service>>, Query(of): Query<Of>) -> Json<Vec<Arc<Post>>> {
    Json(service.feed(&of.user))
}

async fn watch(
    State(service): State<Arc<Service>>,
    Query(of): Query<Of>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let live = service.live.entry(of.user).or_insert_with(|| broadcast::channel(EVENTS_MAX).0);
    let events = BroadcastStream::new(live.subscribe());
    // A watcher that lags loses events without a notice.
    Sse::new(events.filter_map(Result::ok).map(|data| Ok(Event::default().data(&*data))))
}

async fn bulk_edges(State(service): State<Arc<Service>>, lines: String) -> StatusCode {
    for (follower, followee) in lines.lines().filter_map(|line| line.split_once('\t')) {
        // Names are shared with the keys: otherwise an edge would cost two copies.
        let (follower, followee) = (service.name(follower), service.name(followee));
        if let Some(mut user) = service.users.get_mut(&follower) {
            user.followees.insert(Arc::clone(&followee));
        }
        if let Some(mut user) = service.users.get_mut(&followee) {
            user.followers.insert(follower);
        }
    }
    StatusCode::OK
}

async fn bulk_posts(State(service): State<Arc<Service>>, lines: String) -> StatusCode {
    for (author, text) in lines.lines().filter_map(|line| line.split_once('\t')) {
        let id = format!("{:016x}", service.next.load(Ordering::Relaxed));
        service.add(author.into(), text.to_owned(), id);
    }
    StatusCode::OK
}

impl Service {
    fn name(&self, name: &str) -> Arc<str> {
        if let Some(user) = self.users.get(name) {
            return Arc::clone(user.key());
        }
        Arc::clone(self.users.entry(name.into()).or_default().key())
    }

    fn add(&self, author: Arc<str>, text: String, id: String) -> Arc<Post> {
        let mut user = self.users.entry(Arc::clone(&author)).or_default();
        let position = self.next.fetch_add(1, Ordering::Relaxed);
        let post = Arc::new(Post { id, author: Arc::clone(user.key()), text, position });
        user.posts.push(Arc::clone(&post));
        post
    }

    /// Sends a post to the followers of its author who watch.
    fn deliver(&self, post: &Arc<Post>) {
        let Some(author) = self.users.get(&post.author) else { return };
        let mut event: Option<Arc<str>> = None;
        for follower in &author.followers {
            if let Some(live) = self.live.get(follower) {
                let event = event
                    .get_or_insert_with(|| serde_json::to_string(post).unwrap_or_default().into());
                // Fails if the last watcher has left.
                let _ = live.send(Arc::clone(event));
            }
        }
    }

    fn feed(&self, user: &str) -> Vec<Arc<Post>> {
        let Some(followees) = self.users.get(user).map(|user| user.followees.clone()) else {
            return Vec::new();
        };
        let newest = |author: &str, before: usize| {
            let user = self.users.get(author)?;
            let at = before.min(user.posts.len()).checked_sub(1)?;
            Some((user.posts[at].position, at, Arc::clone(&user.posts[at])))
        };
        // The newest post of each followee. The top of the heap is the next item of the page.
        let mut heap: BinaryHeap<(u64, usize, usize)> = BinaryHeap::new();
        let mut posts = Vec::new();
        for followee in &followees {
            if let Some((position, at, post)) = newest(followee, usize::MAX) {
                heap.push((position, at, posts.len()));
                posts.push(post);
            }
        }
        let mut page = Vec::with_capacity(PAGE_ITEMS);
        while let Some((_, at, slot)) = heap.pop() {
            let post = Arc::clone(&posts[slot]);
            if let Some((position, at, next)) = newest(&post.author, at) {
                heap.push((position, at, slot));
                posts[slot] = next;
            }
            page.push(post);
            if page.len() == PAGE_ITEMS {
                break;
            }
        }
        page
    }
}
