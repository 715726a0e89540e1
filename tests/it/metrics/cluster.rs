//! Metrics of servers that share a log.

use super::moved::reaches;
use crate::cluster::know_each_other;
use crate::harness::Setup;
use crate::harness::admin::Scraped;
use crate::harness::postgres::Postgres;

/// Whether a metric moves only where several servers share a log.
pub(super) fn is_of_nodes(name: &str) -> bool {
    let of_nodes = ["whimbrel_cluster_", "whimbrel_store_", "whimbrel_forwarded_changes_total"];
    of_nodes.iter().any(|prefix| name.starts_with(prefix))
}

/// Two nodes, of which one forwards to the other; `None` where there is no PostgreSQL.
pub(super) async fn nodes() -> Option<Scraped> {
    let address = Postgres::shared()?.new_log();
    let nodes = [
        Setup::new().store(&address).admin().start().await,
        Setup::new().store(&address).admin().start().await,
    ];
    know_each_other(&nodes, 2).await;
    nodes[1].user("bob").publishes("hi").await;
    // Its copy takes nothing any more.
    nodes[1].reload(|limits| limits.disk_free_bytes_min = 1 << 50);
    nodes[0].user("bob").publishes("hi").await;
    let mut moved = reaches(&nodes[1], "whimbrel_cluster_behind_revisions", &[], 1.0).await;
    let answered = [("outcome", "answered")];
    assert_eq!(moved.sum("whimbrel_forwarded_changes_total", &answered), 1.0);
    assert_eq!(moved.sum("whimbrel_store_reached", &[]), 1.0);
    let alive = [("state", "alive")];
    let decides = reaches(&nodes[0], "whimbrel_cluster_nodes", &alive, 2.0).await;
    assert!(decides.sum("whimbrel_store_term", &[]) >= 1.0, "it has appended");
    assert!(decides.sum("whimbrel_store_barriers_total", &[]) >= 1.0, "it reads");
    let decides_own = decides.sum("whimbrel_cluster_decides", &[]);
    let decided = moved.sum("whimbrel_cluster_decides", &[]);
    assert_eq!(decides_own + decided, 1.0, "one of them decides");
    moved.0.extend(decides.0.into_iter().filter(|(_, value)| *value > 0.0));
    Some(moved)
}
