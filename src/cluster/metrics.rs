//! The metrics of nodes that share a log. Counts nothing: all of it is read from what is known at the scrape.

use super::Cluster;
use crate::runtime::metrics::{Metric, MetricValue, Scrape};

const NODES: Metric = Metric::gauge(
    "whimbrel_cluster_nodes",
    &["state"],
    "Nodes of the log, this one among them, by whether they run; those that ended without a word are left out after a minute",
);
const DECIDES: Metric = Metric::gauge(
    "whimbrel_cluster_decides",
    &[],
    "Whether changes are forwarded to this node: 1, or 0 if another one has been there longer",
);
const BEHIND: Metric = Metric::gauge(
    "whimbrel_cluster_behind_revisions",
    &[],
    "Events that another node showed at its last beat, and this one did not at its own",
);

impl Cluster {
    /// Collects the metrics; those of a server that shares its log with none are zero.
    pub(crate) fn collect(cluster: Option<&Self>, scrape: &mut Scrape) {
        let view = cluster.map(Self::view).unwrap_or_default();
        let alive = view.nodes().iter().filter(|node| node.is_alive).count() as u64;
        let silent = view.nodes().len() as u64 - alive;
        let sample = |(state, nodes): (&str, u64)| ([state.to_owned()], MetricValue::count(nodes));
        scrape.add(&NODES, [("alive", alive), ("silent", silent)].map(sample));
        let decides = view.decider().is_some_and(|node| view.is_own(node));
        scrape.count(&DECIDES, decides.into());
        let own = view.nodes().iter().find(|node| view.is_own(node));
        let behind = own.map_or(0, |own| view.newest().get() - own.record.applied.get());
        scrape.count(&BEHIND, behind);
    }
}
