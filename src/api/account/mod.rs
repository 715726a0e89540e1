//! Counts the bytes that each connection makes the server hold: of requests that have not arrived
//! whole, and of answers that are not sent. Closes a connection that holds too many of them, and
//! one whose client accepts nothing. Never holds a byte itself, and never closes a connection whose
//! streams are idle.
//!
//! ```text
//!   request   HEADERS, part of the message ──▶ counted until the message is whole
//!   answer    encoded ──▶ counted ──▶ piece by piece to the transport ──▶ the kernel has the piece
//!                                     └ too old: nobody takes it, the connection is closed
//!             without a body ──▶ counted until the connection has sent all that it has
//! ```
//!
//! Without this, a client that sends and never reads could fill the memory: HTTP/2 bounds what is
//! sent to a client, and nothing bounds what waits for being sent.

mod held;
mod pot;

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use held::HeldAnswer;
pub(super) use held::{HeldRequest, TooMuchHeld};
pub use pot::AddressPot;
use pot::{Pot, Share};
use tokio::sync::Notify;

use super::Closer;
use super::metrics::{ApiMetrics, HoldLimit};
use crate::config::Limits;
use crate::runtime::WarningThrottle;

/// How often the ages of answers are checked within the stall limit.
const CHECKS_PER_STALL: u64 = 6;
/// Checks that an account distinguishes: more than those within the stall limit, as an answer that
/// is older was found stalled before.
const AGES: usize = 16;
/// A connection whose answers take this part of its limit gets no further ones until its client
/// takes some. The rest of the limit is for answers that are being made.
const ROOM_DIVISOR: usize = 8;

/// The accounts of all open connections. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Accounts(Arc<AllAccounts>);

#[derive(Debug)]
struct AllAccounts {
    metrics: ApiMetrics,
    requests: Pot,
    answers: Pot,
    requests_per_connection_max: usize,
    requests_per_address_max: usize,
    answers_per_connection_max: usize,
    stall_time_max: Duration,
    /// The number of the next check, from 1. Time is counted in checks, because an age is recorded
    /// for each piece of an answer: to read a clock for each would cost more than the rest.
    next_check: AtomicU64,
    next_key: AtomicU64,
    open: Mutex<HashMap<u64, Account>>,
    stalled: WarningThrottle,
    too_much: WarningThrottle,
}

/// The account of a connection. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Account(Arc<AccountState>);

#[derive(Debug)]
struct AccountState {
    all: Accounts,
    key: u64,
    closer: Closer,
    address: AddressPot,
    requests: Share,
    answers: Share,
    /// Answers without a body that are not sent, which `answers` counts as well.
    heads: AtomicUsize,
    /// Pieces of answers on their way to the client, by the check at which they set out.
    ages: [AtomicU32; AGES],
    /// Wakes one of those who wait in [`Account::room`].
    room: Notify,
}

/// The account of an open connection. Dropping it closes the account: what is still held counts on
/// in all, and no longer for the connection.
#[derive(Debug)]
pub struct OpenAccount(Account);

impl Accounts {
    /// No accounts yet, within `limits`. What is closed counts in `metrics`.
    #[must_use]
    pub fn new(limits: &Limits, metrics: ApiMetrics) -> Self {
        Self(Arc::new(AllAccounts {
            metrics,
            requests: Pot::new(limits.unfinished_request_bytes_max),
            answers: Pot::new(limits.unsent_answer_bytes_max),
            requests_per_connection_max: limits.unfinished_request_bytes_per_connection_max,
            requests_per_address_max: limits.unfinished_request_bytes_per_address_max,
            answers_per_connection_max: limits.unsent_answer_bytes_per_connection_max,
            stall_time_max: limits.stall_time_max,
            next_check: AtomicU64::new(1),
            next_key: AtomicU64::new(1),
            open: Mutex::default(),
            stalled: WarningThrottle::default(),
            too_much: WarningThrottle::default(),
        }))
    }

    /// Opens the account of a connection from `address`, which `closer` closes.
    #[must_use]
    pub fn open(&self, closer: Closer, address: AddressPot) -> OpenAccount {
        let account = Account(Arc::new(AccountState {
            all: self.clone(),
            key: self.0.next_key.fetch_add(1, Ordering::Relaxed),
            closer,
            address,
            requests: Share::default(),
            answers: Share::default(),
            heads: AtomicUsize::new(0),
            ages: Default::default(),
            room: Notify::new(),
        }));
        self.accounts().insert(account.0.key, account.clone());
        OpenAccount(account)
    }

