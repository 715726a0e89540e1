//! Faults of three nodes and their PostgreSQL: lost and stopped machines, networks that are cut, and power cuts. While one
//! of them is there, users write at whichever node answers, and a stream goes from node to node.

use rustix::process::Signal;

use crate::case::{Case, Missing, Outcome, block_on};
use crate::cluster::{Cluster, NODES, cut_power};
use crate::model::{Model, Writing};

pub(crate) const LOST: Case = Case {
    name: "a node lost",
    how: "SIGKILL of one of three nodes under load, in turn the one that decides and another one",
    holds: "the others take changes at once",
    short: 2,
    long: 40,
    run: |times| {
        run(times, |number| if number % 2 == 0 { Fault::KillDecider } else { Fault::KillOther })
    },
};

pub(crate) const HANGING: Case = Case {
    name: "a node that hangs",
    how: "SIGSTOP of the node that decides, or of another one, under load, until the others have gone on, then SIGCONT",
    holds: "the others go on without it, and it goes on itself",
    short: 2,
    long: 24,
    run: |times| {
        run(times, |number| if number % 2 == 0 { Fault::StopDecider } else { Fault::StopOther })
    },
};

pub(crate) const APART: Case = Case {
    name: "nodes cut off from each other",
    how: "under load, all packets between the node that decides and the others vanish, in turn both ways and one way; later they \
          arrive again",
    holds: "each node takes changes, as all reach PostgreSQL",
    short: 2,
    long: 30,
    run: |times| run(times, |number| Fault::PartDecider(Ways::of(number))),
};

pub(crate) const WITHOUT_STORE: Case = Case {
    name: "a node cut off from PostgreSQL",
    how: "under load, all packets between a node, in turn the one that decides and another one, and all PostgreSQL vanish, in turn \
          both ways and one way; later they arrive again",
    holds: "the others go on, and it has all that they did afterwards",
    short: 2,
    long: 30,
    run: |times| {
        run(times, |number| Fault::PartFromStore {
            decides: number % 2 == 0,
            ways: Ways::of(number / 2),
        })
    },
};

pub(crate) const PRIMARY_LOST: Case = Case {
    name: "the primary lost",
    how: "SIGKILL of all processes of the primary under load; a standby is promoted, and another one cloned",
    holds: "all nodes go on with the new primary",
    short: 1,
    long: 30,
    run: |times| run(times, |_| Fault::KillPrimary),
};

pub(crate) const PRIMARY_APART: Case = Case {
    name: "the primary cut off",
    how: "under load, all packets between the primary and its standbys vanish, or between it and everybody else; in the former case \
          they arrive again, in the latter a standby is promoted, and the former primary killed",
    holds: "nothing is acknowledged that only the former primary has",
    short: 2,
    long: 24,
    run: |times| {
        run(times, |number| if number % 2 == 0 { Fault::PartStandbys } else { Fault::PartPrimary })
    },
};

pub(crate) const PRIMARY_HANGING: Case = Case {
    name: "the primary hangs",
    how: "SIGSTOP of all processes of the primary under load; a standby is promoted, and the former primary killed",
    holds: "all nodes go on with the new primary",
    short: 1,
    long: 10,
    run: |times| run(times, |_| Fault::StopPrimary),
};

pub(crate) const PRIMARY_WITHOUT_POWER: Case = Case {
    name: "power cut of the primary",
    how: "the ext4 file system of the primary is shut down (EXT4_IOC_SHUTDOWN) under load and its processes killed; in turn a \
          standby is promoted, and the primary starts again on what is left",
    holds: "all nodes go on",
    short: 2,
    long: 24,
    run: |times| run(times, |number| Fault::CutPrimary { promotes: number % 2 == 0 }),
};

