//! Well-behaved callers: each on a connection of its own, at a pace that leaves the server idle most
//! of the time. They count what is refused, and measure how long an answer takes.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use whimbrel::api::v1::NewsFeedRequest;
use whimbrel::api::v1::feed_service_client::FeedServiceClient;

use crate::target::{Target, with_token};

/// What callers noticed.
#[derive(Debug, Default)]
pub(crate) struct Noticed {
    times: Vec<Duration>,
    /// The errors of calls.
    pub(crate) refused: Vec<String>,
}

impl Noticed {
    pub(crate) fn answered(&self) -> usize {
        self.times.len()
    }

    /// The time within which this part of the calls was answered, in milliseconds.
    pub(crate) fn percentile_ms(&mut self, percent: usize) -> f64 {
        self.times.sort_unstable();
        let at = (self.times.len() * percent / 100).min(self.times.len().saturating_sub(1));
        self.times.get(at).map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
    }

    fn add(&mut self, other: Self) {
        self.times.extend(other.times);
        self.refused.extend(other.refused);
    }
}

/// Callers with a connection each.
pub(crate) struct Callers {
    /// Each with its token, if the server asks for one.
    channels: Vec<(Channel, Option<String>)>,
    /// Between two calls of a caller.
    pause: Duration,
}

impl Callers {
    /// So many callers, who make `calls_per_second` together.
    pub(crate) async fn connect(target: &Target, count: usize, calls_per_second: u32) -> Self {
        let mut channels = Vec::new();
        for number in 0..count {
            let token = target.provider().map(|provider| provider.token_of(&name(number)));
            channels.push((target.connect().await, token));
        }
        let pause = Duration::from_secs(count as u64) / calls_per_second;
        Self { channels, pause }
    }

    /// They call until `done` is complete, at least once each.
    pub(crate) async fn call_during<T>(&self, done: impl Future<Output = T>) -> (T, Noticed) {
        let stop = CancellationToken::new();
        let mut calling = JoinSet::new();
        for (number, (channel, token)) in (0_u32..).zip(&self.channels) {
            // Spread over the time of a pause.
            let first = self.pause * number / self.channels.len() as u32;
            let caller = Caller {
                channel: channel.clone(),
                token: token.clone(),
                name: name(number as usize),
                pause: self.pause,
            };
            calling.spawn(caller.call(stop.clone(), first));
        }
        let out = done.await;
        stop.cancel();
        let mut noticed = Noticed::default();
        while let Some(of_one) = calling.join_next().await {
            noticed.add(of_one.expect("no panic"));
        }
        (out, noticed)
    }
}

/// The user of a caller.
fn name(number: usize) -> String {
    format!("caller{number}")
}

struct Caller {
    channel: Channel,
    token: Option<String>,
    name: String,
    pause: Duration,
}

impl Caller {
    /// Calls until `stop`, at least once.
    async fn call(self, stop: CancellationToken, first: Duration) -> Noticed {
        let Self { channel, token, name, pause } = self;
        let mut feeds = FeedServiceClient::new(channel);
        let mut noticed = Noticed::default();
        let mut wait = first;
        loop {
            if noticed.answered() > 0 {
                tokio::select! {
                    () = stop.cancelled() => return noticed,
                    () = tokio::time::sleep(wait) => {}
                }
            } else {
                tokio::time::sleep(wait).await;
            }
            wait = pause;
            let begun = Instant::now();
            let request = NewsFeedRequest { user_id: name.clone(), ..Default::default() };
            match feeds.news_feed(with_token(request, token.as_deref())).await {
                Ok(_) => noticed.times.push(begun.elapsed()),
                Err(error) => noticed.refused.push(error.to_string()),
            }
            if noticed.answered() == 0 && stop.is_cancelled() {
                return noticed;
            }
        }
    }
}
