//! Entry points for the fuzzers in `fuzz/`: each takes any bytes and panics where a promise about
//! what a connection reads is broken. Never part of a server: behind the feature `fuzzing`.

use std::task::{Context, Poll, Waker};

use super::first_bytes::{PREFACE, other_than_http2};
use super::frame_budget::FrameBudget;
use super::proxy_protocol::{self, HeaderError};
use crate::config::Limits;

/// What a client speaks is known by its first bytes, at the latest when there are as many as the
/// preface has, and does not depend on how the network cuts them.
pub fn first_bytes(bytes: &[u8]) {
    let mut known = None;
    for count in 1..=bytes.len().min(PREFACE.len()) {
        let other = other_than_http2(&bytes[..count]);
        assert!(known.is_none() || other == known, "{known:?} becomes {other:?}");
        known = other;
    }
    if bytes.len() >= PREFACE.len() {
        assert_eq!(known.is_none(), bytes.starts_with(PREFACE), "{known:?}");
    }
}

/// A header of a proxy is read to its end and no further, however it is cut off: what is part of a
/// header is waited for, and never taken for a whole one.
pub fn proxy_header(bytes: &[u8]) {
    let mut rest = bytes;
    let whole = match at_once(proxy_protocol::read(&mut rest)) {
        Ok(client) => client,
        Err(_) => return,
    };
    let header = &bytes[..bytes.len() - rest.len()];
    for count in 0..header.len() {
        let cut = at_once(proxy_protocol::read(&mut &header[..count]));
        assert!(matches!(cut, Err(HeaderError::Io(_))), "{count} bytes are a header: {cut:?}");
    }
    let again = at_once(proxy_protocol::read(&mut &header[..]));
    assert!(matches!(again, Ok(client) if client == whole), "{again:?} is not {whole:?}");
}

/// The output of a future that waits for nothing, because it reads from memory.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("memory is waited for"),
    }
}

/// Frames are counted alike however the network cuts them. The first byte chooses how.
pub fn frames(bytes: &[u8]) {
    let Some((cut, frames)) = bytes.split_first() else { return };
    // Few, so that an input of a few KiB exceeds them; and time earns none.
    let limits = Limits {
        empty_frames_at_once_max: 30,
        empty_frames_per_second_max: 0,
        ..Limits::default()
    };
    let verdict = |chunk_bytes: usize| {
        let mut budget = FrameBudget::new(&limits);
        let counted = frames.chunks(chunk_bytes).try_for_each(|chunk| budget.received(chunk));
        (counted, budget.last_stream())
    };
    assert_eq!(
        verdict(frames.len().max(1)),
        verdict(usize::from(*cut) + 1),
        "it depends on the cuts"
    );
}
