//! A page of Redis that is hydrated: the list has ids only, and what changes after a post was
//! published is read with the page, as every social app does. One round trip for the ids, one for
//! all the rest in one pipeline. It never publishes.

use async_trait::async_trait;
use redis::aio::MultiplexedConnection;
use redis::{AsyncCommands, FromRedisValue, Pipeline, RedisError, Value, cmd};

use super::{Caller, FEED_ITEMS};
use crate::data;
use crate::error::Error;

/// The counts of a post, as fields of a hash.
const COUNTS: [&str; 3] = ["likes", "reposts", "replies"];

/// Calls that read hydrated pages.
pub(super) struct HydratedCalls(pub(super) MultiplexedConnection);

/// Adds to `pipe` what a page needs of a post apart from its text: its counts, and the profile of
/// its author. Gives the entry of the lists, which has the author, so that the profile can be read
/// in the same pipeline as the post.
pub(super) fn load(pipe: &mut Pipeline, post: u64, author: u32) -> String {
    let counts: Vec<(&str, u64)> =
        COUNTS.into_iter().zip([post % 17, post % 5, post % 3]).collect();
    pipe.hset_multiple(format!("counts:{post}"), &counts).ignore();
    let name = data::user_name(author);
    let profile =
        format!(r#"{{"id":"{name}","name":"{name} of the mudflats","avatar":"{name}.jpg"}}"#);
    pipe.set(format!("profile:{author}"), profile).ignore();
    format!("{post}:{author}")
}

#[async_trait]
impl Caller for HydratedCalls {
    async fn publish(&self, _author: u32, _post: u64) -> Result<u64, Error> {
        Err(Error::NotOffered("it publishes as Redis does"))
    }

    async fn feed(&self, user: u32) -> Result<usize, Error> {
        let mut connection = self.0.clone();
        let last = FEED_ITEMS as isize - 1;
        let entries: Vec<String> = connection.lrange(format!("feed:{user}"), 0, last).await?;
        if entries.is_empty() {
            return Ok(0);
        }
        let ids: Vec<(&str, &str)> =
            entries.iter().filter_map(|entry| entry.split_once(':')).collect();
        let mut authors: Vec<&str> = ids.iter().map(|(_, author)| *author).collect();
        authors.sort_unstable();
        authors.dedup();
        let keys = |kind: &str, of: &[&str]| -> Vec<String> {
            of.iter().map(|id| format!("{kind}:{id}")).collect()
        };
        let posts: Vec<&str> = ids.iter().map(|(post, _)| *post).collect();
        let mut pipe = Pipeline::new();
        pipe.mget(keys("post", &posts)).mget(keys("profile", &authors));
        pipe.smismember(format!("likes:{user}"), &posts);
        for counts in keys("counts", &posts) {
            pipe.hmget(counts, &COUNTS);
        }
        let answers: Vec<Value> = pipe.query_async(&mut connection).await?;
        complete(answers, posts.len(), authors.len())
    }

    async fn floor(&self) -> Result<(), Error> {
        Ok(cmd("PING").exec_async(&mut self.0.clone()).await?)
    }
}

/// Parses the answers to a pipeline, as the clients of other systems parse theirs. Gives the number
/// of posts.
///
/// # Errors
/// A part of the page is missing.
fn complete(answers: Vec<Value>, posts: usize, authors: usize) -> Result<usize, Error> {
    let mut answers = answers.into_iter();
    let mut next = || answers.next().unwrap_or(Value::Nil);
    let texts: Vec<String> = parsed(next())?;
    let profiles: Vec<String> = parsed(next())?;
    let likes: Vec<bool> = parsed(next())?;
    let mut counted = 0;
    for counts in answers {
        counted += usize::from(parsed::<Vec<u64>>(counts)?.len() == COUNTS.len());
    }
    let parts = [texts.len(), likes.len(), counted];
    if parts != [posts; 3] || profiles.len() != authors {
        let profiles = profiles.len();
        return Err(Error::Failed(format!("a page has {parts:?} of {posts}, {profiles} profiles")));
    }
    Ok(texts.len())
}

fn parsed<T: FromRedisValue>(answer: Value) -> Result<T, Error> {
    Ok(T::from_redis_value(answer).map_err(RedisError::from)?)
}
