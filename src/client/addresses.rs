//! The addresses of the servers of one log, as people write them: one, or several with commas between. Never knows which of
//! them serves.

use std::fmt;
use std::str::FromStr;

use super::{Address, AddressError};

/// More nodes than a log has: each is tried before a call fails.
const ADDRESSES_MAX: usize = 64;

/// One address or several: `host:port,host:port`.
///
/// # Examples
/// ```
/// use whimbrel::client::Addresses;
///
/// let nodes: Addresses = "node-1:50051, https://node-2:50051".parse().unwrap();
/// assert_eq!(nodes.to_string(), "node-1:50051,https://node-2:50051");
/// assert!("node-1:50051,".parse::<Addresses>().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses(Vec<Address>);

impl Addresses {
    /// All of them: at least one.
    #[must_use]
    pub fn all(&self) -> &[Address] {
        &self.0
    }
}

impl From<Address> for Addresses {
    fn from(address: Address) -> Self {
        Self(vec![address])
    }
}

impl FromStr for Addresses {
    type Err = AddressError;

    fn from_str(given: &str) -> Result<Self, AddressError> {
        let mut all = Vec::new();
        for address in given.split(',') {
            let address: Address = address.parse()?;
            if all.contains(&address) {
                return Err(AddressError::Twice { address: address.to_string() });
            }
            all.push(address);
        }
        if all.len() > ADDRESSES_MAX {
            return Err(AddressError::TooMany { max: ADDRESSES_MAX });
        }
        Ok(Self(all))
    }
}

impl fmt::Display for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, address) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(f, "{comma}{address}")?;
        }
        Ok(())
    }
}
