//! An index whose file is damaged, before the built program: in the end it starts, and whatever is
//! read is what the log says.

use whimbrel::api::v1::{FollowRequest, NewsFeedRequest, PublishRequest};
use whimbrel::client::{Client, Error};

use crate::process::ServerProcess;

const USERS: usize = 6;

/// Bytes that are not what was written, anywhere: what is read is what the log says. Opening such
/// a file can end the program, which then begins without it after a few starts.
#[test]
fn a_damaged_index_is_made_anew() {
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
        // Starts may die, and reads be refused; but what is read is right, and in the end all is.
        let read = (0..5).find_map(|_| {
            let server = ServerProcess::try_start(folder.path())?;
            runtime().block_on(read_feeds(&server)).ok()
        });
        assert!(read.expect("the index is given up") == expected, "attempt {attempt}");
    }
}

/// After starts that died while they opened the index, the next does without it.
#[test]
fn an_index_that_kills_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let mark = folder.path().join("index.opening");
    let expected = runtime().block_on(async {
        let server = ServerProcess::start(folder.path());
        make_feeds(&server).await;
        let feeds = read_feeds(&server).await.unwrap();
        assert_eq!(server.terminated().await.0, Some(0));
        feeds
    });
    for (died, given_up) in [(1, false), (2, true), (0, false)] {
        std::fs::write(&mark, vec![b'.'; died]).unwrap();
        let (feeds, said) = runtime().block_on(async {
            let server = ServerProcess::start_for_few(folder.path(), 10);
            assert!(!mark.exists(), "it is open");
            let feeds = read_feeds(&server).await.unwrap();
            (feeds, server.terminated().await.1)
        });
        assert_eq!(feeds, expected);
        assert_eq!(said.contains("index thrown away"), given_up, "{died}: {said}");
    }
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
        let publish = PublishRequest { author_id: one, text, ..PublishRequest::default() };
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
