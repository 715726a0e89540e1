//! `whimbrel thread`.

use std::collections::HashMap;

use clap::Args;
use serde_json::{Value, json};

use crate::api::v1;
use crate::api::v1::ThreadPost;
use crate::api::v1::thread_post::{Gap, Shown as View};
use crate::cli::show::Shown;
use crate::cli::{Error, Output, Target};
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
    #[arg(long, default_value_t = 0, value_name = "N")]
    depth_max: i32,
    /// How many replies at most; 0 for the server's default.
    #[arg(long, default_value_t = 0, value_name = "N")]
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
        output.print(|| text(&thread), || thread_json(&thread))?;
        if !output.is_json() {
            let (user, token) = (&request.user_id, &thread.next_page_token);
            if !token.is_empty() {
                let id = &request.post_id;
                let go_on = format!("whimbrel thread {user} {id} --page-token {token}");
                output.note(&format!("more answers to {id}: {go_on}"));
            }
            for post in thread.replies.iter().filter(|post| post.has_more_replies) {
                let id = &post.post_id;
                output.note(&format!("more answers to {id}: whimbrel thread {user} {id}"));
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
        Some(View::View(view)) => view.text(),
        Some(View::Gap(gap)) => match Gap::try_from(*gap).unwrap_or_default() {
            Gap::Deleted => format!("({} was deleted)", post.post_id),
            Gap::Hidden | Gap::Unspecified => format!("({} cannot be seen)", post.post_id),
        },
        None => format!("({} is not shown)", post.post_id),
    }
}

fn thread_json(thread: &v1::GetThreadResponse) -> Value {
    let all = |posts: &[ThreadPost]| posts.iter().map(post_json).collect::<Vec<_>>();
    json!({
        "ancestors": all(&thread.ancestors),
        "post": thread.post.as_ref().map(post_json),
        "replies": all(&thread.replies),
        "cursor": thread.cursor,
        "next_page_token": thread.next_page_token,
    })
}

fn post_json(post: &ThreadPost) -> Value {
    let (name, shown) = match &post.shown {
        Some(View::View(view)) => ("view", view.json()),
        Some(View::Gap(gap)) => {
            let gap = Gap::try_from(*gap).unwrap_or_default();
            ("gap", json!(gap.as_str_name().trim_start_matches("GAP_")))
        }
        None => ("view", Value::Null),
    };
    json!({
        "post_id": post.post_id,
        "parent_post_id": post.parent_post_id,
        "depth": post.depth,
        name: shown,
        "has_more_replies": post.has_more_replies,
    })
}
