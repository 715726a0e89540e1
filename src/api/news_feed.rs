//! The NewsFeed RPC.

use tonic::Status;

use super::token::PageToken;
use super::{convert, fields, status, token, v1};
use crate::config::Limits;
use crate::engine::{Engine, FeedQuery};
use crate::hub::CursorError;
use crate::model::Cursor;

pub(super) async fn handle(
    engine: &Engine,
    limits: &Limits,
    request: v1::NewsFeedRequest,
) -> Result<v1::NewsFeedResponse, Status> {
    let user = fields::user_id("user_id", &request.user_id)?;
    let items_max = fields::items_max(
        "page_size",
        request.page_size,
        limits.page_items_default,
        limits.page_items_max,
    )?;
    let at_least = fields::optional_cursor("at_least_cursor", &request.at_least_cursor)?;
    let listing = token::listing(user.as_str(), request.exclude_self);
    let log = engine.cursor().log;
    let place = match request.page_token.as_str() {
        "" => None,
        text => {
            let token = token::decode_page_token(text)
                .map_err(|error| status::malformed_token("page_token", &error))?;
            if token.log != log {
                let error = CursorError::OfAnotherLog { given: token.log, own: log };
                return Err(status::of_cursor(&error));
            }
            if token.listing != listing {
                return Err(status::page_token_mismatch("page_token"));
            }
            Some(token.place)
        }
    };

    engine.reached(at_least, limits.call_time_max).await.map_err(status::of_engine)?;
    let with_own = !request.exclude_self;
    let query = FeedQuery { user, items_max, place, with_own, all_replies: false };
    let page = engine.news_feed(query).await.map_err(status::of_engine)?;
    let next = page.next.map(|place| PageToken { log, place, listing });
    Ok(v1::NewsFeedResponse {
        items: page.items.iter().map(convert::page_item).collect(),
        next_page_token: next.as_ref().map_or_else(String::new, token::encode_page_token),
        cursor: token::encode_cursor(&Cursor::after(log, page.at)),
    })
}
