//! The nodes that share a log, as they are written in its store, and the API keys that they have together. Never decides
//! which of them are alive, and never reads a key.

use super::Error;
use crate::model::{NodeKey, Revision};

/// What a node says of itself, again and again.
#[derive(Clone, Debug)]
pub struct NodeRecord {
    /// Greater than those of all nodes that began before.
    pub number: u64,
    /// Where the other nodes reach it; `None` if they cannot.
    pub address: Option<String>,
    /// Where clients reach it; `None` if nobody has said that.
    pub public_address: Option<String>,
    /// What they have to show it.
    pub key: NodeKey,
    /// The version of its program.
    pub version: String,
    /// How often it has said so.
    pub beats: u64,
    /// What all its reads show.
    pub applied: Revision,
}

/// A table of API keys, as it is in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedKeys {
    /// Another one after each change.
    pub version: u64,
    /// The table.
    pub table: Vec<u8>,
}

/// The nodes of a log. Calls block the thread.
pub trait Roster: Send + std::fmt::Debug {
    /// A number for a node that begins.
    ///
    /// # Errors
    /// The store cannot be reached.
    fn join(&mut self) -> Result<u64, Error>;

    /// The nodes that have beaten of late, by the clock of the store, for one that does not beat yet. The one that has
    /// been there longest comes first.
    ///
    /// # Errors
    /// The store cannot be reached, or has what is no node.
    fn running(&mut self) -> Result<Vec<NodeRecord>, Error>;

    /// Writes `own`, and reads the others. `None` if another node has its number: then it joins again.
    ///
    /// # Errors
    /// The store cannot be reached, or has what is no node.
    fn beat(&mut self, own: &NodeRecord) -> Result<Option<Vec<NodeRecord>>, Error>;

    /// Removes the node with this number, so that nobody has to find out that it has ended.
    ///
    /// # Errors
    /// The store cannot be reached.
    fn leave(&mut self, number: u64) -> Result<(), Error>;

    /// The API keys, if there are any, and others than those of the version `known`.
    ///
    /// # Errors
    /// The store cannot be reached.
    fn keys(&mut self, known: Option<u64>) -> Result<Option<SharedKeys>, Error>;

    /// Puts `table` in the place of the API keys of the version `known`, or of none. False if there are others now.
    ///
    /// # Errors
    /// The store cannot be reached: then it may have them.
    fn replace_keys(&mut self, known: Option<u64>, table: &[u8]) -> Result<bool, Error>;
}
