//! What tokens and TLS cost: the same calls, fan-out and idle streams on servers with neither, with
//! tokens, and with both, in turns. Never measures a peer.
//!
//! All calls are one user's, who has one connection. The load generator encrypts as well, on the same
//! processors: so times and rates have the work of both ends, and only the processor time is the
//! server's alone.

use std::sync::Arc;
use std::time::Duration;

use super::{Run, Stand, fan_out, idle};
use crate::data::{self, Data};
use crate::error::Error;
use crate::load::{Callers, closed_loop};
use crate::machine;
use crate::peer::{CALLER, Caller, Kind, Protection, System, Whimbrel};

/// One call in flight shows the time of the call alone.
const ALONE: usize = 1;
/// Calls in flight for rates and processor time.
const MANY: usize = 64;
/// Most rounds of idle streams: each starts new servers.
const IDLE_ROUNDS_MAX: usize = 3;

/// A call that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    /// Health, which needs no token.
    Floor,
    /// A call that needs one, and nothing else that costs.
    LookUp,
    Page,
    Publish,
}

/// A server, and the client of its caller.
struct Protected {
    protection: Protection,
    stand: Stand,
    callers: Callers,
}

pub(super) async fn measure(run: &mut Run) {
    if !run.kinds.contains(&Kind::Whimbrel) {
        return;
    }
    if let Err(error) = calls(run).await {
        run.failed("security_plain", Kind::Whimbrel, 0.0, &error);
    }
    if let Err(error) = fan_outs(run).await {
        run.failed("security_fan_out_plain", Kind::Whimbrel, 0.0, &error);
    }
    idle_streams(run).await;
}

impl Call {
    const ALL: [Self; 4] = [Self::Floor, Self::LookUp, Self::Page, Self::Publish];

    /// The names of its p50, its rate and its processor time on the server.
    fn figures(self) -> [&'static str; 3] {
        match self {
            Self::Floor => ["floor_p50_us", "floor_per_s", "floor_cpu_us"],
            Self::LookUp => ["look_up_p50_us", "look_up_per_s", "look_up_cpu_us"],
            Self::Page => ["page_p50_us", "page_per_s", "page_cpu_us"],
            Self::Publish => ["publish_p50_us", "publish_per_s", "publish_cpu_us"],
        }
    }

    async fn make(self, caller: Arc<dyn Caller>) -> Result<(), Error> {
        match self {
            Self::Floor => caller.floor().await,
            Self::LookUp => caller.look_up(CALLER, CALLER + 1).await,
            Self::Page => caller.feed(CALLER).await.map(drop),
            Self::Publish => caller.publish(CALLER, data::next_post()).await.map(drop),
        }
    }
}

async fn calls(run: &mut Run) -> Result<(), Error> {
    let first = CALLER + 1;
    let authors = first..first + run.sizes.security_followees;
    let edges = authors.clone().map(|author| (CALLER, author)).collect();
    let data = Data { edges, posts: run.sizes.security_posts, authors, ..Data::default() };
    let servers = start(run, &data, MANY).await?;
    for in_flight in [ALONE, MANY] {
        for call in Call::ALL {
            for round in 0..=run.sizes.rounds {
                for server in &servers {
                    let measured = make(server, call, in_flight, run.sizes.time).await;
                    // The first round warms up and does not count.
                    if round > 0 {
                        let name = format!("security_{}", server.protection.name());
                        run.note(&name, Kind::Whimbrel, in_flight as f64, measured);
                    }
                }
            }
        }
    }
    Ok(())
}

async fn make(
    server: &Protected,
    call: Call,
    in_flight: usize,
    time: Duration,
) -> Result<Vec<(&'static str, f64)>, Error> {
    let pid = server.stand.system.server().pid();
    let cpu = machine::cpu_time(pid);
    let load =
        closed_loop(&server.callers, in_flight, time, move |caller| call.make(caller)).await?;
    let cpu = machine::cpu_time(pid) - cpu;
    let [p50_us, per_s, cpu_us] = call.figures();
    Ok(vec![
        (p50_us, load.latencies.quantile_us(0.5)),
        (per_s, load.per_s),
        (cpu_us, cpu.as_secs_f64() * 1e6 / load.calls as f64),
    ])
}

async fn fan_outs(run: &mut Run) -> Result<(), Error> {
    let watchers = run.sizes.watchers;
    let first = CALLER + 1;
    let edges = (first..first + watchers).map(|watcher| (watcher, CALLER)).collect();
    let data = Data { edges, ..Data::default() };
    let mut ready = Vec::new();
    for server in start(run, &data, MANY).await? {
        let (callers, watching) = fan_out::open(&server.stand, watchers, watchers as usize).await?;
        ready.push((server, callers, watching));
    }
    for round in 0..=run.sizes.rounds {
        for (server, callers, watching) in &ready {
            let measured = fan_out::fan_out(&server.stand, callers, watching, run).await;
            if round > 0 {
                let name = format!("security_fan_out_{}", server.protection.name());
                run.note(&name, Kind::Whimbrel, f64::from(watchers), measured);
            }
        }
    }
    Ok(())
}

async fn idle_streams(run: &mut Run) {
    let watchers = run.sizes.watchers;
    for _ in 0..run.sizes.rounds.min(IDLE_ROUNDS_MAX) {
        for protection in Protection::ALL {
            let name = format!("security_idle_{}", protection.name());
            let measured = match start_one(run, &Data::default(), protection).await {
                Ok(stand) => idle::idle(run, &stand, watchers, watchers as usize).await,
                Err(error) => Err(error),
            };
            run.note(&name, Kind::Whimbrel, f64::from(watchers), measured);
        }
    }
}

/// A server for each protection, with a client for `in_flight` calls.
async fn start(run: &Run, data: &Data, in_flight: usize) -> Result<Vec<Protected>, Error> {
    let mut servers = Vec::new();
    for protection in Protection::ALL {
        let stand = start_one(run, data, protection).await?;
        let callers = stand.system.callers(in_flight).await?;
        servers.push(Protected { protection, stand, callers });
    }
    Ok(servers)
}

async fn start_one(run: &Run, data: &Data, protection: Protection) -> Result<Stand, Error> {
    let system = Whimbrel::start_with(&run.programs, data, protection).await;
    let system: Arc<dyn System> = Arc::new(system.map_err(|it| it.while_doing("starting"))?);
    Ok(Stand { kind: Kind::Whimbrel, system })
}