pub(crate) const NODE_WITHOUT_POWER: Case = Case {
    name: "power cut of a node",
    how: "the ext4 file system of a node is shut down under load, in turn of the one that decides and of another one, with its \
          journal lost or flushed; and it starts again on what is left",
    holds: "it ends with code 5, and has all that it lacks after the start",
    short: 1,
    long: 24,
    run: |times| {
        run(times, |number| Fault::CutNode { decides: number % 2 == 0, flushed: number % 4 < 2 })
    },
};

pub(crate) const WITHOUT_SETTING: Case = Case {
    name: "a wrong setting of the primary",
    how: "under load, `synchronous_standby_names` is emptied, and all packets between the primary and its standbys vanish; then a \
          standby is promoted, and the former primary killed",
    holds: "nothing is acknowledged that only the former primary has",
    short: 1,
    long: 12,
    run: |times| run(times, |_| Fault::LoseSetting),
};

/// A fault, which is over before all is compared.
#[derive(Clone, Copy, Debug)]
enum Fault {
    KillDecider,
    KillOther,
    StopDecider,
    StopOther,
    PartDecider(Ways),
    PartFromStore { decides: bool, ways: Ways },
    KillPrimary,
    PartStandbys,
    PartPrimary,
    StopPrimary,
    CutPrimary { promotes: bool },
    LoseSetting,
    CutNode { decides: bool, flushed: bool },
}

/// Which packets vanish.
#[derive(Clone, Copy, Debug)]
enum Ways {
    Both,
    There,
    Back,
}

impl Ways {
    fn of(number: usize) -> Self {
        [Self::Both, Self::There, Self::Back][number % 3]
    }
}

/// Changes before a fault, at most, in the short form.
const CHANGES_MAX_SHORT: u64 = 600;
/// In the long form: over a million together.
const CHANGES_MAX_LONG: u64 = 8_500;
/// Changes while it lasts, and after it.
const CHANGES: u64 = 100;
/// All is compared after each fault: so a new cluster is begun after some.
const FAULTS_OF_A_CLUSTER: usize = 12;
/// Most faults of a case in the short form.
const SHORT_MAX: usize = 2;

fn run(times: usize, fault: fn(usize) -> Fault) -> Result<Outcome, Missing> {
    let mut outcome = Outcome::default();
    let is_long = times > SHORT_MAX;
    let changes_max = if is_long { CHANGES_MAX_LONG } else { CHANGES_MAX_SHORT };
    for first in (0..times).step_by(FAULTS_OF_A_CLUSTER) {
        let last = times.min(first + FAULTS_OF_A_CLUSTER);
        let cluster = Cluster::start()?;
        outcome.add(&block_on(cluster_with(
            (first..last).map(fault).collect(),
            changes_max,
            cluster,
        )));
    }
    Ok(outcome)
}

async fn cluster_with(faults: Vec<Fault>, changes_max: u64, mut cluster: Cluster) -> Outcome {
    cluster.is_whole().await;
    let mut model = Model::new(cluster.addresses()).await.never_taking_back();
    let times = faults.len();
    for fault in faults {
        let writing = model.write_on(cluster.addresses()).await;
        writing.some_moment(changes_max).await;
        make(fault, &mut cluster, &writing).await;
        writing.more(CHANGES).await;
        let errors;
        (model, errors) = writing.end().await;
        assert!(errors.is_empty(), "{fault:?}: {errors:?}");
        cluster.is_whole().await;
        cluster.check(&mut model).await;
    }
    let outcome = Outcome::of(times, &model);
    cluster.stop().await;
    outcome
}

