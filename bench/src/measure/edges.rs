//! Cost of a follow: the memory and disk of users with twice as many follows, less those with once
//! as many. The cost of the users themselves never counts.

use tokio::time::sleep;

use super::Run;
use crate::data::Data;
use crate::error::Error;
use crate::machine;
use crate::peer::{Kind, restart_in_order};

/// Systems that store follows.
const KINDS: [Kind; 4] = [Kind::Whimbrel, Kind::Redis, Kind::Postgres, Kind::Axum];

pub(super) async fn measure(run: &mut Run) {
    for kind in run.kinds_of(&KINDS) {
        let measured = slope(run, kind).await;
        let edges = run.sizes.edges_users * run.sizes.edges_each.1;
        run.note("edges", kind, f64::from(edges), measured);
    }
}

async fn slope(run: &Run, kind: Kind) -> Result<Vec<(&'static str, f64)>, Error> {
    let (fewer, more) = run.sizes.edges_each;
    let (memory, disk) = held(run, kind, fewer).await?;
    let (memory_more, disk_more) = held(run, kind, more).await?;
    let edges = f64::from(run.sizes.edges_users) * f64::from(more - fewer);
    let mut figures = Vec::new();
    if kind != Kind::Postgres {
        // Its memory is buffers of a fixed size.
        figures.push(("memory_bytes_each", (memory_more - memory) / edges));
    }
    if kind.keeps() {
        figures.push(("disk_bytes_each", (disk_more - disk) / edges));
    }
    Ok(figures)
}

/// Memory and disk of a server whose users have `followees` each.
async fn held(run: &Run, kind: Kind, followees: u32) -> Result<(f64, f64), Error> {
    let data = Data::ring(run.sizes.edges_users, followees);
    let system = kind.start(&run.programs, &data).await?;
    system.save().await?;
    if kind.keeps() {
        // Memory that only the loading needed does not count.
        restart_in_order(&*system).await?;
    }
    sleep(run.sizes.settle).await;
    let memory = machine::memory_bytes(system.server().pid());
    Ok((memory, machine::disk_bytes(&system.tables()) as f64))
}
