//! A damaged index, with the built program: in the end it starts, and every read agrees with the
//! log.

use tonic::{Code, Status};
use whimbrel::api::v1::{FollowRequest, NewsFeedRequest, PublishRequest};
use whimbrel::client::{Client, Error};

use crate::harness::{Setup, TestServer, eventually};
use crate::server::process::ServerProcess;

const USERS: usize = 6;

/// Damaged bytes anywhere. Opening such a file may crash the program, which then starts without it.
#[test]
fn a_damaged_index_is_rebuilt() {
    let mut random = fastrand::Rng::with_seed(1);
    let folder = tempfile::tempdir().unwrap();
    let expected = runtime().block_on(async {
        let server = ServerProcess::start(folder.path());
        make_feeds(&server).await;
        let feeds = read_feeds(&server).await.unwrap();
        assert_eq!(server.terminated().await.0, Some(0));
        feeds
    });
    let file = folder.path().join("index.redb");
    let whole = std::fs::read(&file).unwrap();
    for attempt in 0..20 {
        let mut damaged = whole.clone();
        match attempt % 5 {
            0 => damaged.truncate(random.usize(1..whole.len())),
            1 => random.fill(&mut damaged[..]),
            _ => {
                for _ in 0..random.usize(1..2_000) {
                    damaged[random.usize(..whole.len())] ^= random.u8(1..);
                }
            }
        }
        std::fs::write(&file, damaged).unwrap();
        // Starts may crash and reads may be refused, but every answer is right, and in the end all
        // reads succeed.
        let read = (0..5).find_map(|_| {
            let server = ServerProcess::try_start(folder.path())?;
            runtime().block_on(read_feeds(&server)).ok()
        });
        assert!(
            read.expect("the server starts without the index") == expected,
            "attempt {attempt}"
        );
    }
}

/// A running server finds the damage by reads. They are refused with a delay, and health reports
/// it. Soon all reads succeed again, in the same process.
#[test]
fn a_damaged_index_is_repaired_while_the_server_runs() {
    let mut random = fastrand::Rng::with_seed(5);
    let mut refused = 0;
    for _ in 0..6 {
        refused += runtime().block_on(read_after_damage(&mut random));
    }
    assert!(refused > 0, "no damage was found by a read");
}

/// Returns the number of refused reads.
async fn read_after_damage(random: &mut fastrand::Rng) -> usize {
    // Little is in memory, so most reads need the index.
    let setup = Setup::new().limits(|limits| {
        limits.recent_revisions_per_author_max = 1;
        limits.post_cache_bytes_max = 1;
        // Without a cache every read goes to the disk.
        limits.index_cache_bytes = 0;
    });
    let mut server = setup.start().await;
    for number in 0..40 {
        let author = server.user(&user(number));
        author.tries_to_publish(&format!("post {number}"), "").await.unwrap();
        if number < USERS {
            for other in (0..USERS).filter(|&other| other != number) {
                author.tries_to_follow(&user(other)).await.unwrap();
            }
        }
    }
    let expected = feeds(&server).await.unwrap();
    let file = server.folder().path().join("index.redb");
    // The server reads the same file, so it sees the damage.
    server.restart().await;
    let mut damaged = std::fs::read(&file).unwrap();
    // The first pages locate the others.
    for at in (16_384..damaged.len()).step_by(8) {
        damaged[at] ^= random.u8(..);
    }
    std::fs::write(&file, damaged).unwrap();

    let mut refused = 0;
    let repaired = eventually("the index to be repaired", async || match feeds(&server).await {
        Ok(feeds) => Some(feeds),
        Err(status) => {
            crate::harness::refused(Err::<(), _>(status))
                .with(Code::Unavailable, "INDEX_LOST")
                .with_a_delay();
            refused += 1;
            None
        }
    })
    .await;
    assert_eq!(repaired, expected);
    server.user("late").tries_to_publish("still here", "").await.unwrap();
    server.stop().await;
    refused
}

/// All feeds.
async fn feeds(server: &TestServer) -> Result<Vec<Vec<String>>, Status> {
    let mut feeds = Vec::new();
    for number in 0..USERS {
        let request = NewsFeedRequest { page_size: 100, ..NewsFeedRequest::default() };
        let page = server.user(&user(number)).tries_to_read(request).await?;
        let posts = page.items.into_iter().filter_map(|item| item.post);
        feeds.push(posts.map(|post| post.text).collect());
    }
    Ok(feeds)
}

/// Follows and posts of some users.
async fn make_feeds(server: &ServerProcess) {
    let client = Client::connect(&server.address().to_string()).await.unwrap();
    for number in 0..300 {
        let (one, other) = (user(number), user(number % 4));
        if one != other && number < 60 {
            let follow = FollowRequest { user_id: one.clone(), followee_id: other };
            client.follow(follow).await.unwrap();
        }
        let text = format!("post {number}");
        let publish = PublishRequest { user_id: one, text, ..PublishRequest::default() };
        client.publish(publish).await.unwrap();
    }
}

/// The texts of all users' feeds.
async fn read_feeds(server: &ServerProcess) -> Result<Vec<Vec<String>>, Error> {
    let client = Client::connect(&server.address().to_string()).await.unwrap();
    let mut feeds = Vec::new();
    for number in 0..USERS {
        let mut request =
            NewsFeedRequest { user_id: user(number), page_size: 100, ..NewsFeedRequest::default() };
        let mut texts = Vec::new();
        loop {
            let page = client.news_feed(request.clone()).await?;
            let posts = page.items.into_iter().filter_map(|item| item.post);
            texts.extend(posts.map(|post| post.text));
            request.page_token = page.next_page_token;
            if request.page_token.is_empty() {
                break;
            }
        }
        feeds.push(texts);
    }
    Ok(feeds)
}

fn user(number: usize) -> String {
    format!("user{}", number % USERS)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}
