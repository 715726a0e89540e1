//! What is kept of each call: its id, its lines in the log, its trace.

mod collector;
mod ids;
mod lines;
mod traces;

use tonic::Request;
use whimbrel::api::v1::{FollowRequest, NewsFeedRequest};

/// A request to follow, with these headers.
fn follow(by: &str, followee: &str, headers: &[(&'static str, &str)]) -> Request<FollowRequest> {
    let message = FollowRequest { user_id: by.to_owned(), followee_id: followee.to_owned() };
    with_headers(message, headers)
}

fn news_feed(of: &str, headers: &[(&'static str, &str)]) -> Request<NewsFeedRequest> {
    with_headers(NewsFeedRequest { user_id: of.to_owned(), ..Default::default() }, headers)
}

fn with_headers<M>(message: M, headers: &[(&'static str, &str)]) -> Request<M> {
    let mut request = Request::new(message);
    for &(name, value) in headers {
        request.metadata_mut().append(name, value.parse().expect("a header"));
    }
    request
}