/// Makes the fault, and ends it.
async fn make(fault: Fault, cluster: &mut Cluster, writing: &Writing) {
    let decider = cluster.decider().await;
    let other = (decider + 1 + fastrand::usize(0..NODES - 1)) % NODES;
    let of = |decides: bool| if decides { decider } else { other };
    let others: Vec<_> = cluster.all_nodes().into_iter().filter(|node| *node != decider).collect();
    let primary = cluster.primary();
    let standbys: Vec<_> =
        cluster.all_postgres().into_iter().filter(|machine| *machine != primary).collect();
    match fault {
        Fault::KillDecider | Fault::KillOther => {
            let node = of(matches!(fault, Fault::KillDecider));
            cluster.kill(node);
            writing.more(CHANGES).await;
            cluster.restart(node);
        }
        Fault::StopDecider | Fault::StopOther => {
            let node = of(matches!(fault, Fault::StopDecider));
            cluster.server(node).signal(Signal::STOP);
            writing.more(CHANGES).await;
            cluster.server(node).signal(Signal::CONT);
        }
        Fault::PartDecider(ways) => {
            part(cluster, ways, &[decider], &others);
            writing.more(CHANGES).await;
            cluster.machines.heal();
        }
        Fault::PartFromStore { decides, ways } => {
            part(cluster, ways, &[of(decides)], &cluster.all_postgres());
            writing.more(CHANGES).await;
            cluster.machines.heal();
        }
        Fault::KillPrimary | Fault::StopPrimary => {
            let lost = &cluster.postgres.instances[cluster.postgres.primary];
            let hangs = matches!(fault, Fault::StopPrimary);
            if hangs {
                lost.freeze()
            } else {
                lost.kill()
            }
            promote(cluster, writing).await;
        }
        Fault::PartStandbys => {
            part(cluster, Ways::Both, &[primary], &standbys);
            // Nothing is acknowledged meanwhile but what was on its way: there is nothing to wait for.
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            cluster.machines.heal();
        }
        Fault::PartPrimary => {
            part(cluster, Ways::Both, &[primary], &[standbys, cluster.all_nodes()].concat());
            promote(cluster, writing).await;
            cluster.machines.heal();
        }
        Fault::CutPrimary { promotes } => {
            let at = cluster.postgres.primary;
            let lost = &cluster.postgres.instances[at];
            lost.kill_after(|| cut_power(&lost.disk, &cluster.tool, "lost"));
            lost.disk.remount();
            lost.forget_processes();
            if promotes {
                promote(cluster, writing).await;
            } else {
                cluster.postgres.serve(&cluster.machines, at);
                writing.more(CHANGES).await;
            }
        }
        Fault::LoseSetting => {
            let at = cluster.postgres.primary;
            let lose = "ALTER SYSTEM SET synchronous_standby_names = ''";
            cluster.postgres.sql(&cluster.machines, at, lose);
            cluster.postgres.sql(&cluster.machines, at, "SELECT pg_reload_conf()");
            part(cluster, Ways::Both, &[primary], &standbys);
            // Nothing is acknowledged meanwhile but what was on its way: there is nothing to wait for.
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            promote(cluster, writing).await;
        }
        Fault::CutNode { decides, flushed } => {
            let node = of(decides);
            let how = if flushed { "flushed" } else { "lost" };
            cut_power(&cluster.nodes[node].disk, &cluster.tool, how);
            cluster.ended(node).await;
            cluster.nodes[node].disk.remount();
            writing.more(CHANGES).await;
            cluster.restart(node);
        }
    }
}

fn part(cluster: &Cluster, ways: Ways, some: &[usize], others: &[usize]) {
    match ways {
        Ways::Both => cluster.machines.part(some, others),
        Ways::There | Ways::Back => {
            for (&one, &other) in some.iter().flat_map(|one| others.iter().map(move |it| (one, it)))
            {
                let (from, to) =
                    if matches!(ways, Ways::There) { (one, other) } else { (other, one) };
                cluster.machines.cut(from, to);
            }
        }
    }
}

/// A standby takes the place of the primary, which is killed if it still runs, and comes back as a standby.
async fn promote(cluster: &mut Cluster, writing: &Writing) {
    let former = cluster.postgres.primary;
    cluster.postgres.promote_one(&cluster.machines);
    cluster.postgres.instances[former].kill();
    writing.more(CHANGES).await;
    cluster.machines.heal();
    cluster.postgres.replace_lost(&cluster.machines);
}
