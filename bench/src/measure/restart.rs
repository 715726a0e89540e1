//! Starting again after a kill: from the start of the process until it answers a read.

use super::{Run, Stand};
use crate::data::Data;
use crate::error::Error;
use crate::peer::{Kind, restart_in_order, restart_killed};

/// Systems that keep what they are given. JetStream's files are the same however often they are
/// flushed, and half a million flushes would only delay this.
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

/// Lets it bring the bulk of the data into its usual form.
async fn prepare(stand: &Stand) -> Result<(), Error> {
    stand.system.save().await?;
    restart_in_order(&*stand.system).await.map(drop)
}
