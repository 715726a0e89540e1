//! A client from the first call to a resumed stream: Alice follows Bob, reads her feed, watches it,
//! goes away, and comes back to what Bob posted in between.
//!
//! With a server running (`cargo run -- serve`):
//!
//! ```sh
//! cargo run --example follow_and_watch -- 127.0.0.1:50051
//! ```

#![expect(clippy::print_stdout, reason = "it shows what it does")]

use std::error::Error;
use std::time::Duration;

use whimbrel::api::v1::feed_event::Change;
use whimbrel::api::v1::{FeedItem, FollowRequest, NewsFeedRequest, PostedEvent, PublishRequest};
use whimbrel::client::{self, Client, Retry, Watch, WatchMessage, WatchStart};

/// How long a call is repeated while the server cannot be reached or is busy.
const RETRY_TIME_MAX: Duration = Duration::from_secs(5);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:50051".to_owned());
    // Cheap to clone; the clones share one connection.
    let client = Client::connect(&address).await?;

    // To follow is idempotent: a second time it succeeds and changes nothing.
    let request = FollowRequest { user_id: "alice".to_owned(), followee_id: "bob".to_owned() };
    let followed = client.follow(request).await?;
    println!("alice follows bob{}", if followed.changed { "" } else { " already" });

    publish(&client, "The tide goes out.").await?;

    // A page of the feed, newest first. `next_page_token` would lead to older items.
    let request =
        NewsFeedRequest { user_id: "alice".to_owned(), page_size: 10, ..Default::default() };
    let page = client.news_feed(request).await?;
    for item in &page.items {
        println!("page: {}", line(item));
    }

    // The page's cursor is its position in the log. A watch that starts there misses nothing that
    // happens after the page and repeats nothing that is on it.
    let mut watch = Watch::new(client.clone(), "alice", WatchStart::Cursor(page.cursor));
    publish(&client, "It rains on the mud flats.").await?;
    let cursor = next_post(&mut watch).await?;

    // A program keeps the cursor of the last message that it has handled, in a file for example.
    // Then it may end: what happens meanwhile is delivered when it comes back, in order.
    drop(watch);
    publish(&client, "The tide comes in.").await?;
    let mut watch = Watch::new(client, "alice", WatchStart::Cursor(cursor));
    next_post(&mut watch).await?;
    Ok(())
}

/// Publishes a post of Bob's.
async fn publish(client: &Client, text: &str) -> Result<(), client::Error> {
    let request = PublishRequest {
        user_id: "bob".to_owned(),
        text: text.to_owned(),
        // One id for all tries of one post: whichever of them succeeds first, there is one post.
        request_id: format!("example-{:016x}", fastrand::u64(..)),
        ..Default::default()
    };
    Retry::within(RETRY_TIME_MAX).call(|| client.publish(request.clone())).await?;
    Ok(())
}

/// Shows the messages of `watch` until there is a post. Returns the cursor after that.
async fn next_post(watch: &mut Watch) -> Result<String, client::Error> {
    loop {
        // A broken connection is opened again inside, after the last message that came.
        let message = watch.next(|error| println!("reconnecting: {error}")).await?;
        match message {
            // Events come in batches, and a batch counts as a whole: its cursor is after its last.
            WatchMessage::Batch(batch) => {
                let posted = batch.events.iter().filter_map(|event| match &event.change {
                    Some(Change::Posted(PostedEvent { item: Some(item) })) => Some(item),
                    _ => None,
                });
                let lines: Vec<_> = posted.map(line).collect();
                for line in &lines {
                    println!("live: {line}");
                }
                if !lines.is_empty() {
                    return Ok(batch.cursor);
                }
            }
            WatchMessage::Opened(_) => println!("watching"),
            // `CaughtUp`: the past is delivered. `Bookmark`: a sign of life with a cursor.
            // `Closing`: the server stops, and the watch connects again.
            // `Reset`: only for a watch that allows it, see `Watch::reset_on_gap`.
            _ => {}
        }
    }
}

fn line(item: &FeedItem) -> String {
    let post = item.post.as_ref();
    post.map_or_else(String::new, |post| format!("{}: {}", post.author_id, post.text))
}
