//! Floods of answers that nobody takes.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::sleep;
use whimbrel::api::v1::NewsFeedRequest;

use crate::floods::{CALLS, NEWS_FEED};
use crate::raw::{END_STREAM, Raw, Windows};
use crate::target::READER;

/// A call for a large page of posts on each stream, and then nothing is read.
pub(crate) async fn not_taken(to: SocketAddr, windows: Windows) -> io::Result<()> {
    let raw = asks_for_pages(to, windows).await?;
    // Only the end is noticed: the window is closed, or nothing is read.
    match windows {
        Windows::Closed => drop(raw.closed().await),
        Windows::Small | Windows::Open => sleep(Duration::from_secs(3_600)).await,
    }
    Ok(())
}

/// A connection with a call for a large page of posts on each stream.
pub(crate) async fn asks_for_pages(to: SocketAddr, windows: Windows) -> io::Result<Raw> {
    let mut raw = Raw::connect(to, windows).await?;
    let page = NewsFeedRequest { user_id: READER.to_owned(), page_size: 100, ..Default::default() };
    for _ in 0..CALLS {
        raw.add_whole_call(NEWS_FEED, &page);
    }
    raw.send().await?;
    Ok(raw)
}

/// Calls without a message, each of which is answered with an error, and nothing is read.
pub(crate) async fn errors_not_taken(to: SocketAddr) -> io::Result<()> {
    let mut raw = Raw::connect_taking_little(to).await?;
    loop {
        for _ in 0..100 {
            raw.add_call(NEWS_FEED, &[], END_STREAM);
        }
        raw.send().await?;
    }
}
