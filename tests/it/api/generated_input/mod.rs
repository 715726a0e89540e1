//! Bad input generated from the descriptors: every field of every request, changed in every way that
//! its type allows. Each request is accepted by a rule of the table in `rules.rs`, or refused with the
//! error that the table says, and then nothing is changed.
//!
//! A new RPC or field is covered by itself. If no good value of it is known, the test fails and says
//! where to add one. Never names an RPC.

mod changes;
mod good;
mod rpcs;
mod rules;
mod world;

use std::sync::Arc;

use tokio::task::JoinSet;

use self::rpcs::{FieldPath, Rpc, rpcs};
use self::rules::Rule;
use self::world::World;
use crate::harness::wire::frame;
use crate::harness::within;

/// Problems that are shown at once.
const SHOWN_MAX: usize = 60;

/// A request with one changed field.
#[derive(Debug)]
struct Case {
    rpc: Rpc,
    path: FieldPath,
    change: String,
    request: Vec<u8>,
    rule: &'static Rule,
}

/// Every field of every request, changed in every way, has the effect that its rules say.
#[tokio::test]
async fn every_changed_field_is_accepted_by_a_rule_or_refused_without_effect() {
    let (world, other) = tokio::join!(World::new(), World::new());
    let world = Arc::new(world);
    let mut cases = cases(&world, &other);
    let seen = cases.iter().map(|case| (&case.path, case.change.as_str()));
    let unused = rules::unused(seen);
    assert!(unused.is_empty(), "these rules are about nothing: {unused:?}");

    let to_accept: Vec<_> = cases.extract_if(.., |case| case.rule.accepts()).collect();
    let mut problems = Vec::new();
    let count = (cases.len(), to_accept.len());
    assert!(count.0 > 5_000 && count.1 > 500, "hardly anything was generated: {count:?}");
    for rpc in rpcs() {
        let of_rpc = cases.extract_if(.., |case| case.rpc.name == rpc.name).collect();
        let before = world.server.position().await;
        problems.extend(run(&world, of_rpc).await);
        if world.server.position().await != before {
            problems
                .push(format!("{}: a request that is not accepted changed something", rpc.name));
        }
    }
    // After all others, which are about the world as it was made.
    problems.extend(run(&world, to_accept).await);
    let shown: Vec<_> = problems.iter().take(SHOWN_MAX).collect();
    assert!(problems.is_empty(), "{} problems in {count:?} cases: {shown:#?}", problems.len());
}

/// All changes of all fields of all requests.
fn cases(world: &World, other: &World) -> Vec<Case> {
    let mut cases = Vec::new();
    for rpc in rpcs() {
        for path in rpc.fields() {
            for change in changes::of(&rpc, &path, world, other) {
                cases.push(Case {
                    request: change.request(&rpc, &path, world),
                    rule: rules::of(&path, &change.name),
                    rpc: rpc.clone(),
                    path: path.clone(),
                    change: change.name,
                });
            }
        }
    }
    cases
}

/// Sends the requests over all connections at once, and returns what is wrong with the answers.
async fn run(world: &Arc<World>, cases: Vec<Case>) -> Vec<String> {
    let mut queues: Vec<Vec<Case>> = world.wires.iter().map(|_| Vec::new()).collect();
    let connections = queues.len();
    for (at, case) in cases.into_iter().enumerate() {
        queues[at % connections].push(case);
    }
    let mut running = JoinSet::new();
    for (at, queue) in queues.into_iter().enumerate() {
        let world = Arc::clone(world);
        running.spawn(async move {
            let mut problems = Vec::new();
            for case in queue {
                problems.extend(case.problem(&world, at).await);
            }
            problems
        });
    }
    running.join_all().await.concat()
}

impl Case {
    /// Sends the request over a connection, and returns what is wrong with the answer.
    async fn problem(&self, world: &World, connection: usize) -> Option<String> {
        let Self { rpc, path, change, request, rule } = self;
        let wire = &world.wires[connection];
        let call = async {
            // A stream does not end by itself, and of another answer all is read.
            if rpc.is_stream {
                wire.first(&rpc.path, frame(request)).await
            } else {
                wire.answer(&rpc.path, &[], frame(request)).await.map(|it| it.map(drop))
            }
        };
        let name = format!("{} with {} {change}", rpc.name, path.text());
        let problem = match within(&name, call).await {
            Ok(answer) => rule.problem(path, change, &answer)?,
            Err(error) => format!("no answer: {error}"),
        };
        Some(format!("{name}: {problem}"))
    }
}
