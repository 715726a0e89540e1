//! Clients that keep a list up to date: they read pages, continue with a stream, and apply its
//! events by the rules of the proto and nothing else. After any history, their list equals the
//! pages, down to the end of the pages that they read.

mod cases;
mod client;

use std::time::Duration;

use client::{Client, Paging};
use whimbrel::config::Limits;
use whimbrel::live::Watched;
use whimbrel::model::{Change, Content, Relation};

use crate::harness::core::{Core, post, user};
use crate::oracle::any_change::{any_change, delete, make, name};
use crate::oracle::history::Oracle;

const USERS: usize = 5;
const STEPS: usize = 150;
const CLIENTS_MAX: usize = 12;

/// The changes of a history.
#[derive(Clone, Copy)]
enum Mix {
    /// All kinds of changes.
    Everything,
    /// Posts, reposts, unreposts and deletions only. No event makes a client page again, and the
    /// window of the rule for reposts is often full.
    Reposts,
}

/// With all records in memory.
#[test]
fn kept_lists_match_the_pages() {
    for seed in 0..12 {
        run(seed, Mix::Everything, |change| Core::limited(change));
    }
}

/// Among users who repost and unrepost all the time.
#[test]
fn kept_lists_of_reposts_match_the_pages() {
    for seed in 0..6 {
        run(seed, Mix::Reposts, |change| Core::limited(change));
    }
}

/// With nearly no records in memory, and an index that is written every few events.
#[test]
fn kept_lists_match_the_pages_from_the_index() {
    for (seed, mix) in (100..106).map(|seed| (seed, Mix::Everything)).chain([(1, Mix::Reposts)]) {
        run(seed, mix, |change| {
            Core::indexed(|limits| {
                limits.recent_revisions_per_author_max = 2;
                limits.index_events_max = 5;
                limits.index_write_delay_max = Duration::from_millis(1);
                limits.concurrent_reads_max = 1;
                limits.post_cache_bytes_max = 1 << 10;
                change(limits);
            })
        });
    }
}

fn run(seed: u64, mix: Mix, core: impl FnOnce(&dyn Fn(&mut Limits)) -> Core) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let core = core(&|limits| {
            limits.batch_events_max = 3;
            limits.streams_per_user_max = 64;
        });
        let (random, oracle) = (fastrand::Rng::with_seed(seed), Oracle::default());
        History { random, mix, core, oracle }.run().await;
    });
}

struct History {
    random: fastrand::Rng,
    mix: Mix,
    core: Core,
    oracle: Oracle,
}

impl History {
    async fn run(mut self) {
        if let Mix::Reposts = self.mix {
            for (one, other) in (0..USERS).flat_map(|one| (1..3).map(move |by| (one, one + by))) {
                let (follower, followee) = (user(&name(one)), user(&name(other % USERS)));
                self.make(Change::Follow { follower, followee }).await;
            }
        }
        let before = if let Mix::Reposts = self.mix { 2 * STEPS } else { STEPS / 3 };
        for _ in 0..before {
            self.change().await;
        }
        let mut clients: Vec<Client> = Vec::new();
        for _ in 0..STEPS {
            self.change().await;
            if clients.len() < CLIENTS_MAX && self.random.u8(..3) == 0 {
                let client = self.open().await;
                clients.push(client);
            }
            let engine = self.core.engine();
            if clients.is_empty() {
                continue;
            }
            let number = self.random.usize(..clients.len());
            let client = &mut clients[number];
            match self.random.u8(..4) {
                // Reads only a part, so that later changes overtake it.
                0 => {
                    for _ in 0..self.random.usize(1..5) {
                        client.read_one(engine).await;
                    }
                }
                1 => client.resume(engine),
                2 if self.random.bool() => drop(clients.swap_remove(number)),
                _ => {
                    client.read_all(engine).await;
                    client.check(engine).await;
                }
            }
        }
        for client in &mut clients {
            client.read_all(self.core.engine()).await;
            client.check(self.core.engine()).await;
        }
    }

    async fn open(&mut self) -> Client {
        let name = name(self.random.usize(..USERS));
        let of = match self.random.u8(..3) {
            0 => Watched::Notifications,
            kind => Watched::Feed { all_replies: kind == 1 },
        };
        let paging = Paging { pages: self.random.usize(1..4), items_max: self.random.usize(1..20) };
        let engine = self.core.engine();
        if self.random.u8(..4) == 0 {
            Client::from_snapshot(engine, &name, of, paging.items_max).await
        } else {
            Client::open(engine, &name, of, paging).await
        }
    }

    async fn change(&mut self) {
        let change = loop {
            let change = match self.mix {
                Mix::Everything => any_change(&mut self.random, &self.oracle, USERS),
                Mix::Reposts => self.any_repost(),
            };
            if let Some(change) = change {
                break change;
            }
        };
        self.make(change).await;
    }

    /// A post, or a repost, an unrepost or a deletion of one of the newest.
    fn any_repost(&mut self) -> Option<Change> {
        let by = name(self.random.usize(..USERS));
        let posts = self.oracle.posts();
        let newest = posts.len().saturating_sub(90);
        let target = posts.get(newest + self.random.usize(..(posts.len() - newest).max(1)));
        let target = target.copied().filter(|&post| self.oracle.retracted(post).is_none());
        let kind = self.random.u8(..10);
        if kind < 3 || posts.is_empty() {
            let content = Content::from_text(post("a post"));
            return Some(Change::Publish { author: user(&by), content, request_id: None });
        }
        let target = self.oracle.post_ref(target?);
        let repost = Relation::Repost(user(&by), target.id);
        let is_set = self.oracle.holds(&repost);
        match kind {
            3..=6 if !is_set => Some(self.oracle.change_to(repost, true)),
            7 | 8 if is_set => Some(self.oracle.change_to(repost, false)),
            9 => Some(delete(&self.oracle, target)),
            _ => None,
        }
    }

    async fn make(&mut self, change: Change) {
        let revision = make(self.core.engine(), &change).await;
        assert_eq!(self.oracle.push(change), revision.get());
    }
}
