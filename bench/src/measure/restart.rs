//! Restarts after a kill: the time from the start of the process until it answers a read. Never
//! measures a system that stores nothing.

use super::{Run, Stand};
use crate::data::Data;
use crate::error::Error;
use crate::peer::{Kind, restart_in_order, restart_killed};

/// Systems that store their data. JetStream's files do not depend on its flushes, and half a
/// million flushes would only take time.
const KINDS: [Kind; 5] =
    [Kind::Whimbrel, Kind::Jetstream, Kind::Redis, Kind::RedisSync, Kind::Postgres];
/// Followees of each user.
const FOLLOWEES: u32 = 10;

pub(super) async fn measure(run: &mut Run) {
    let each = run.sizes.restart_each;
    let ring = Data::ring(each / FOLLOWEES, FOLLOWEES);
    let data = Data { posts: u64::from(each), ..ring };
    for kind in run.kinds_of(&KINDS) {
        for stand in run.start("restart", &[kind], &data).await {
            if let Err(error) = prepare(&stand).await {
                run.failed("restart", kind, f64::from(each), &error);
                continue;
            }
            for _ in 0..run.sizes.rounds {
                let measured = restart_killed(&*stand.system).await;
                let figures = measured.map(|took| vec![("seconds", took.as_secs_f64())]);
                run.note("restart", kind, f64::from(each), figures);
            }
        }
    }
}

/// Lets the system bring the loaded data into its usual form on disk.
async fn prepare(stand: &Stand) -> Result<(), Error> {
    stand.system.save().await?;
    restart_in_order(&*stand.system).await.map(drop)
}
