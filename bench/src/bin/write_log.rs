//! Writes the log of a Whimbrel server of any size, at some hundred thousand events a second: what a
//! server with that many users, follows and posts would have. It never starts a server.
//!
//! The users who act, and whom they follow, are spread over all users without an order, as in a log
//! that has grown. No follow occurs twice. The same arguments make the same events.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use whimbrel::model::{Change, Content, Event, PostText, Revision, Timestamp, UserId};
use whimbrel::runtime::Clock;
use whimbrel::storage::{LocalLog, Log, LogOptions};

/// The same allocator as in Whimbrel.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Events of one batch.
const BATCH_EVENTS: u64 = 20_000;
/// As the server has it by default.
const SEGMENT_BYTES_MAX: u64 = 64 << 20;
/// Age of the events: older than any request id that the server remembers.
const AGE: Duration = Duration::from_secs(48 * 60 * 60);
/// A prime above every number of users, so that its multiples modulo that number are all of them.
const STEP: u64 = 11_400_714_785_074_694_791;

/// Write a log with users, follows and posts into a new data folder.
#[derive(Debug, Parser)]
struct Args {
    /// The data folder, as for `whimbrel serve --data`. It must have no log yet.
    dir: PathBuf,
    /// The number of users. Their names are `user0000000`, `user0000001` and so on.
    #[arg(long, value_parser = clap::value_parser!(u32).range(2..))]
    users: u32,
    /// The number of follows, spread evenly: at most all pairs of two users.
    #[arg(long)]
    follows: u64,
    /// The number of posts, spread evenly.
    #[arg(long)]
    posts: u64,
    /// The length of each post's text in bytes.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(12..=300))]
    text_bytes: u16,
}

/// The events, by their position.
struct Events {
    names: Vec<UserId>,
    args: Args,
    start_ns: u64,
}

fn main() -> ExitCode {
    match write(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("write_log: {error}");
            ExitCode::FAILURE
        }
    }
}

fn write(args: Args) -> Result<(), Box<dyn std::error::Error>> {
    let users = u64::from(args.users);
    if args.follows > users * (users - 1) {
        let most = users * (users - 1);
        return Err(format!("{users} users have at most {most} follows: pass more --users").into());
    }
    let options = LogOptions { disk_free_bytes_min: 1 << 30, segment_bytes_max: SEGMENT_BYTES_MAX };
    let log = LocalLog::open(&args.dir, options)?;
    if log.head() > Revision::ZERO {
        return Err(format!("{} has a log already: name a new folder", args.dir.display()).into());
    }
    let total = args.follows + args.posts;
    let events = Events::new(args)?;
    let mut next = 0;
    while next < total {
        let end = (next + BATCH_EVENTS).min(total);
        log.append(Revision::new(next), (next..end).map(|at| events.event(at)).collect())?;
        next = end;
    }
    Ok(())
}

impl Events {
    fn new(args: Args) -> Result<Self, whimbrel::model::UserIdError> {
        let names = (0..args.users).map(|user| UserId::parse(&format!("user{user:07}")));
        let start = Clock::system().since_epoch().unwrap_or_default().saturating_sub(AGE);
        let start_ns = Timestamp::since_epoch(start).unwrap_or_default().as_nanos();
        Ok(Self { names: names.collect::<Result<_, _>>()?, args, start_ns })
    }

    /// The event at a position from 0 on: posts are spread evenly among the follows.
    fn event(&self, at: u64) -> Event {
        let Args { follows, posts, .. } = self.args;
        let posts_until =
            |at: u64| (u128::from(at) * u128::from(posts) / u128::from(follows + posts)) as u64;
        let post = posts_until(at);
        let change = if posts_until(at + 1) > post {
            let width = usize::from(self.args.text_bytes);
            let text = format!("{post:<width$}");
            let content = Content::from_text(PostText::from_stored(&text));
            Change::Publish {
                author: self.user(spread(post, self.users())),
                content,
                request_id: None,
            }
        } else {
            let (follower, followee) = self.follow(at - post);
            Change::Follow { follower: self.user(follower), followee: self.user(followee) }
        };
        Event::new(Timestamp::from_nanos(self.start_ns + at * 1_000), change)
    }

    /// The users of a follow. In each round everybody follows one more user, as far away as nobody was
    /// before.
    fn follow(&self, follow: u64) -> (u64, u64) {
        let users = self.users();
        let follower = spread(follow, users);
        let distance = 1 + spread(follow / users, users - 1);
        (follower, (follower + distance) % users)
    }

    fn users(&self) -> u64 {
        u64::from(self.args.users)
    }

    fn user(&self, number: u64) -> UserId {
        self.names[number as usize].clone()
    }
}

/// Gives consecutive numbers an order without a pattern: of `of` in a row, each below `of` once.
fn spread(number: u64, of: u64) -> u64 {
    (u128::from(number) * u128::from(STEP) % u128::from(of)) as u64
}
