//! The verbs that list: page by page, or to the end.

use clap::Args;
use serde_json::json;

use super::hint;
use super::show::Shown;
use super::{Error, Output, Target};
use crate::api::v1;
use crate::client::{self, Client};

/// Which pages.
#[derive(Args, Clone, Debug)]
pub(super) struct Paging {
    /// How many items a page has; 0 for the server's default.
    #[arg(long, default_value_t = 0, value_name = "N")]
    page_size: i32,
    /// Go on from a page before, with the token that it ended with.
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TOKEN")]
    page_token: String,
    /// Show all pages, to the end.
    #[arg(long)]
    all: bool,
    /// Show what is no older than this cursor.
    #[arg(long, default_value = "", hide_default_value = true, value_name = "CURSOR")]
    at_least: String,
}

impl Paging {
    /// Refuses what was given: there is no list.
    pub(super) fn refuse_given(&self) -> Result<(), Error> {
        let Self { page_size, page_token, all, at_least } = self;
        if *page_size == 0 && page_token.is_empty() && !all && at_least.is_empty() {
            return Ok(());
        }
        Err(Error::Usage(
            "--page-size, --page-token, --all and --at-least are not for a watch".into(),
        ))
    }
}

/// Which page to ask for.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) page_size: i32,
    pub(super) page_token: String,
    pub(super) at_least_cursor: String,
}

/// A page of a list.
pub(super) trait Page {
    type Item: Shown;

    fn items(&self) -> &[Self::Item];
    fn next_page_token(&self) -> &str;
    fn cursor(&self) -> &str;
    /// What else it says, for people and for machines.
    fn more(&self) -> Option<(String, serde_json::Value)> {
        None
    }
}

/// What is told about a list beside its items.
#[derive(Debug)]
pub(super) struct About {
    /// The verb and what it was given, to say how to go on.
    pub(super) command: String,
    /// What to say if there is nothing.
    pub(super) empty: &'static str,
    /// The verb that shows what comes live, if there is one.
    pub(super) live: Option<String>,
}

/// Shows a list, for which `call` gives one page.
pub(super) async fn list<P, F>(
    output: &Output,
    target: &Target,
    paging: Paging,
    about: About,
    call: impl Fn(Client, Asked) -> F,
) -> Result<(), Error>
where
    P: Page,
    F: Future<Output = Result<P, client::Error>>,
{
    let Paging { page_size, page_token, all, at_least: at_least_cursor } = paging;
    let mut asked = Asked { page_size, page_token, at_least_cursor };
    let mut is_empty = true;
    loop {
        let page = target.call(|client| call(client, asked.clone())).await?;
        for item in page.items() {
            is_empty = false;
            output.print(|| item.text(), || item.json())?;
        }
        // A page may be empty before the end, and nobody asks for such a one.
        let goes_on = all || is_empty;
        if !goes_on || page.next_page_token().is_empty() {
            return finish(output, &about, &page, is_empty);
        }
        page.next_page_token().clone_into(&mut asked.page_token);
    }
}

/// Says how to go on: to older items, and live.
fn finish<P: Page>(output: &Output, about: &About, page: &P, is_empty: bool) -> Result<(), Error> {
    let (token, cursor) = (page.next_page_token(), page.cursor());
    let more = page.more();
    if output.is_json() {
        let mut end = json!({ "next_page_token": token, "cursor": cursor });
        if let (Some((_, more)), Some(end)) = (more, end.as_object_mut()) {
            end.extend(more.as_object().cloned().unwrap_or_default());
        }
        return output.print(String::new, || end);
    }
    if is_empty {
        output.note(about.empty);
    }
    if let Some((more, _)) = more {
        output.note(&more);
    }
    if !token.is_empty() {
        let older = hint::command(&about.command, &format!("--page-token {token}"));
        output.note(&format!("older: {older}"));
    }
    if let Some(live) = &about.live {
        let newer = hint::command(live, &format!("--after {cursor}"));
        output.note(&format!("newer: {newer}"));
    }
    Ok(())
}

/// A list's call: `request` without the fields that all pages have, which come from `asked`.
macro_rules! page_of {
    ($method:ident($request:ident { $($fields:tt)* })) => {
        |client: $crate::client::Client, asked: $crate::cli::list::Asked| {
            let $crate::cli::list::Asked { page_size, page_token, at_least_cursor } = asked;
            let request = $crate::api::v1::$request {
                page_size,
                page_token,
                at_least_cursor,
                $($fields)*
            };
            async move { client.$method(request).await }
        }
    };
}
pub(super) use page_of;

/// Makes each of the responses a [`Page`].
macro_rules! pages {
    ($($response:ident { $items:ident: $item:ident }),*) => {
        $(impl Page for v1::$response {
            type Item = v1::$item;

            fn items(&self) -> &[Self::Item] {
                &self.$items
            }

            fn next_page_token(&self) -> &str {
                &self.next_page_token
            }

            fn cursor(&self) -> &str {
                &self.cursor
            }
        })*
    };
}

pages!(
    NewsFeedResponse { items: FeedItem },
    ListPostsResponse { items: FeedItem },
    ListLikesResponse { users: ListedUser },
    ListRepostsResponse { users: ListedUser },
    ListRepliesResponse { posts: PostView },
    ListQuotesResponse { posts: PostView },
    ListFollowersResponse { users: ListedUser },
    ListFollowingResponse { users: ListedUser },
    ListBlocksResponse { users: ListedUser },
    ListMutesResponse { users: ListedUser }
);

impl Page for v1::ListNotificationsResponse {
    type Item = v1::Notification;

    fn items(&self) -> &[Self::Item] {
        &self.notifications
    }

    fn next_page_token(&self) -> &str {
        &self.next_page_token
    }

    fn cursor(&self) -> &str {
        &self.cursor
    }

    fn more(&self) -> Option<(String, serde_json::Value)> {
        let Self { unseen_count, seen_until_revision, .. } = self;
        let for_machines =
            json!({ "unseen_count": unseen_count, "seen_until_revision": seen_until_revision });
        Some((format!("not seen: {unseen_count}"), for_machines))
    }
}