    /// The bytes of requests that have not arrived whole, and of answers that are not sent.
    #[must_use]
    pub(super) fn held_bytes(&self) -> (usize, usize) {
        (self.0.requests.bytes(), self.0.answers.bytes())
    }

    /// Closes the connections whose clients accept nothing, for ever.
    pub async fn watch(&self) -> Infallible {
        let all = &self.0;
        // Divided without a check of zero: the divisor is a constant.
        let mut checks = tokio::time::interval(all.stall_time_max / CHECKS_PER_STALL as u32);
        loop {
            checks.tick().await;
            let check = all.next_check.fetch_add(1, Ordering::Relaxed);
            for account in self.accounts().values().filter(|account| account.is_stalled(check)) {
                account.0.closer.close();
                all.metrics.limit_closed(HoldLimit::Stalled);
                all.stalled.add("closed the connection of a client that accepted nothing");
            }
            all.stalled.log_due();
            all.too_much.log_due();
        }
    }

    /// Closes the connection with the largest share of a pot that is too full.
    fn close_largest(&self, pot: &Pot, share: impl Fn(&AccountState) -> &Share) {
        let accounts = self.accounts();
        if !pot.is_too_full() {
            return;
        }
        let open = accounts.values().filter(|account| !account.0.closer.closing().is_cancelled());
        if let Some(largest) = open.max_by_key(|account| share(&account.0).bytes()) {
            share(&largest.0).write_off(pot);
            largest.0.closer.close();
            self.0.metrics.limit_closed(HoldLimit::Largest);
            self.0.too_much.add("closed the connection that held most, as all hold too much");
        }
    }

    fn accounts(&self) -> MutexGuard<'_, HashMap<u64, Account>> {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Account {
    /// A number that no other connection has.
    #[must_use]
    pub fn key(&self) -> u64 {
        self.0.key
    }

    /// Ends the connection.
    #[must_use]
    pub fn closer(&self) -> &Closer {
        &self.0.closer
    }

    /// Waits until the connection holds few enough unsent answers for a further one.
    pub(super) async fn room(&self) {
        loop {
            let mut freed = std::pin::pin!(self.0.room.notified());
            freed.as_mut().enable();
            if self.has_room() {
                // The next in line may find room as well.
                self.0.room.notify_one();
                return;
            }
            freed.await;
        }
    }

    /// Whether [`Account::room`] would not wait.
    pub(super) fn has_room(&self) -> bool {
        self.0.answers.bytes() < self.room_bytes()
    }

    fn room_bytes(&self) -> usize {
        (self.0.all.0.answers_per_connection_max / ROOM_DIVISOR).max(1)
    }

    /// Whether a piece set out before the last `CHECKS_PER_STALL` checks before `check`. One more
    /// check, because the first may have been due at once.
    fn is_stalled(&self, check: u64) -> bool {
        let is_open = !self.0.closer.closing().is_cancelled();
        let oldest = check.checked_sub(CHECKS_PER_STALL + 1);
        is_open && oldest.is_some_and(|check| self.age(check).load(Ordering::Relaxed) > 0)
    }

    fn age(&self, check: u64) -> &AtomicU32 {
        &self.0.ages[check as usize % AGES]
    }
}

impl std::ops::Deref for OpenAccount {
    type Target = Account;

    fn deref(&self) -> &Account {
        &self.0
    }
}

impl Drop for OpenAccount {
    fn drop(&mut self) {
        self.0.0.all.accounts().remove(&self.0.0.key);
    }
}

impl Drop for AccountState {
    fn drop(&mut self) {
        // Those that were never sent are gone with the connection.
        let heads = std::mem::take(self.heads.get_mut());
        self.answers.subtract(&self.all.0.answers, heads * held::HEAD_BYTES);
        debug_assert_eq!((self.requests.bytes(), self.answers.bytes()), (0, 0), "all is freed");
        // More may have been written off than was freed since, if it was freed at the same time.
        self.requests.take_back(&self.all.0.requests, usize::MAX);
        self.answers.take_back(&self.all.0.answers, usize::MAX);
    }
}
