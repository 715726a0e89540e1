//! Origins: whose pages in browsers may call. Never looks at a request.

use std::fmt;
use std::str::FromStr;

use http::Uri;
use http::uri::PathAndQuery;

/// Stands for all origins.
const ALL: &str = "*";

/// A list of origins, such as `https://app.example.org,http://localhost:5173`, or `*` for all.
///
/// # Examples
/// ```
/// use whimbrel::config::Origins;
///
/// let origins: Origins = "https://app.example.org".parse().unwrap();
/// assert!(origins.contains("https://app.example.org"));
/// assert!(!origins.contains("http://app.example.org"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins(Vec<String>);

/// Why a text is no list of origins.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OriginsError {
    /// A part is no origin.
    #[error(
        "{part:?} is no origin: give some as browsers send them, such as https://app.example.org or \
         http://localhost:5173, in small letters, without a path and without the usual port; or * for all"
    )]
    NoOrigin {
        /// The part.
        part: String,
    },
}

impl Origins {
    /// Whether pages of `origin`, as a browser sends it, may call.
    #[must_use]
    pub fn contains(&self, origin: &str) -> bool {
        self.0.iter().any(|listed| listed == ALL || listed == origin)
    }

    /// Whether `origin` itself is in the list, and not only allowed as all are.
    #[must_use]
    pub fn names(&self, origin: &str) -> bool {
        self.0.iter().any(|listed| listed == origin)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromStr for Origins {
    type Err = OriginsError;

    fn from_str(text: &str) -> Result<Self, OriginsError> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        let checked = parts.map(|part| match part == ALL || is_origin(part) {
            true => Ok(part.to_owned()),
            false => Err(OriginsError::NoOrigin { part: part.to_owned() }),
        });
        checked.collect::<Result<_, _>>().map(Self)
    }
}

impl fmt::Display for Origins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(","))
    }
}

/// Whether a browser would send `text` as an origin (RFC 6454, section 6.2).
fn is_origin(text: &str) -> bool {
    let Ok(url) = text.parse::<Uri>() else { return false };
    let usual_port = match url.scheme_str() {
        Some("http") => 80,
        Some("https") => 443,
        _ => return false,
    };
    let has_path = url.path_and_query().is_some_and(|path| path != &PathAndQuery::from_static("/"));
    !has_path
        && !text.ends_with('/')
        && !text.contains('@')
        && !text.bytes().any(|byte| byte.is_ascii_uppercase())
        && url.port_u16() != Some(usual_port)
}
