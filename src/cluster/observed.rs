//! What a node makes of the rows of the others: which of them run. Time is counted in its own beats, so that a store that
//! could not be reached for a while makes no node look as if it had ended. Never reads a clock.

use std::collections::HashMap;

use crate::model::Revision;
use crate::storage::NodeRecord;

/// A node that has not beaten for so many of another one's beats has ended, or hangs.
pub const SILENT_BEATS_MAX: u32 = 8;

/// What is remembered from beat to beat.
#[derive(Debug, Default)]
pub struct Observed(HashMap<u64, LastBeat>);

#[derive(Debug)]
struct LastBeat {
    beats: u64,
    /// So many of this node's own ago.
    silent: u32,
}

/// The nodes as one of them knows them.
#[derive(Clone, Debug, Default)]
pub struct ClusterView {
    own: u64,
    nodes: Vec<NodeState>,
}

/// A node, and whether it runs.
#[derive(Clone, Debug)]
pub struct NodeState {
    /// What it said last.
    pub record: NodeRecord,
    /// Whether it has beaten of late.
    pub is_alive: bool,
}

impl Observed {
    /// What is known after a beat of `own` that found `others`.
    pub fn seen(&mut self, own: &NodeRecord, others: Vec<NodeRecord>) -> ClusterView {
        self.0.retain(|number, _| others.iter().any(|other| other.number == *number));
        let mut nodes = vec![NodeState { record: own.clone(), is_alive: true }];
        for other in others {
            let beats = other.beats;
            let silent = match self.0.get(&other.number) {
                Some(last) if last.beats == beats => last.silent.saturating_add(1),
                _ => 0,
            };
            self.0.insert(other.number, LastBeat { beats, silent });
            let is_alive = silent < SILENT_BEATS_MAX;
            nodes.push(NodeState { record: other, is_alive });
        }
        nodes.sort_unstable_by_key(|node| node.record.number);
        ClusterView { own: own.number, nodes }
    }
}

impl ClusterView {
    /// All nodes, the one that has been there longest first. None before the first beat.
    #[must_use]
    pub fn nodes(&self) -> &[NodeState] {
        &self.nodes
    }

    /// Whether `node` is the one that has this view.
    #[must_use]
    pub fn is_own(&self, node: &NodeState) -> bool {
        node.record.number == self.own
    }

    /// The node to which the others forward changes; `None` if each decides itself.
    #[must_use]
    pub fn decider(&self) -> Option<&NodeState> {
        self.nodes.iter().find(|node| node.is_alive && node.record.address.is_some())
    }

    /// The node to which this one forwards changes; `None` if it decides itself.
    #[must_use]
    pub fn decider_elsewhere(&self) -> Option<&NodeState> {
        self.decider().filter(|node| !self.is_own(node))
    }

    /// The public addresses of other nodes that run: for clients that have to leave this one.
    pub fn public_addresses(&self) -> impl Iterator<Item = &str> {
        let others = self.nodes.iter().filter(|node| node.is_alive && !self.is_own(node));
        others.filter_map(|node| node.record.public_address.as_deref())
    }

    /// What the node that is furthest shows.
    #[must_use]
    pub fn newest(&self) -> Revision {
        self.nodes.iter().map(|node| node.record.applied).max().unwrap_or_default()
    }
}
