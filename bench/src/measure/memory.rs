//! The memory of a Whimbrel server by what it is for: an empty server, a user, a follow, a watcher; and
//! of one that has all of it. No peer is measured here, and no call.

use std::sync::Arc;

use tokio::time::sleep;

use super::{Run, Stand};
use crate::data::Data;
use crate::error::Error;
use crate::machine;
use crate::peer::{Kind, restart_in_order};
use crate::watchers::{Watch, Watchers};

/// Follows of each user, in the server with few and in the one with more.
const FOLLOWS_EACH: (u32, u32) = (1, 11);
/// The share of the watchers who have a connection of their own.
const OWN_SHARE: u32 = 10;

pub(super) async fn measure(run: &mut Run) {
    if run.kinds_of(&[Kind::Whimbrel]).is_empty() {
        return;
    }
    let users = run.sizes.memory_users;
    let measured = by_kind(run).await;
    run.note("memory", Kind::Whimbrel, f64::from(users), measured);
}

async fn by_kind(run: &Run) -> Result<Vec<(&'static str, f64)>, Error> {
    let users = run.sizes.memory_users;
    let of_users = |each| Data { posts: users.into(), ..Data::ring(users, each) };
    let empty = memory(run, &start(run, &Data::default()).await?).await;
    let fewer = memory(run, &start(run, &of_users(FOLLOWS_EACH.0)).await?).await;
    let stand = start(run, &of_users(FOLLOWS_EACH.1)).await?;
    let more = memory(run, &stand).await;

    let shared = run.sizes.watchers.min(users);
    let own = (shared / OWN_SHARE).max(1);
    let shared_watching = watch(&stand, shared, run.sizes.shared_connections).await?;
    let watched = memory(run, &stand).await;
    let own_watching = watch(&stand, own, own as usize).await?;
    let total = memory(run, &stand).await;
    drop((shared_watching, own_watching));

    let count = f64::from(users);
    let (few, many) = (f64::from(FOLLOWS_EACH.0), f64::from(FOLLOWS_EACH.1));
    let follow = (more - fewer) / (count * (many - few));
    Ok(vec![
        ("empty_bytes", empty),
        ("user_bytes", (fewer - empty) / count - few * follow),
        ("follow_bytes", follow),
        ("shared_watcher_bytes", (watched - more) / f64::from(shared)),
        ("own_watcher_bytes", (total - watched) / f64::from(own)),
        ("total_bytes", total),
        ("users", count),
        ("follows", count * many),
        ("shared_watchers", shared.into()),
        ("own_watchers", own.into()),
    ])
}

/// A server with `data`, restarted, so that memory that only the loading needed does not count.
async fn start(run: &Run, data: &Data) -> Result<Stand, Error> {
    let system = Kind::Whimbrel.start(&run.programs, data).await?;
    restart_in_order(&*system).await?;
    // One call first, so that memory that is needed only once does not count.
    for caller in system.callers(1).await? {
        caller.floor().await?;
    }
    Ok(Stand { kind: Kind::Whimbrel, system })
}

async fn memory(run: &Run, stand: &Stand) -> f64 {
    sleep(run.sizes.settle).await;
    machine::memory_bytes(stand.system.server().pid())
}

async fn watch(stand: &Stand, watchers: u32, connections: usize) -> Result<Watchers, Error> {
    let watch = |user| Watch { user, authors: Arc::default(), cursor: None };
    Watchers::open(&stand.system, (0..watchers).map(watch).collect(), connections).await
}
