//! A user who changes something, one call after another, and remembers each answer. A call without an
//! answer stays open: it is made again, with the same request id, before the next.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use whimbrel::api::v1::{
    DeletePostRequest, FollowRequest, LikeRequest, ListFollowingRequest, ListPostsRequest,
    PublishRequest, UnfollowRequest,
};
use whimbrel::client::{Client, Error};

/// A caller's deadline: what is stopped for longer leaves calls open.
const DEADLINE: Duration = Duration::from_secs(2);
/// Between two tries of a call.
const RETRY_DELAY: Duration = Duration::from_millis(20);
/// Users that a writer follows and unfollows.
const FOLLOWEES: u64 = 5;
/// Of a writer that ends none: one page of the comparison.
const FOLLOWEES_MAX: u64 = 50;
/// The largest page.
const PAGE: i32 = 100;

/// A post that was acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Post {
    pub(crate) id: String,
    pub(crate) revision: u64,
    pub(crate) text: String,
    pub(crate) is_liked: bool,
}

/// A deletion that was acknowledged.
#[derive(Clone, Debug)]
pub(crate) struct Deletion {
    pub(crate) post: Post,
    pub(crate) revision: u64,
}

#[derive(Clone, Debug)]
enum Change {
    Publish { number: u64 },
    Like { at: usize },
    Delete { at: usize },
    Follow { followee: u64 },
    Unfollow { followee: u64 },
}

/// A writer and all that was acknowledged to it.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) name: String,
    /// Not deleted, oldest first.
    pub(crate) posts: Vec<Post>,
    pub(crate) deleted: Vec<Deletion>,
    follows: BTreeSet<u64>,
    /// Whether it ends follows.
    pub(crate) takes_back: bool,
    /// Posts that it has asked for.
    published: u64,
    steps: u64,
    /// Made, and not answered.
    open: Option<Change>,
    pub(crate) acknowledged: u64,
}

impl Writer {
    pub(crate) fn new(name: String) -> Self {
        Self {
            name,
            posts: Vec::new(),
            deleted: Vec::new(),
            follows: BTreeSet::new(),
            takes_back: true,
            published: 0,
            steps: 0,
            open: None,
            acknowledged: 0,
        }
    }

    /// Writes until `stop`, or until a call fails: then with its error.
    pub(crate) async fn write(
        &mut self,
        client: &Client,
        count: &Arc<AtomicU64>,
        stop: &CancellationToken,
    ) -> Option<Error> {
        while !stop.is_cancelled() {
            let change = self.open.clone().unwrap_or_else(|| self.next());
            if let Err(error) = self.make(client, change).await {
                return Some(error);
            }
            count.fetch_add(1, Ordering::Relaxed);
        }
        None
    }

    /// As [`Writer::write`], but goes on after errors that may pass: the call is made again.
    pub(crate) async fn write_on(
        &mut self,
        client: &Client,
        count: &Arc<AtomicU64>,
        stop: &CancellationToken,
    ) -> Option<Error> {
        while !stop.is_cancelled() {
            match self.write(client, count, stop).await {
                Some(error) if error.is_transient() => sleep(RETRY_DELAY).await,
                ended => return ended,
            }
        }
        None
    }

    /// Makes the open call again, until it is answered.
    pub(crate) async fn settle(&mut self, client: &Client) -> Result<(), Error> {
        match self.open.clone() {
            Some(change) => self.make(client, change).await,
            None => Ok(()),
        }
    }

    /// Publishes the last post again, which must be answered with the same post.
    pub(crate) async fn repeat(&self, client: &Client) {
        let Some(post) = self.posts.last() else { return };
        let number = post.text.rsplit(' ').next().expect("it ends with its number");
        let number = number.parse().expect("it ends with its number");
        let again = client.publish(self.publication(number)).await.expect("it is answered");
        assert!(again.deduplicated, "{post:?} was published twice");
        assert_eq!(again.post.expect("it has one").post_id, post.id);
    }

