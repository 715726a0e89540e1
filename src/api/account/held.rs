//! What a connection holds, counted from its creation until it is dropped.

use std::sync::atomic::Ordering;

use super::{Account, AllAccounts};
use crate::api::metrics::HoldLimit;

/// What a piece of an answer takes besides its bytes: a frame in a queue, and the count.
const PIECE_BYTES: usize = 512;

/// What an answer without a body takes: a stream of the transport, and its headers with the details of an
/// error.
pub(super) const HEAD_BYTES: usize = 2 << 10;

/// What a connection may hold of unfinished requests whatever others of its address hold: one of the
/// largest. So those who share an address with a hostile client, as behind a proxy, are served.
const OWN_REQUEST_BYTES: usize = 128 << 10;

/// A limit of unfinished requests that a request would exceed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum TooMuchHeld {
    /// By the requests of the connection.
    Connection {
        /// The limit.
        bytes_max: usize,
    },
    /// By the requests of all connections from the address.
    Address {
        /// The limit.
        bytes_max: usize,
    },
}

/// Bytes of a request that has not arrived whole.
#[derive(Debug)]
pub(in super::super) struct HeldRequest {
    account: Account,
    bytes: usize,
}

/// Bytes of an answer that are not sent.
#[derive(Debug)]
pub struct HeldAnswer {
    account: Account,
    bytes: usize,
    /// The check at which they set out for the client; `None` before.
    since: Option<u64>,
}

impl Account {
    /// A request of which nothing is counted yet.
    pub(in super::super) fn hold_request(&self) -> HeldRequest {
        HeldRequest { account: self.clone(), bytes: 0 }
    }

    /// Counts `bytes` of an answer that wait for their turn.
    pub(in super::super) fn hold_answer(&self, bytes: usize) -> HeldAnswer {
        self.add_answer(bytes);
        HeldAnswer { account: self.clone(), bytes, since: None }
    }

    /// Counts `bytes` that are on their way to the client. They may not be for longer than the
    /// stall limit.
    #[must_use]
    pub fn hold_piece(&self, bytes: usize) -> HeldAnswer {
        self.hold_answer(bytes + PIECE_BYTES).set_out()
    }

    /// Counts an answer without a body, until [`Account::heads_are_sent`].
    pub(in super::super) fn hold_head(&self) {
        self.0.heads.fetch_add(1, Ordering::Relaxed);
        self.add_answer(HEAD_BYTES);
    }

    /// The kernel has all that the connection had to send: so also each answer without a body, which no
    /// window of the client holds back.
    pub fn heads_are_sent(&self) {
        // Written only if there are any, which is seldom.
        if self.0.heads.load(Ordering::Relaxed) > 0 {
            let heads = self.0.heads.swap(0, Ordering::Relaxed);
            self.free_answer(heads * HEAD_BYTES);
        }
    }

    fn free_answer(&self, bytes: usize) {
        let before = self.0.answers.subtract(&self.all().answers, bytes);
        let room = self.room_bytes();
        if before >= room && before - bytes < room {
            self.0.room.notify_one();
        }
    }

    fn all(&self) -> &AllAccounts {
        &self.0.all.0
    }

    fn add_answer(&self, bytes: usize) {
        let all = self.all();
        let held = self.0.answers.add(&all.answers, bytes);
        if held > all.answers_per_connection_max && !self.0.closer.closing().is_cancelled() {
            self.0.closer.close();
            all.metrics.limit_closed(HoldLimit::TakesTooLittle);
            all.too_much.add("closed a connection whose client took too few of its answers");
        }
        if all.answers.is_too_full() {
            self.0.all.close_largest(&all.answers, |state| &state.answers);
        }
    }
}

impl HeldRequest {
    /// Counts `bytes` for the request from now on, at least as many as before.
    ///
    /// # Errors
    /// They exceed a limit. They are counted nevertheless, until this is dropped.
    pub(in super::super) fn grow_to(&mut self, bytes: usize) -> Result<(), TooMuchHeld> {
        let more = bytes.saturating_sub(self.bytes);
        self.bytes += more;
        let (state, all) = (&self.account.0, self.account.all());
        let of_connection = state.requests.add(&all.requests, more);
        let of_address = state.address.bytes().fetch_add(more, Ordering::Relaxed) + more;
        if all.requests.is_too_full() {
            state.all.close_largest(&all.requests, |state| &state.requests);
        }
        if of_connection > all.requests_per_connection_max {
            return Err(TooMuchHeld::Connection { bytes_max: all.requests_per_connection_max });
        }
        if of_address > all.requests_per_address_max && of_connection > OWN_REQUEST_BYTES {
            return Err(TooMuchHeld::Address { bytes_max: all.requests_per_address_max });
        }
        Ok(())
    }
}

impl Drop for HeldRequest {
    fn drop(&mut self) {
        self.account.0.address.bytes().fetch_sub(self.bytes, Ordering::Relaxed);
        self.account.0.requests.subtract(&self.account.all().requests, self.bytes);
    }
}

impl HeldAnswer {
    /// Takes `bytes` out of these for a piece that sets out.
    pub(in super::super) fn split_piece(&mut self, bytes: usize) -> Self {
        assert!(bytes <= self.bytes, "a piece is no larger than the rest of its answer");
        self.bytes -= bytes;
        Self { account: self.account.clone(), bytes, since: None }.set_out()
    }

    fn set_out(mut self) -> Self {
        debug_assert!(self.since.is_none(), "a piece sets out once");
        let check = self.account.all().next_check.load(Ordering::Relaxed);
        self.account.age(check).fetch_add(1, Ordering::Relaxed);
        self.since = Some(check);
        self
    }
}

impl Drop for HeldAnswer {
    fn drop(&mut self) {
        if let Some(check) = self.since {
            self.account.age(check).fetch_sub(1, Ordering::Relaxed);
        }
        self.account.free_answer(self.bytes);
    }
}
