//! `whimbrel thread`. Never fetches more than one response.

use std::collections::HashMap;

use clap::Args;

use crate::api::v1;
use crate::api::v1::ThreadPost;
use crate::api::v1::thread_post::{GapReason, Shown};
use crate::cli::hint;
use crate::cli::json::{JsonLine, ProtoJson};
use crate::cli::text::AsText;
use crate::cli::{Error, Output, ServerArgs, number};
use crate::client::Client;

/// Show a post with its ancestors and its replies.
#[derive(Args, Debug)]
pub(in crate::cli) struct ThreadArgs {
    /// The reader.
    #[arg(value_name = "USER")]
    user_id: String,
    /// The post.
    #[arg(value_name = "POST")]
    post_id: String,
    /// Most levels of replies; 0 for the server's default.
    #[arg(long, default_value_t = 0, value_name = "N", value_parser = number::at_least(0_i32))]
    depth_max: i32,
    /// Most replies; 0 for the server's default.
    #[arg(long, default_value_t = 0, value_name = "N", value_parser = number::at_least(0_i32))]
    replies_max: i32,
    /// Show the replies after an earlier part, by the token at the end of that.
    #[arg(long, default_value_t, hide_default_value = true, value_name = "TOKEN")]
    page_token: String,
    #[command(flatten)]
    server: ServerArgs,
}

impl ThreadArgs {
    pub(super) async fn run(self, output: &Output) -> Result<(), Error> {
        let Self { user_id, post_id, depth_max, replies_max, page_token, server } = self;
        let request = v1::GetThreadRequest {
            user_id,
            post_id,
            depth_max,
            replies_max,
            page_token,
            ..v1::GetThreadRequest::default()
        };
        let call = |client: Client| {
            let request = request.clone();
            async move { client.get_thread(request).await }
        };
        let thread = server.call(call).await?;
        output.print(|| text(&thread), || JsonLine("response", ProtoJson(&thread)))?;
        if !output.is_for_machines() {
            let (user, token) = (&request.user_id, &thread.next_page_token);
            if !token.is_empty() {
                let id = &request.post_id;
                let next =
                    hint::command(&format!("thread {user} {id}"), &format!("--page-token {token}"));
                output.note(&format!("more replies to {id}: {next}"));
            }
            for post in thread.replies.iter().filter(|post| post.has_more_replies) {
                let id = &post.post_id;
                let next = hint::command(&format!("thread {user} {id}"), "");
                output.note(&format!("more replies to {id}: {next}"));
            }
        }
        Ok(())
    }
}

/// The ancestors from the root on; the post, marked with `>`; and its replies, each below its
/// parent and indented by its depth.
fn text(thread: &v1::GetThreadResponse) -> String {
    let v1::GetThreadResponse { ancestors, post, replies, .. } = thread;
    let mut by_parent: HashMap<&str, Vec<&ThreadPost>> = HashMap::new();
    for reply in replies {
        by_parent.entry(&reply.parent_post_id).or_default().push(reply);
    }
    let mut lines: Vec<String> = ancestors.iter().map(post_text).collect();
    let Some(post) = post else { return lines.join("\n") };
    lines.push(format!("> {}", post_text(post)));
    // A stack: the next reply to print is the last.
    let mut stack: Vec<&ThreadPost> = by_parent.remove(post.post_id.as_str()).unwrap_or_default();
    stack.reverse();
    while let Some(reply) = stack.pop() {
        let indent = "  ".repeat(usize::try_from(reply.depth).unwrap_or_default());
        lines.extend(post_text(reply).lines().map(|line| format!("{indent}{line}")));
        stack.extend(by_parent.remove(reply.post_id.as_str()).unwrap_or_default().iter().rev());
    }
    lines.join("\n")
}

fn post_text(post: &ThreadPost) -> String {
    match &post.shown {
        Some(Shown::View(view)) => view.text(),
        Some(Shown::Gap(gap)) => match GapReason::try_from(*gap).unwrap_or_default() {
            GapReason::Deleted => format!("({} was deleted)", post.post_id),
            GapReason::Hidden | GapReason::Unspecified => {
                format!("({} cannot be seen)", post.post_id)
            }
        },
        None => format!("({} is not shown)", post.post_id),
    }
}
