//! The verbs of the post service, and publishing. Never prints except through `output`.

mod posts;
mod publish;
mod show;
mod thread;

use clap::{Args, Subcommand};

use super::change::{OnPostArgs, Predicates, change};
use super::list::{ListHints, PagingArgs, list, page_call};
use super::{Error, Output, ServerArgs};
use crate::api::v1;

#[derive(Debug, Subcommand)]
pub(super) enum PostVerb {
    #[command(visible_alias = "post")]
    Publish(publish::PublishArgs),
    /// Publish a reply to a post.
    Reply(publish::ReferenceArgs),
    /// Publish a quote of a post.
    Quote(publish::ReferenceArgs),
    /// Delete a post of the user.
    Delete(OnPostArgs),
    /// Like a post.
    Like(OnPostArgs),
    /// Take a like back.
    Unlike(OnPostArgs),
    /// Repost a post, into the feeds of the user's followers.
    Repost(OnPostArgs),
    /// Take a repost back.
    Unrepost(OnPostArgs),
    Show(show::ShowArgs),
    Thread(thread::ThreadArgs),
    Posts(posts::PostsArgs),
    /// Show the users who like a post.
    Likes(OfPostArgs),
    /// Show the users who reposted a post.
    Reposts(OfPostArgs),
    /// Show the replies to a post.
    Replies(OfPostArgs),
    /// Show the quotes of a post.
    Quotes(OfPostArgs),
}

/// The arguments of a list that belongs to a post.
#[derive(Args, Debug)]
pub(super) struct OfPostArgs {
    /// The reader.
    #[arg(value_name = "USER")]
    user_id: String,
    /// The post whose list it is.
    #[arg(value_name = "POST")]
    post_id: String,
    #[command(flatten)]
    paging: PagingArgs,
    #[command(flatten)]
    server: ServerArgs,
}

/// Shows a list that belongs to a post. `$method` fetches its pages.
macro_rules! post_list {
    ($output:expr, $args:expr, $method:ident($request:ident), $verb:expr, $empty:expr) => {{
        let OfPostArgs { user_id, post_id, paging, server } = $args;
        let command = format!("{} {user_id} {post_id}", $verb);
        let hints = ListHints { command, empty: $empty, live: None };
        let call =
            page_call!($method($request { user_id: user_id.clone(), post_id: post_id.clone() }));
        list($output, &server, paging, hints, call).await
    }};
}

impl PostVerb {
    pub(super) async fn run(self, output: &Output) -> Result<(), Error> {
        match self {
            Self::Publish(publish) => publish.run(output).await,
            Self::Reply(reply) => reply.into_reply().run(output).await,
            Self::Quote(quote) => quote.into_quote().run(output).await,
            Self::Delete(OnPostArgs { user_id, post_id, server }) => {
                let predicates = Predicates::new("deleted", "had already deleted");
                let request =
                    v1::DeletePostRequest { user_id: user_id.clone(), post_id: post_id.clone() };
                change!(output, &server, delete_post(request), (&user_id, predicates, &post_id))
            }
            Self::Like(OnPostArgs { user_id, post_id, server }) => {
                let predicates = Predicates::new("now likes", "already likes");
                let request =
                    v1::LikeRequest { user_id: user_id.clone(), post_id: post_id.clone() };
                change!(output, &server, like(request), (&user_id, predicates, &post_id))
            }
            Self::Unlike(OnPostArgs { user_id, post_id, server }) => {
                let predicates = Predicates::new("no longer likes", "did not like");
                let request =
                    v1::UnlikeRequest { user_id: user_id.clone(), post_id: post_id.clone() };
                change!(output, &server, unlike(request), (&user_id, predicates, &post_id))
            }
            Self::Repost(OnPostArgs { user_id, post_id, server }) => {
                let predicates = Predicates::new("reposted", "had already reposted");
                let request =
                    v1::RepostRequest { user_id: user_id.clone(), post_id: post_id.clone() };
                change!(output, &server, repost(request), (&user_id, predicates, &post_id))
            }
            Self::Unrepost(OnPostArgs { user_id, post_id, server }) => {
                let predicates = Predicates::new("took back the repost of", "had not reposted");
                let request =
                    v1::UnrepostRequest { user_id: user_id.clone(), post_id: post_id.clone() };
                change!(output, &server, unrepost(request), (&user_id, predicates, &post_id))
            }
            Self::Show(show) => show.run(output).await,
            Self::Thread(thread) => thread.run(output).await,
            Self::Posts(posts) => posts.run(output).await,
            Self::Likes(args) => {
                post_list!(output, args, list_likes(ListLikesRequest), "likes", "nobody likes it")
            }
            Self::Reposts(args) => {
                let empty = "nobody reposted it";
                post_list!(output, args, list_reposts(ListRepostsRequest), "reposts", empty)
            }
            Self::Replies(args) => {
                let empty = "there are no replies to it";
                post_list!(output, args, list_replies(ListRepliesRequest), "replies", empty)
            }
            Self::Quotes(args) => {
                let empty = "there are no quotes of it";
                post_list!(output, args, list_quotes(ListQuotesRequest), "quotes", empty)
            }
        }
    }
}
