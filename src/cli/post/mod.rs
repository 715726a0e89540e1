//! The verbs of the post service, and publishing.

mod posts;
mod publish;
mod show;
mod thread;

use clap::{Args, Subcommand};

use super::change::{OnPost, Words, change};
use super::list::{About, Paging, list, page_of};
use super::{Error, Output, Target};
use crate::api::v1;

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    #[command(visible_alias = "post")]
    Publish(publish::Publish),
    /// Publish a post that answers another.
    Reply(publish::About),
    /// Publish a post that quotes another.
    Quote(publish::About),
    /// Delete a post of the user's.
    Delete(OnPost),
    /// Like a post.
    Like(OnPost),
    /// Take a like back.
    Unlike(OnPost),
    /// Repost a post, into the feeds of the user's followers.
    Repost(OnPost),
    /// Take a repost back.
    Unrepost(OnPost),
    Show(show::Show),
    Thread(thread::Thread),
    Posts(posts::Posts),
    /// Show who likes a post.
    Likes(OfPost),
    /// Show who reposted a post.
    Reposts(OfPost),
    /// Show the posts that answer a post.
    Replies(OfPost),
    /// Show the posts that quote a post.
    Quotes(OfPost),
}

/// A list about a post.
#[derive(Args, Debug)]
pub(super) struct OfPost {
    /// Who reads.
    #[arg(value_name = "USER")]
    user_id: String,
    /// Of which post.
    #[arg(value_name = "POST")]
    post_id: String,
    #[command(flatten)]
    paging: Paging,
    #[command(flatten)]
    target: Target,
}

impl Verb {
    pub(super) async fn run(self, output: &Output) -> Result<(), Error> {
        match self {
            Self::Publish(publish) => publish.run(output).await,
            Self::Reply(about) => about.into_reply().run(output).await,
            Self::Quote(about) => about.into_quote().run(output).await,
            Self::Delete(OnPost { user_id, post_id, target }) => {
                let words = Words::new("deleted", "had already deleted");
                let request =
                    v1::DeletePostRequest { user_id: user_id.clone(), post_id: post_id.clone() };
                change!(output, &target, delete_post(request), (&user_id, words, &post_id))
            }
            Self::Like(OnPost { user_id, post_id, target }) => {
                let words = Words::new("now likes", "already likes");
                let request =
                    v1::LikeRequest { user_id: user_id.clone(), post_id: post_id.clone() };
                change!(output, &target, like(request), (&user_id, words, &post_id))
            }
            Self::Unlike(OnPost { user_id, post_id, target }) => {
                let words = Words::new("no longer likes", "did not like");
                let request =
                    v1::UnlikeRequest { user_id: user_id.clone(), post_id: post_id.clone() };
                change!(output, &target, unlike(request), (&user_id, words, &post_id))
            }
            Self::Repost(OnPost { user_id, post_id, target }) => {
                let words = Words::new("reposted", "had already reposted");
                let request =
                    v1::RepostRequest { user_id: user_id.clone(), post_id: post_id.clone() };
                change!(output, &target, repost(request), (&user_id, words, &post_id))
            }
            Self::Unrepost(OnPost { user_id, post_id, target }) => {
                let words = Words::new("took back the repost of", "had not reposted");
                let request =
                    v1::UnrepostRequest { user_id: user_id.clone(), post_id: post_id.clone() };
                change!(output, &target, unrepost(request), (&user_id, words, &post_id))
            }
            Self::Show(show) => show.run(output).await,
            Self::Thread(thread) => thread.run(output).await,
            Self::Posts(posts) => posts.run(output).await,
            Self::Likes(OfPost { user_id, post_id, paging, target }) => {
                let about = about("likes", &user_id, &post_id, "nobody likes it");
                let call = page_of!(list_likes(ListLikesRequest {
                    user_id: user_id.clone(),
                    post_id: post_id.clone(),
                }));
                list(output, &target, paging, about, call).await
            }
            Self::Reposts(OfPost { user_id, post_id, paging, target }) => {
                let about = about("reposts", &user_id, &post_id, "nobody reposted it");
                let call = page_of!(list_reposts(ListRepostsRequest {
                    user_id: user_id.clone(),
                    post_id: post_id.clone(),
                }));
                list(output, &target, paging, about, call).await
            }
            Self::Replies(OfPost { user_id, post_id, paging, target }) => {
                let about = about("replies", &user_id, &post_id, "nothing answers it");
                let call = page_of!(list_replies(ListRepliesRequest {
                    user_id: user_id.clone(),
                    post_id: post_id.clone(),
                }));
                list(output, &target, paging, about, call).await
            }
            Self::Quotes(OfPost { user_id, post_id, paging, target }) => {
                let about = about("quotes", &user_id, &post_id, "nothing quotes it");
                let call = page_of!(list_quotes(ListQuotesRequest {
                    user_id: user_id.clone(),
                    post_id: post_id.clone(),
                }));
                list(output, &target, paging, about, call).await
            }
        }
    }
}

fn about(verb: &str, user_id: &str, post_id: &str, empty: &'static str) -> About {
    About { command: format!("{verb} {user_id} {post_id}"), empty, live: None }
}
