//! What holds on any machine while tokens and handshakes are flooded: whoever comes new is served, and
//! the attacker gets no more work than their address may have.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use tokio::time::timeout;
use tonic::Code;
use tonic::transport::Channel;
use whimbrel::api::v1::NewsFeedRequest;
use whimbrel::api::v1::feed_service_client::FeedServiceClient;

use crate::attackers::Attackers;
use crate::floods::Flood;
use crate::target::{Serves, Target, with_token};

/// An address of this machine that no attacker has.
const ANOTHER_ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
/// What attackers do to TLS.
const TLS_FLOODS: [&str; 4] = [
    "half TLS handshakes",
    "TLS handshakes that are left",
    "whole TLS handshakes",
    "TLS records of one byte",
];
/// No wait takes so long unless the test fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// Tokens that cannot be accepted use up the quota of their address. Who calls from another one with a
/// token that was never seen is answered, and the keys are not fetched for each of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_tokens_use_up_the_quota_of_their_address() {
    for name in ["tokens of unknown keys", "tokens with wrong signatures"] {
        let target = Target::start(Serves::Tokens).await;
        let provider = target.provider().expect("it asks for tokens");
        let begun = Instant::now();
        let _attackers = Attackers::start(Flood::named(name), target.attacked());
        let here = target.connect().await;
        let until_refused = async {
            let mut number = 0;
            loop {
                number += 1;
                let token = provider.token_of(&format!("newcomer{number}"));
                if let Err(error) = call(&here, Some(&token)).await {
                    return error;
                }
            }
        };
        let refused = timeout(PATIENCE, until_refused).await.expect(name);
        assert_eq!(refused.code(), Code::ResourceExhausted, "{name}: {refused}");
        assert!(refused.message().contains("address_refusals"), "{name}: {refused}");

        let there = target.connect_from(ANOTHER_ADDRESS).await;
        for number in 0..20 {
            let token = provider.token_of(&format!("stranger{number}"));
            call(&there, Some(&token)).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        }
        // One at the start, and one each ten seconds.
        let fetches_max =
            2 + usize::try_from(begun.elapsed().as_secs() / 10).expect("some seconds");
        assert!(provider.fetches() <= fetches_max, "{name}: {} fetches", provider.fetches());
    }
}

/// However many handshakes others have begun and left, and whatever they send in records, new clients of another address connect.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_clients_connect_while_handshakes_are_flooded() {
    let target = Target::start(Serves::Tls).await;
    for name in TLS_FLOODS {
        let _attackers = Attackers::start(Flood::named(name), target.attacked());
        for _ in 0..10 {
            let called = async { call(&target.connect_from(ANOTHER_ADDRESS).await, None).await };
            timeout(PATIENCE, called).await.expect(name).expect("everybody may call");
        }
    }
}

/// A call of the user of `token`, or of anybody without one.
async fn call(channel: &Channel, token: Option<&str>) -> Result<(), tonic::Status> {
    let mut feeds = FeedServiceClient::new(channel.clone());
    let user_id = if token.is_some() { String::new() } else { "anybody".to_owned() };
    let request = NewsFeedRequest { user_id, ..Default::default() };
    feeds.news_feed(with_token(request, token)).await.map(drop)
}
