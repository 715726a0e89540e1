//! Floods of calls with tokens that no server may accept, or with none.

use std::io;
use std::sync::LazyLock;

use whimbrel::api::v1::NewsFeedRequest;

use crate::floods::{NEWS_FEED, answered};
use crate::raw::{DATA, END_STREAM, Raw, Windows, frame, grpc_frame, header};
use crate::target::Attacked;

/// Calls at once.
const CALLS: usize = 100;
/// Tokens that were signed before the flood: to sign takes longer than to send.
const SIGNED: usize = 2_000;

static MESSAGE: LazyLock<Vec<u8>> = LazyLock::new(|| grpc_frame(&NewsFeedRequest::default()));

/// Each call has a token of its own, whose key the provider does not have.
pub(crate) async fn of_unknown_keys(to: Attacked) -> io::Result<()> {
    static TOKENS: LazyLock<std::sync::Mutex<Vec<String>>> = LazyLock::new(Default::default);
    // They are refused before their signature is looked at, so it may be any provider's.
    let tokens = {
        let mut tokens = TOKENS.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        while tokens.len() < SIGNED {
            let next = tokens.len();
            tokens.push(to.provider().token_of_unknown_key(next));
        }
        tokens.clone()
    };
    calls(to, tokens.into_iter().cycle()).await
}

/// Each call has a token whose parts are right, and whose signature is not.
pub(crate) async fn with_wrong_signatures(to: Attacked) -> io::Result<()> {
    let tokens = to.provider().tokens_with_wrong_signatures();
    calls(to, tokens).await
}

pub(crate) async fn none(to: Attacked) -> io::Result<()> {
    calls(to, std::iter::repeat(String::new())).await
}

/// Calls with these tokens, one after another, many at once.
async fn calls(to: Attacked, mut tokens: impl Iterator<Item = String>) -> io::Result<()> {
    let mut raw = Raw::connect(to.address, Windows::Open).await?;
    loop {
        let mut last = 0;
        for token in tokens.by_ref().take(CALLS) {
            let more = if token.is_empty() {
                Vec::new()
            } else {
                header("authorization", format!("Bearer {token}").as_bytes())
            };
            last = raw.add_call(NEWS_FEED, &more, 0);
            raw.add(&frame(DATA, END_STREAM, last, &MESSAGE));
        }
        raw.send().await?;
        answered(&mut raw, last).await?;
    }
}
