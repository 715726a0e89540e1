//! Listings: which page is asked for, and how to ask for the one after it. The same for all.
//!
//! A page token is good for its own listing only: the RPC, who reads, of what, and with which
//! options. [`Listing`] digests all that, so that the token of another is found out.

use std::hash::Hasher;

use siphasher::sip::SipHasher13;
use tonic::Status;

use super::calls::Calls;
use super::token::{self, PageToken};
use super::{fields, status};
use crate::engine::PagePosition;
use crate::live::CursorError;
use crate::model::{Cursor, LogId, Revision, UserId};

/// What every request for a page has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub(super) user_id: &'a str,
    pub(super) page_size: i32,
    pub(super) page_token: &'a str,
    pub(super) at_least_cursor: &'a str,
}

/// [`Asked`] of a request: the fields have the same names in all of them.
macro_rules! asked {
    ($request:expr) => {
        $crate::api::listing::Asked {
            user_id: &$request.user_id,
            page_size: $request.page_size,
            page_token: &$request.page_token,
            at_least_cursor: &$request.at_least_cursor,
        }
    };
}
pub(super) use asked;

/// A listing, at the page that is asked for.
#[derive(Debug)]
pub(super) struct Listing {
    /// Who reads.
    viewer: UserId,
    items_max: usize,
    /// Where the page begins; `None` for the newest items.
    place: Option<PagePosition>,
    log: LogId,
    /// Digest of everything that has to be as it was on the first page.
    digest: u64,
}

impl Listing {
    /// Checks what was asked, and waits until this server has what it is to show. `rpc` and
    /// `options` are what else the listing depends on, by its own RPC's reckoning.
    pub(super) async fn open(
        calls: &Calls,
        rpc: &'static str,
        options: &[&str],
        asked: Asked<'_>,
    ) -> Result<Self, Status> {
        let Calls { engine, limits, .. } = calls;
        let viewer = fields::user_id("user_id", asked.user_id)?;
        let items_max = fields::items_max(
            "page_size",
            asked.page_size,
            limits.page_items_default,
            limits.page_items_max,
        )?;
        let at_least = fields::optional_cursor("at_least_cursor", asked.at_least_cursor)?;
        let log = engine.cursor().log;
        let digest = digest(rpc, viewer.as_str(), options);
        let place = place(asked.page_token, log, digest)?;

        let reached = engine.reached(at_least, limits.call_time_max).await;
        reached.map_err(status::of_engine)?;
        Ok(Self { viewer, items_max, place, log, digest })
    }

    /// Who reads, how many items, and from where.
    pub(super) fn query(&self) -> (UserId, usize, Option<PagePosition>) {
        (self.viewer.clone(), self.items_max, self.place)
    }

    /// The token of the page after this one; empty at the end.
    pub(super) fn next_page_token(&self, next: Option<PagePosition>) -> String {
        let Self { log, digest, .. } = *self;
        next.map_or_else(String::new, |place| {
            token::encode_page_token(&PageToken { log, place, listing: digest })
        })
    }

    /// The position of the listing, as a cursor.
    pub(super) fn cursor(&self, at: Revision) -> String {
        token::encode_cursor(&Cursor::after(self.log, at))
    }
}

fn place(page_token: &str, log: LogId, digest: u64) -> Result<Option<PagePosition>, Status> {
    if page_token.is_empty() {
        return Ok(None);
    }
    let token = token::decode_page_token(page_token)
        .map_err(|error| status::malformed_token("page_token", &error))?;
    if token.log != log {
        return Err(status::of_cursor(&CursorError::OfAnotherLog { given: token.log, own: log }));
    }
    if token.listing != digest {
        return Err(status::page_token_mismatch("page_token"));
    }
    Ok(Some(token.place))
}

/// The same in every process and version.
fn digest(rpc: &str, viewer: &str, options: &[&str]) -> u64 {
    let mut hasher = SipHasher13::new();
    for part in [rpc, viewer].into_iter().chain(options.iter().copied()) {
        // With its length, so that no two lists of parts are one text.
        hasher.write(&(part.len() as u64).to_le_bytes());
        hasher.write(part.as_bytes());
    }
    hasher.finish()
}
