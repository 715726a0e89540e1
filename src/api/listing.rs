//! Listings: the requested page, and the token of the next. Shared by all RPCs with pages. Never
//! reads an item.
//!
//! A page token is valid for its own listing only: the same RPC, viewer, subject and options.
//! [`Listing`] keeps a digest of these, so that the token of another listing is refused.

use std::hash::Hasher;

use siphasher::sip::SipHasher13;
use tonic::Status;

use super::context::ServiceContext;
use super::token::{self, PageToken};
use super::{fields, status};
use crate::model::CursorError;
use crate::model::{Cursor, Epochs, LogId, Revision, UserId};
use crate::query::PagePosition;

/// The fields that every request for a page has.
#[derive(Clone, Copy, Debug)]
pub(super) struct PageFields<'a> {
    pub(super) user_id: &'a str,
    pub(super) page_size: i32,
    pub(super) page_token: &'a str,
    pub(super) at_least_cursor: &'a str,
}

/// The [`PageFields`] of a request. They have the same names in all requests.
macro_rules! page_fields {
    ($request:expr) => {
        $crate::api::listing::PageFields {
            user_id: &$request.user_id,
            page_size: $request.page_size,
            page_token: &$request.page_token,
            at_least_cursor: &$request.at_least_cursor,
        }
    };
}
pub(super) use page_fields;

/// A listing at the requested page.
#[derive(Debug)]
pub(super) struct Listing {
    viewer: UserId,
    items_max: usize,
    /// Where the page begins; `None` for the newest items.
    position: Option<PagePosition>,
    log: LogId,
    epochs: Epochs,
    /// Digest of everything that must be the same on all pages.
    digest: u64,
}

impl Listing {
    /// Checks the fields, and waits until this server has reached `at_least_cursor`. `rpc` and
    /// `options` are all else that the listing depends on.
    pub(super) async fn open(
        context: &ServiceContext,
        rpc: &'static str,
        options: &[&str],
        page: PageFields<'_>,
    ) -> Result<Self, Status> {
        let ServiceContext { engine, limits, .. } = context;
        let viewer = fields::user_id("user_id", page.user_id)?;
        let items_max = fields::items_max(
            "page_size",
            page.page_size,
            limits.page_items_default,
            limits.page_items_max,
        )?;
        let at_least = fields::optional_cursor("at_least_cursor", page.at_least_cursor, context)?;
        let log = engine.cursor().log;
        let digest = digest(rpc, viewer.as_str(), options);
        let position = position(context, page.page_token, log, digest)?;

        let reached = engine.reached(at_least, limits.call_time_max).await;
        reached.map_err(|error| status::from_query(error, &context.epochs))?;
        let epochs = context.epochs.clone();
        Ok(Self { viewer, items_max, position, log, epochs, digest })
    }

    /// The viewer, the maximal number of items, and the position where the page begins.
    pub(super) fn query(&self) -> (UserId, usize, Option<PagePosition>) {
        (self.viewer.clone(), self.items_max, self.position)
    }

    /// The token of the page after this one; empty at the end.
    pub(super) fn next_page_token(&self, next: Option<PagePosition>) -> String {
        let Self { log, digest, .. } = *self;
        next.map_or_else(String::new, |position| {
            token::encode_page_token(&PageToken { log, position, listing: digest }, &self.epochs)
        })
    }

    /// The cursor after revision `at`, at which the listing stands.
    pub(super) fn cursor(&self, at: Revision) -> String {
        token::encode_cursor(&Cursor::after(self.log, at), &self.epochs)
    }
}

fn position(
    context: &ServiceContext,
    page_token: &str,
    log: LogId,
    digest: u64,
) -> Result<Option<PagePosition>, Status> {
    if page_token.is_empty() {
        return Ok(None);
    }
    let (token, epoch) = token::decode_page_token(page_token)
        .map_err(|error| status::malformed_token("page_token", &error))?;
    if token.log != log {
        let error = CursorError::OfAnotherLog { given: token.log, own: log };
        return Err(status::from_cursor(&error, &context.epochs));
    }
    context
        .check_epoch(token.log, token.position.at, epoch)
        .map_err(|error| status::from_cursor(&error, &context.epochs))?;
    if token.listing != digest {
        return Err(status::page_token_mismatch("page_token"));
    }
    Ok(Some(token.position))
}

/// A digest that is the same in every process and version.
fn digest(rpc: &str, viewer: &str, options: &[&str]) -> u64 {
    let mut hasher = SipHasher13::new();
    for part in [rpc, viewer].into_iter().chain(options.iter().copied()) {
        // With its length, so that different lists of parts are never the same text.
        hasher.write(&(part.len() as u64).to_le_bytes());
        hasher.write(part.as_bytes());
    }
    hasher.finish()
}
