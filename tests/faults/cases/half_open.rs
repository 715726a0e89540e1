//! Connections whose other end has vanished without a word.

use crate::case::{Case, Outcome, block_on};
use crate::machine::Network;
use crate::model::Model;
use crate::patience::eventually;
use crate::reader::{Author, Reader};
use crate::server::{PROGRAM, Setup};

pub(crate) const VANISHED: Case = Case {
    name: "half-open connections",
    how: "readers in a network namespace, to and from which all packets vanish from one moment on; later they \
          arrive again. The server runs with --keepalive 1",
    holds: "the server closes the connections by itself, because nobody answers it; the readers resume, and get \
            all posts, each once",
    short: 1,
    long: 6,
    run: |times| {
        let network = Network::new()?;
        let mut outcome = Outcome::default();
        for _ in 0..times {
            outcome.add(&block_on(vanish(&network)));
        }
        Ok(outcome)
    },
};

const READERS: usize = 5;
/// Posts while nobody can be reached.
const POSTS: usize = 20;

async fn vanish(network: &Network) -> Outcome {
    let folder = tempfile::tempdir().expect("a folder");
    let setup = Setup::new(folder.path()).listen(&format!("{}:0", network.here));
    let setup = setup.variable("WHIMBREL_KEEPALIVE", "1");
    let server = setup.argument("--insecure").start();
    let mut model = Model::new(server.address).await;
    let mut author = Author::new(server.address).await;
    model.settle(server.address).await;
    let mut readers = Vec::new();
    for number in 0..READERS {
        let prints = folder.path().join(format!("prints{number}"));
        readers.push(Reader::start(network.command(PROGRAM), server.address, &prints, "60").await);
    }
    let are_open = || (network.connections() == READERS).then_some(());
    eventually("the readers to be connected", are_open).await;
    network.drop_packets();
    // Nobody sends anything to them: the kernel would find out after two minutes, and nothing else but the
    // server's question does so earlier.
    let are_closed = || (network.connections() == 0).then_some(());
    eventually("the connections to be closed", are_closed).await;
    for _ in 0..POSTS {
        author.publish(100).await;
    }
    network.pass_packets();
    for reader in &readers {
        reader.has_all_of(&author).await;
    }
    model = model.grow(server.address, 50).await;
    model.check(server.address).await;
    server.stop().await;
    let outcome = Outcome::of(1, &model);
    Outcome {
        acknowledged: outcome.acknowledged + author.published(),
        delivered: outcome.delivered + author.published() * READERS as u64,
        ..outcome
    }
}
