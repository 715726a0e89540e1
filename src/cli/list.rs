//! The verbs that list: by pages, or to the end. Never prints a page in another order than the
//! server's.

use clap::Args;
use prost::{Message, Name};

use super::hint;
use super::json::{JsonLine, ProtoJson};
use super::text::{AsText, ListItem};
use super::{Error, Output, ServerArgs, number};
use crate::api::v1;
use crate::client::{self, Client};

/// The options of lists.
#[derive(Args, Clone, Debug)]
pub(super) struct PagingArgs {
    /// Number of items in a page; 0 for the server's default.
    #[arg(long, default_value_t = 0, value_name = "N", value_parser = number::at_least(0_i32))]
    page_size: i32,
    /// Show the page after an earlier page, by the token at the end of that.
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TOKEN")]
    page_token: String,
    /// Show all pages.
    #[arg(long)]
    all: bool,
    /// Read a state that is no older than this cursor.
    #[arg(long, default_value = "", hide_default_value = true, value_name = "CURSOR")]
    at_least: String,
}

impl PagingArgs {
    /// Refuses all of these options, for a verb that does not list.
    ///
    /// # Errors
    /// One of them is given.
    pub(super) fn refuse(&self) -> Result<(), Error> {
        let Self { page_size, page_token, all, at_least } = self;
        if *page_size == 0 && page_token.is_empty() && !all && at_least.is_empty() {
            return Ok(());
        }
        Err(Error::Usage(
            "--page-size, --page-token, --all and --at-least are not for a watch".into(),
        ))
    }
}

/// The fields that every request for a page has, without the reader.
#[derive(Clone, Debug)]
pub(super) struct PageParams {
    pub(super) page_size: i32,
    pub(super) page_token: String,
    pub(super) at_least_cursor: String,
}

/// A page of a list.
pub(super) trait ListPage: Message + Name {
    type Item: ListItem;

    fn items(&self) -> &[Self::Item];
    /// The page with its other fields only.
    fn without_items(self) -> Self;
    fn next_page_token(&self) -> &str;
    fn cursor(&self) -> &str;
    /// A line for people about the other fields, if there are any.
    fn summary(&self) -> Option<String> {
        None
    }
}

/// The notes for people after a list.
#[derive(Debug)]
pub(super) struct ListHints {
    /// The verb with its arguments, for the command that shows the next page.
    pub(super) command: String,
    /// The note about an empty list.
    pub(super) empty: &'static str,
    /// The verb that watches new items, with its arguments, if there is one.
    pub(super) live: Option<String>,
}

/// Shows a list. `call` gives one page.
pub(super) async fn list<P, F>(
    output: &Output,
    server: &ServerArgs,
    paging: PagingArgs,
    hints: ListHints,
    call: impl Fn(Client, PageParams) -> F,
) -> Result<(), Error>
where
    P: ListPage,
    F: Future<Output = Result<P, client::Error>>,
{
    let PagingArgs { page_size, page_token, all, at_least: at_least_cursor } = paging;
    let mut params = PageParams { page_size, page_token, at_least_cursor };
    let mut is_empty = true;
    loop {
        let page = server.call(|client| call(client, params.clone())).await?;
        for item in page.items() {
            is_empty = false;
            output.print(|| item.text(), || JsonLine(P::Item::KIND, ProtoJson(item)))?;
        }
        // A page may be empty before the end of the list. Such a page is not shown alone.
        let shows_next = all || is_empty;
        if !shows_next || page.next_page_token().is_empty() {
            return finish(output, &hints, page, is_empty);
        }
        page.next_page_token().clone_into(&mut params.page_token);
    }
}

/// Prints the end of a list: for people, the commands for older and for newer items.
fn finish<P: ListPage>(
    output: &Output,
    hints: &ListHints,
    page: P,
    is_empty: bool,
) -> Result<(), Error> {
    if output.is_for_machines() {
        let page = page.without_items();
        return output.print_for_machines(|| JsonLine("page", ProtoJson(&page)));
    }
    if is_empty {
        output.note(hints.empty);
    }
    if let Some(summary) = page.summary() {
        output.note(&summary);
    }
    let (token, cursor) = (page.next_page_token(), page.cursor());
    if !token.is_empty() {
        let older = hint::command(&hints.command, &format!("--page-token {token}"));
        output.note(&format!("older: {older}"));
    }
    if let Some(live) = &hints.live {
        let newer = hint::command(live, &format!("--after {cursor}"));
        output.note(&format!("newer: {newer}"));
    }
    Ok(())
}

/// The call of a list: `$fields` are the fields of the request that are not in [`PageParams`].
macro_rules! page_call {
    ($method:ident($request:ident { $($fields:tt)* })) => {
        |client: $crate::client::Client, params: $crate::cli::list::PageParams| {
            let $crate::cli::list::PageParams { page_size, page_token, at_least_cursor } = params;
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
pub(super) use page_call;

/// Implements [`ListPage`] for each of the responses.
macro_rules! pages {
    ($($response:ident { $items:ident: $item:ident }),*) => {
        $(impl ListPage for v1::$response {
            type Item = v1::$item;

            fn items(&self) -> &[Self::Item] {
                &self.$items
            }

            fn without_items(self) -> Self {
                Self { $items: Vec::new(), ..self }
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

impl ListPage for v1::ListNotificationsResponse {
    type Item = v1::Notification;

    fn items(&self) -> &[Self::Item] {
        &self.notifications
    }

    fn without_items(self) -> Self {
        Self { notifications: Vec::new(), ..self }
    }

    fn next_page_token(&self) -> &str {
        &self.next_page_token
    }

    fn cursor(&self) -> &str {
        &self.cursor
    }

    fn summary(&self) -> Option<String> {
        Some(format!("not seen: {}", self.unseen_count))
    }
}
