//! The writers: authors who publish, reply, repost and delete, and users who follow, block and
//! mute.

use whimbrel::api::v1::feed_service_client::FeedServiceClient;
use whimbrel::api::v1::graph_service_client::GraphServiceClient;
use whimbrel::api::v1::post_service_client::PostServiceClient;
use whimbrel::api::v1::{
    BlockRequest, DeletePostRequest, FollowRequest, MuteRequest, PublishRequest, PublishResponse,
    RepostRequest, UnblockRequest, UnfollowRequest, UnmuteRequest, UnrepostRequest,
};

use super::{AUTHORS, Acknowledged, GRAPH_CHANGES_PER_USER, POSTS_PER_AUTHOR, Shared};

/// Only so many of the newest posts get replies and reposts.
const RECENT: usize = 30;

/// The relations of a user to an author.
#[derive(Clone, Copy, Debug, Default)]
struct Relations {
    follows: bool,
    blocks: bool,
    mutes: bool,
}

impl Shared {
    /// Publishes posts and replies, and between them reposts, unreposts and deletes.
    pub(super) async fn publish(&self, author: usize) -> Acknowledged {
        let mut random = fastrand::Rng::with_seed(self.conditions.seed << 24 | author as u64);
        let user_id = format!("author{author}");
        let mut acknowledged = Acknowledged::default();
        let mut own = Vec::new();
        let mut reposted = Vec::new();
        for number in 0..POSTS_PER_AUTHOR {
            let any = self.any_post(&mut random);
            let parent = any.clone().filter(|_| random.u8(..) < 64);
            let request = PublishRequest {
                user_id: user_id.clone(),
                text: format!("post {number} of {user_id}"),
                request_id: format!("{number}"),
                reply_to_post_id: parent.unwrap_or_default(),
                ..PublishRequest::default()
            };
            let published = match self.publish_once(&request).await {
                Some(published) => published,
                // The parent was deleted.
                None => {
                    let request =
                        PublishRequest { reply_to_post_id: String::new(), ..request.clone() };
                    self.publish_once(&request).await.expect("it is no reply")
                }
            };
            let post = published.post.unwrap();
            own.push(post.post_id.clone());
            self.post_ids.lock().unwrap().push(post.post_id);
            acknowledged.posts.push((request.user_id, request.text, post.revision));
            if author == 0 {
                self.posts.send_replace(number + 1);
            }

            let tick = self.tick();
            let mut changes = Vec::new();
            if let Some(post) = any.filter(|_| random.u8(..) < 80) {
                changes.extend(self.repost(&user_id, &post).await);
                reposted.push(post);
            }
            if !reposted.is_empty() && random.u8(..) < 24 {
                let post = reposted.swap_remove(random.usize(..reposted.len()));
                changes.extend(self.unrepost(&user_id, &post).await);
            }
            if random.u8(..) < 16 {
                let post = own.swap_remove(random.usize(..own.len()));
                changes.extend(self.delete_post(&user_id, &post).await);
            }
            acknowledged.requested.extend(changes.into_iter().map(|revision| (revision, tick)));
        }
        acknowledged
    }

    /// One of the newest posts.
    fn any_post(&self, random: &mut fastrand::Rng) -> Option<String> {
        let post_ids = self.post_ids.lock().unwrap();
        random.choice(&post_ids[post_ids.len().saturating_sub(RECENT)..]).cloned()
    }

    async fn publish_once(&self, request: &PublishRequest) -> Option<PublishResponse> {
        self.until_answered(|channel| {
            let request = request.clone();
            async move { FeedServiceClient::new(channel).publish(request).await }
        })
        .await
    }

