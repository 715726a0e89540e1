//! Which nodes a node takes for alive, and for the one that decides, by their rows alone.

use whimbrel::cluster::{ClusterView, Observed, SILENT_BEATS_MAX};
use whimbrel::model::{NodeKey, Revision};
use whimbrel::storage::NodeRecord;

fn record(number: u64, address: Option<&str>, beats: u64) -> NodeRecord {
    NodeRecord {
        number,
        address: address.map(str::to_owned),
        public_address: None,
        key: NodeKey::new([number as u8; 32]),
        version: "1".to_owned(),
        beats,
        applied: Revision::new(beats),
    }
}

fn node(number: u64, beats: u64) -> NodeRecord {
    record(number, Some("http://127.0.0.1:1"), beats)
}

fn decider(view: &ClusterView) -> Option<u64> {
    view.decider().map(|node| node.record.number)
}

/// The node that has been there longest decides, of those that can be reached.
#[test]
fn the_oldest_node_decides() {
    let seen = |own: NodeRecord, others| Observed::default().seen(&own, others);
    let view = seen(node(2, 1), vec![node(3, 1), node(1, 1)]);
    assert_eq!(decider(&view), Some(1));
    assert_eq!(view.decider_elsewhere().map(|node| node.record.number), Some(1));
    assert_eq!(view.nodes().iter().map(|node| node.record.number).collect::<Vec<_>>(), [1, 2, 3]);

    let view = seen(node(2, 1), vec![node(3, 1), record(1, None, 1)]);
    assert_eq!(decider(&view), Some(2));
    assert!(view.decider_elsewhere().is_none(), "it decides itself");

    assert_eq!(decider(&seen(record(2, None, 1), vec![record(1, None, 1)])), None);
    assert_eq!(decider(&ClusterView::default()), None);
}

/// A node that does not beat is silent after so many beats of the one that looks, and no longer once it beats again.
#[test]
fn a_silent_node_does_not_decide() {
    let mut observed = Observed::default();
    for beat in 0..=SILENT_BEATS_MAX {
        let view = observed.seen(&node(2, beat.into()), vec![node(1, 7)]);
        let expected = if beat < SILENT_BEATS_MAX { 1 } else { 2 };
        assert_eq!(decider(&view), Some(expected), "after {beat} beats");
    }
    let view = observed.seen(&node(2, 100), vec![node(1, 8)]);
    assert_eq!(decider(&view), Some(1));
    // It ended in order.
    assert_eq!(decider(&observed.seen(&node(2, 101), vec![])), Some(2));
    // Another one in its place has not been silent yet.
    assert_eq!(decider(&observed.seen(&node(2, 102), vec![node(1, 8)])), Some(1));
}

/// How far a node is behind is counted from the one that is furthest.
#[test]
fn the_newest_position_is_that_of_any_node() {
    let view = Observed::default().seen(&node(2, 5), vec![node(1, 9), node(3, 2)]);
    assert_eq!(view.newest(), Revision::new(9));
}
