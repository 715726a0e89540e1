//! The publish measurements: the highest rate, and a thousand posts at once. Never reads.

use std::sync::Arc;

use tokio::time::Instant;

use super::load::run_calls;
use super::table::TableRow;
use super::{Measurement, Session, floor};
use crate::api::v1::{Post, PublishRequest};
use crate::client::{Client, Error};

/// Number of authors: so many that rarely two posts of a batch have the same.
const AUTHORS: u64 = 10_000;
/// The second setting of concurrent calls, which shows the effect of larger batches.
const MANY_IN_FLIGHT: usize = 256;
/// Posts and users of the `thousand` measurement.
const THOUSAND: u64 = 1_000;
/// Rounds of the `thousand` measurement, whose median is the result.
const ROUNDS: u64 = 11;
/// Texts of posts, each about as long as those of people.
const TEXTS: [&str; 4] = [
    "The first snow fell this morning, and the whole street was quiet. Tea, a book, and nowhere to be until noon",
    "Trains were late again, but the baker at the station had kept two of the good ones. Small mercies, well buttered",
    "Reminder to self: the bug is never in the compiler, never in the kernel, and always in the line you wrote last",
    "Saw a whimbrel on the mudflats at low tide, seven notes and gone. The telescope was in the car, where it lives",
];

/// Measures Publish against the floor, with the usual number of concurrent calls and with many.
pub(super) async fn measure(session: &Session<'_>) -> Result<Vec<TableRow>, Error> {
    let usual = session.in_flight();
    let mut rows = Vec::new();
    for in_flight in [usual, MANY_IN_FLIGHT] {
        if in_flight == usual && !rows.is_empty() {
            break;
        }
        let names = Arc::clone(&session.names);
        let series = format!("p{in_flight}");
        let publish = move |client: Client, number| {
            let user_id = format!("{names}a{}", number % AUTHORS);
            let request = post(user_id, &series, number);
            async move { publish_new(client, request).await.map(drop) }
        };
        let measured = floor::compare(&session.clients, in_flight, session.time(), publish).await?;
        let what = format!("durable posts, {in_flight} in flight");
        let published = measured.load.row(Measurement::Publish, what);
        let published = TableRow { floor_ratio: Some(measured.rate_ratio), ..published };
        let extra = (in_flight != usual).then_some(in_flight as u64);
        let both = [floor::row(in_flight, measured.floor), published];
        rows.extend(both.map(|row| TableRow { in_flight: extra, ..row }));
    }
    Ok(rows)
}

/// Measures a thousand posts by a thousand users, all at once.
pub(super) async fn measure_thousand(session: &Session<'_>) -> Result<TableRow, Error> {
    let usual = session.args.connections.into();
    let clients =
        Client::connect_for(&session.address, &session.options, THOUSAND as usize, usual).await?;
    let mut rounds = Vec::new();
    // The first round warms up and is not counted.
    for round in 0..=ROUNDS {
        let names = Arc::clone(&session.names);
        let publish = move |client: Client, number| {
            let request = post(format!("{names}t{number}"), "t", round * THOUSAND + number);
            async move { publish_new(client, request).await.map(drop) }
        };
        let started = Instant::now();
        run_calls(&clients, THOUSAND as usize, THOUSAND, publish).await?;
        if round > 0 {
            rounds.push(started.elapsed().as_secs_f64());
        }
    }
    let seconds = floor::median(rounds);
    let what = "1,000 posts of 1,000 users, all at once".to_owned();
    let per_s = Some(THOUSAND as f64 / seconds.max(f64::EPSILON));
    Ok(TableRow { per_s, seconds: Some(seconds), ..TableRow::new(Measurement::Thousand, what) })
}

/// Publishes a post. A repeated request would be answered without a write, and is none to measure.
///
/// # Panics
/// The server has the post already.
pub(super) async fn publish_new(client: Client, request: PublishRequest) -> Result<Post, Error> {
    let published = client.publish(request).await?;
    assert!(!published.deduplicated, "a request of the bench was sent twice");
    Ok(published.post.unwrap_or_default())
}

/// The post with number `number` of a series. Both are in its request id.
pub(super) fn post(user_id: String, series: &str, number: u64) -> PublishRequest {
    let text = TEXTS[(number % TEXTS.len() as u64) as usize];
    PublishRequest {
        user_id,
        text: format!("{text} #{number}"),
        request_id: format!("{series}-{number}"),
        ..PublishRequest::default()
    }
}