    /// Sets and ends follows, blocks and mutes of authors.
    pub(super) async fn change_graph(&self, user: usize) -> Acknowledged {
        let mut random = fastrand::Rng::with_seed(self.conditions.seed << 8 | user as u64);
        let mut acknowledged = Acknowledged::default();
        let user = format!("user{user}");
        let mut relations = [Relations::default(); AUTHORS];
        for _ in 0..GRAPH_CHANGES_PER_USER {
            let author = random.usize(..AUTHORS);
            let (it, author) = (&mut relations[author], format!("author{author}"));
            let tick = self.tick();
            let revision = match random.u8(..10) {
                0 => {
                    it.blocks = !it.blocks;
                    it.follows = false;
                    match it.blocks {
                        true => self.block(&user, &author).await,
                        false => self.unblock(&user, &author).await,
                    }
                }
                1 | 2 => {
                    it.mutes = !it.mutes;
                    match it.mutes {
                        true => self.mute(&user, &author).await,
                        false => self.unmute(&user, &author).await,
                    }
                }
                _ if it.blocks => None,
                _ => {
                    it.follows = !it.follows;
                    match it.follows {
                        true => self.follow(&user, &author).await,
                        false => self.unfollow(&user, &author).await,
                    }
                }
            };
            acknowledged.requested.extend(revision.map(|revision| (revision, tick)));
        }
        acknowledged
    }

    async fn repost(&self, user: &str, post: &str) -> Option<u64> {
        let request = RepostRequest { user_id: user.to_owned(), post_id: post.to_owned() };
        let done = self.until_answered(|channel| {
            let request = request.clone();
            async move { PostServiceClient::new(channel).repost(request).await }
        });
        done.await.filter(|done| done.changed).map(|done| done.revision)
    }

    async fn unrepost(&self, user: &str, post: &str) -> Option<u64> {
        let request = UnrepostRequest { user_id: user.to_owned(), post_id: post.to_owned() };
        let done = self.until_answered(|channel| {
            let request = request.clone();
            async move { PostServiceClient::new(channel).unrepost(request).await }
        });
        done.await.filter(|done| done.changed).map(|done| done.revision)
    }

    async fn delete_post(&self, user: &str, post: &str) -> Option<u64> {
        let request = DeletePostRequest { user_id: user.to_owned(), post_id: post.to_owned() };
        let done = self.until_answered(|channel| {
            let request = request.clone();
            async move { PostServiceClient::new(channel).delete_post(request).await }
        });
        done.await.filter(|done| done.changed).map(|done| done.revision)
    }

    pub(super) async fn follow(&self, user: &str, other: &str) -> Option<u64> {
        let request = FollowRequest { user_id: user.to_owned(), followee_id: other.to_owned() };
        let done = self.until_answered(|channel| {
            let request = request.clone();
            async move { FeedServiceClient::new(channel).follow(request).await }
        });
        done.await.filter(|done| done.changed).map(|done| done.revision)
    }

    async fn unfollow(&self, user: &str, other: &str) -> Option<u64> {
        let request = UnfollowRequest { user_id: user.to_owned(), followee_id: other.to_owned() };
        let done = self.until_answered(|channel| {
            let request = request.clone();
            async move { FeedServiceClient::new(channel).unfollow(request).await }
        });
        done.await.filter(|done| done.changed).map(|done| done.revision)
    }

    async fn block(&self, user: &str, other: &str) -> Option<u64> {
        let request = BlockRequest { user_id: user.to_owned(), blocked_id: other.to_owned() };
        let done = self.until_answered(|channel| {
            let request = request.clone();
            async move { GraphServiceClient::new(channel).block(request).await }
        });
        done.await.filter(|done| done.changed).map(|done| done.revision)
    }

    async fn unblock(&self, user: &str, other: &str) -> Option<u64> {
        let request = UnblockRequest { user_id: user.to_owned(), blocked_id: other.to_owned() };
        let done = self.until_answered(|channel| {
            let request = request.clone();
            async move { GraphServiceClient::new(channel).unblock(request).await }
        });
        done.await.filter(|done| done.changed).map(|done| done.revision)
    }

    async fn mute(&self, user: &str, other: &str) -> Option<u64> {
        let request = MuteRequest { user_id: user.to_owned(), muted_id: other.to_owned() };
        let done = self.until_answered(|channel| {
            let request = request.clone();
            async move { GraphServiceClient::new(channel).mute(request).await }
        });
        done.await.filter(|done| done.changed).map(|done| done.revision)
    }

    async fn unmute(&self, user: &str, other: &str) -> Option<u64> {
        let request = UnmuteRequest { user_id: user.to_owned(), muted_id: other.to_owned() };
        let done = self.until_answered(|channel| {
            let request = request.clone();
            async move { GraphServiceClient::new(channel).unmute(request).await }
        });
        done.await.filter(|done| done.changed).map(|done| done.revision)
    }
}
