//! The epochs of a log while they are collected. Never has two entries in a row for one opening.

use crate::model::{Epoch, EpochStart, Revision};

/// Adds the epoch of the event at `first`, after all others.
pub(super) fn extend(epochs: &mut Vec<EpochStart>, first: Revision, epoch: Epoch) {
    debug_assert!(epochs.last().is_none_or(|last| last.first < first), "epochs come in order");
    if epochs.last().is_none_or(|last| last.epoch != epoch) {
        epochs.push(EpochStart { first, epoch });
    }
}
