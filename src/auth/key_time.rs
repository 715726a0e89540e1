//! The times of API keys. Each that exists has a text in RFC 3339. Never reads a clock.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The end of the year 9999, in seconds since 1970. RFC 3339 has no text for later times.
const SECONDS_MAX: u64 = 253_402_300_799;

/// Whole seconds since 1970, until the year 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct KeyTime(u64);

/// A time that no API key has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{seconds} s after 1970 is beyond the year 9999: is this machine's clock right?")]
pub struct KeyTimeError {
    seconds: u64,
}

impl KeyTime {
    pub(super) fn since_epoch(self) -> Duration {
        Duration::from_secs(self.0)
    }
}

impl TryFrom<u64> for KeyTime {
    type Error = KeyTimeError;

    fn try_from(seconds: u64) -> Result<Self, KeyTimeError> {
        if seconds <= SECONDS_MAX { Ok(Self(seconds)) } else { Err(KeyTimeError { seconds }) }
    }
}

impl From<KeyTime> for u64 {
    fn from(time: KeyTime) -> Self {
        time.0
    }
}

impl fmt::Display for KeyTime {
    /// As in RFC 3339.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug_assert!(self.0 <= SECONDS_MAX, "it was checked when it was made");
        prost_types::Timestamp { seconds: self.0.cast_signed(), nanos: 0 }.fmt(f)
    }
}
