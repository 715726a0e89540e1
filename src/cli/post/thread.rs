//! `whimbrel thread`.

use std::collections::HashMap;

use clap::Args;

use crate::api::v1;
use crate::api::v1::ThreadPost;
use crate::api::v1::thread_post::{Gap, Shown as State};
use crate::cli::hint;
use crate::cli::json::{Line, Protobuf};
use crate::cli::show::Shown;
use crate::cli::{Error, Output, Target, number};
use crate::client::Client;

/// Show a post with what it answers and what answers it.
#[derive(Args, Debug)]
pub(in crate::cli) struct Thread {
    /// Who reads.
    #[arg(value_name = "USER")]
    user_id: String,
    /// The post to look from.
    #[arg(value_name = "POST")]
    post_id: String,
    /// How many answers deep at most; 0 for the server's default.
    #[arg(long, default_value_t = 0, value_name = "N", value_parser = number::at_least(0_i32))]
    depth_max: i32,
    /// How many replies at most; 0 for the server's default.
    #[arg(long, default_value_t = 0, value_name = "N", value_parser = number::at_least(0_i32))]
    replies_max: i32,
    /// Where to go on: the token that the thread ended with.
    #[arg(long, default_value_t, hide_default_value = true, value_name = "TOKEN")]
    page_token: String,
    #[command(flatten)]
    target: Target,
}

impl Thread {
    pub(super) async fn run(self, output: &Output) -> Result<(), Error> {
        let Self { user_id, post_id, depth_max, replies_max, page_token, target } = self;
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
        let thread = target.call(call).await?;
        output.print(|| text(&thread), || Line("response", Protobuf(&thread)))?;
        if !output.is_json() {
            let (user, token) = (&request.user_id, &thread.next_page_token);
            if !token.is_empty() {
                let id = &request.post_id;
                let go_on =
                    hint::command(&format!("thread {user} {id}"), &format!("--page-token {token}"));
                output.note(&format!("more answers to {id}: {go_on}"));
            }
            for post in thread.replies.iter().filter(|post| post.has_more_replies) {
                let id = &post.post_id;
                let go_on = hint::command(&format!("thread {user} {id}"), "");
                output.note(&format!("more answers to {id}: {go_on}"));
            }
        }
        Ok(())
    }
}

/// What is answered, from the root on; the post, marked; and its answers, each below and to the
/// right of what it answers.
fn text(thread: &v1::GetThreadResponse) -> String {
    let v1::GetThreadResponse { ancestors, post, replies, .. } = thread;
    let mut answers: HashMap<&str, Vec<&ThreadPost>> = HashMap::new();
    for reply in replies {
        answers.entry(&reply.parent_post_id).or_default().push(reply);
    }
    let mut shown: Vec<String> = ancestors.iter().map(post_text).collect();
    let Some(post) = post else { return shown.join("\n") };
    shown.push(format!("> {}", post_text(post)));
    // Those still to be shown, the next of them last.
    let mut left: Vec<&ThreadPost> = answers.remove(post.post_id.as_str()).unwrap_or_default();
    left.reverse();
    while let Some(reply) = left.pop() {
        let indent = "  ".repeat(usize::try_from(reply.depth).unwrap_or_default());
        shown.extend(post_text(reply).lines().map(|line| format!("{indent}{line}")));
        left.extend(answers.remove(reply.post_id.as_str()).unwrap_or_default().iter().rev());
    }
    shown.join("\n")
}

fn post_text(post: &ThreadPost) -> String {
    match &post.shown {
        Some(State::View(view)) => view.text(),
        Some(State::Gap(gap)) => match Gap::try_from(*gap).unwrap_or_default() {
            Gap::Deleted => format!("({} was deleted)", post.post_id),
            Gap::Hidden | Gap::Unspecified => format!("({} cannot be seen)", post.post_id),
        },
        None => format!("({} is not shown)", post.post_id),
    }
}
