//! Cost of a follow, measured alike for all systems: the memory (by the kernel's account) and disk of
//! users with twice as many follows, less those with once as many. The cost of the users themselves
//! never counts.

use std::sync::Arc;

use tokio::time::sleep;

use super::Run;
use crate::data::Data;
use crate::error::Error;
use crate::machine;
use crate::peer::{Kind, System, restart_in_order};
use crate::watchers::{Watch, Watchers};

/// Systems that store follows, and NATS core, to which a follow is a subscription of a watcher who
/// is connected.
const KINDS: [Kind; 5] = [Kind::Whimbrel, Kind::Nats, Kind::Redis, Kind::Postgres, Kind::Axum];

/// What a system takes.
struct Held {
    memory: f64,
    disk: f64,
    /// The follows as the system itself counts them.
    follows: Option<f64>,
}

pub(super) async fn measure(run: &mut Run) {
    for kind in run.kinds_of(&KINDS) {
        let measured = slope(run, kind).await;
        let edges = run.sizes.edges_users * run.sizes.edges_each.1;
        run.note("edges", kind, f64::from(edges), measured);
    }
}

async fn slope(run: &Run, kind: Kind) -> Result<Vec<(&'static str, f64)>, Error> {
    let (fewer, more) = run.sizes.edges_each;
    let (lesser, greater) = (held(run, kind, fewer).await?, held(run, kind, more).await?);
    let edges = f64::from(run.sizes.edges_users) * f64::from(more - fewer);
    let mut figures = vec![("memory_bytes_each", (greater.memory - lesser.memory) / edges)];
    if kind.keeps() {
        figures.push(("disk_bytes_each", (greater.disk - lesser.disk) / edges));
    }
    if let Some((fewer, more)) = lesser.follows.zip(greater.follows) {
        figures.push(("relation_bytes_each", (more - fewer) / edges));
    }
    Ok(figures)
}

/// What a server takes whose users have `followees` each.
async fn held(run: &Run, kind: Kind, followees: u32) -> Result<Held, Error> {
    let data = Data::ring(run.sizes.edges_users, followees);
    let system = kind.start(&run.programs, &data).await?;
    drop(data);
    system.save().await?;
    let mut watching = None;
    if kind.keeps() {
        // Memory that only the loading needed does not count.
        restart_in_order(&*system).await?;
    } else if kind == Kind::Nats {
        watching = Some(subscribe(run, &system, followees).await?);
    }
    sleep(run.sizes.settle).await;
    let memory = machine::memory_bytes(system.server().pid());
    drop(watching);
    let disk = machine::disk_bytes(&system.tables()) as f64;
    Ok(Held { memory, disk, follows: system.follows_bytes().await? })
}

/// All users as watchers, with a subscription for each of their followees.
async fn subscribe(run: &Run, system: &Arc<dyn System>, followees: u32) -> Result<Watchers, Error> {
    let users = run.sizes.edges_users;
    let watch = |user: u32| Watch {
        user,
        authors: (1..=followees).map(|step| (user + step) % users).collect(),
        cursor: None,
    };
    Watchers::open(system, (0..users).map(watch).collect(), run.sizes.shared_connections).await
}