    fn next(&mut self) -> Change {
        self.steps += 1;
        let all = if self.takes_back { FOLLOWEES } else { FOLLOWEES_MAX };
        let followee = self.steps / 7 % all;
        match self.steps % 7 {
            3 if !self.posts.is_empty() => Change::Like { at: self.posts.len() - 1 },
            5 if self.posts.len() > 3 => Change::Delete { at: self.posts.len() / 2 },
            6 if self.takes_back && self.follows.contains(&followee) => {
                Change::Unfollow { followee }
            }
            6 => Change::Follow { followee },
            _ => {
                self.published += 1;
                Change::Publish { number: self.published }
            }
        }
    }

    async fn make(&mut self, client: &Client, change: Change) -> Result<(), Error> {
        self.open = Some(change.clone());
        let made = timeout(DEADLINE, self.call(client, change)).await;
        made.unwrap_or(Err(Error::Silent { silence_max: DEADLINE }))?;
        self.open = None;
        self.acknowledged += 1;
        Ok(())
    }

    async fn call(&mut self, client: &Client, change: Change) -> Result<(), Error> {
        let user_id = self.name.clone();
        match change {
            Change::Publish { number } => {
                let published = client.publish(self.publication(number)).await?;
                let post = published.post.expect("it has one");
                assert_eq!(post.text, self.text(number));
                let last = self.posts.last().map_or(0, |last| last.revision);
                assert!(post.revision > last, "{post:?} comes before revision {last}");
                let (id, revision, text) = (post.post_id, post.revision, post.text);
                self.posts.push(Post { id, revision, text, is_liked: false });
            }
            Change::Like { at } => {
                let post_id = self.posts[at].id.clone();
                client.like(LikeRequest { user_id, post_id }).await?;
                self.posts[at].is_liked = true;
            }
            Change::Delete { at } => {
                let post_id = self.posts[at].id.clone();
                let deleted = client.delete_post(DeletePostRequest { user_id, post_id }).await?;
                let post = self.posts.remove(at);
                self.deleted.push(Deletion { post, revision: deleted.revision });
            }
            Change::Follow { followee } => {
                let followee_id = self.followee(followee);
                client.follow(FollowRequest { user_id, followee_id }).await?;
                self.follows.insert(followee);
            }
            Change::Unfollow { followee } => {
                let followee_id = self.followee(followee);
                client.unfollow(UnfollowRequest { user_id, followee_id }).await?;
                self.follows.remove(&followee);
            }
        }
        Ok(())
    }

    /// What the server has is exactly what it acknowledged.
    ///
    /// # Errors
    /// A read is refused: then it has answered nothing wrong.
    pub(crate) async fn compare(&self, client: &Client) -> Result<(), Error> {
        let mut posts = Vec::new();
        let mut page_token = String::new();
        loop {
            let (user_id, author_id) = (self.name.clone(), self.name.clone());
            let page = ListPostsRequest {
                user_id,
                author_id,
                page_size: PAGE,
                page_token,
                ..Default::default()
            };
            let page = client.list_posts(page).await?;
            posts.extend(page.items.into_iter().map(|item| {
                let is_liked = item.viewer.expect("pages have it").liked;
                let post = item.post.expect("an item has one");
                let (id, revision, text) = (post.post_id, post.revision, post.text);
                Post { id, revision, text, is_liked }
            }));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        posts.reverse();
        // The whole lists would fill a screen.
        for (at, (found, expected)) in posts.iter().zip(&self.posts).enumerate() {
            assert_eq!(found, expected, "post {at} of {}, newest last", self.name);
        }
        assert_eq!(posts.len(), self.posts.len(), "posts of {}", self.name);
        let (user_id, of_user_id) = (self.name.clone(), self.name.clone());
        let following =
            ListFollowingRequest { user_id, of_user_id, page_size: PAGE, ..Default::default() };
        let following = client.list_following(following).await?.users;
        let following: BTreeSet<_> = following.into_iter().map(|user| user.user_id).collect();
        let expected = self.follows.iter().map(|followee| self.followee(*followee)).collect();
        assert_eq!(following, expected, "whom {} follows", self.name);
        Ok(())
    }

    fn publication(&self, number: u64) -> PublishRequest {
        PublishRequest {
            user_id: self.name.clone(),
            text: self.text(number),
            request_id: format!("{} {number}", self.name),
            ..Default::default()
        }
    }

    fn text(&self, number: u64) -> String {
        format!("from {} number {number}", self.name)
    }

    fn followee(&self, followee: u64) -> String {
        format!("{}-likes-{followee}", self.name)
    }
}
