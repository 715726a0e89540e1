//! The flags of a log that several nodes share. Never connects to it.

use std::path::PathBuf;

use clap::Args;

use super::{Error, parse_flag};
use crate::client::Address;
use crate::config::Store;
use crate::storage::StoreAddress;

/// Where the log is.
#[derive(Args, Clone, Debug)]
pub(super) struct StoreArgs {
    /// Keep the log in PostgreSQL, where other nodes use it, too: postgres://USER@HOST:PORT/DATABASE?schema=NAME. The
    /// data folder then has a copy of it, and the index.
    #[arg(long, env = "WHIMBREL_STORE", value_name = "URL")]
    store: Option<String>,
    #[command(flatten)]
    access: StoreAccessArgs,
    /// Where other nodes of the log reach this one: https://HOST:PORT, or http:// if the network between them is trusted
    /// [default: the address of --listen, if it is that of one machine].
    #[arg(long, env = "WHIMBREL_NODE_ADDRESS", value_name = "ADDRESS")]
    node_address: Option<Address>,
    /// Where clients reach this node: another one that stops names it to them.
    #[arg(long, env = "WHIMBREL_NODE_PUBLIC_ADDRESS", value_name = "ADDRESS")]
    node_public_address: Option<Address>,
    /// The authorities that the certificates of other nodes may be from, in PEM [default: those of the system].
    #[arg(long, env = "WHIMBREL_NODE_CA_FILE", value_name = "FILE")]
    node_ca_file: Option<PathBuf>,
}

/// How to connect to PostgreSQL.
#[derive(Args, Clone, Debug)]
pub(super) struct StoreAccessArgs {
    /// The file with the password of that user.
    #[arg(long, env = "WHIMBREL_STORE_PASSWORD_FILE", value_name = "FILE")]
    store_password_file: Option<PathBuf>,
    /// The authorities that PostgreSQL's certificate may be from, in PEM [default: those of the system].
    #[arg(long, env = "WHIMBREL_STORE_CA_FILE", value_name = "FILE")]
    store_ca_file: Option<PathBuf>,
    /// Use a PostgreSQL whose settings name no synchronous standby: it keeps what it acknowledges by other means, as a
    /// managed service may, or this is a trial.
    #[arg(long, env = "WHIMBREL_STORE_REPLICATED_ELSEWHERE", value_parser = parse_flag)]
    store_replicated_elsewhere: bool,
}

impl StoreAccessArgs {
    fn is_given(&self) -> bool {
        let Self { store_password_file, store_ca_file, store_replicated_elsewhere } = self;
        store_password_file.is_some() || store_ca_file.is_some() || *store_replicated_elsewhere
    }

    /// The log at `address`, of no node.
    pub(super) fn store(&self, address: String) -> Store {
        Store {
            address,
            password_file: self.store_password_file.clone(),
            ca_file: self.store_ca_file.clone(),
            is_replicated_elsewhere: self.store_replicated_elsewhere,
            node_address: None,
            node_public_address: None,
            node_ca_file: None,
        }
    }
}

impl StoreArgs {
    /// `None` for a log in the data folder alone.
    pub(super) fn store(&self) -> Result<Option<Store>, Error> {
        let Some(address) = &self.store else {
            let of_node = [&self.node_address, &self.node_public_address];
            let is_given = self.access.is_given()
                || of_node.iter().any(|address| address.is_some())
                || self.node_ca_file.is_some();
            return match is_given {
                true => Err(Error::Usage("options of --store are given without it".to_owned())),
                false => Ok(None),
            };
        };
        let parsed = address.parse::<StoreAddress>();
        parsed.map_err(|error| Error::Usage(format!("--store {error}")))?;
        Ok(Some(Store {
            node_address: self.node_address.as_ref().map(Address::uri),
            node_public_address: self.node_public_address.as_ref().map(Address::uri),
            node_ca_file: self.node_ca_file.clone(),
            ..self.access.store(address.clone())
        }))
    }
}
