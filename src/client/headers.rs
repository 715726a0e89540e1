//! The headers that a client sends with each call: its token, and the trace of the call. Never shows a
//! token, and never sends one in clear text beyond this machine.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tonic::metadata::AsciiMetadataValue;
use tonic::service::Interceptor;
use tonic::{Request, Status};
use zeroize::Zeroizing;

use super::{Address, Error};
use crate::runtime::{WatchedFile, files};

const TOKEN: &str = "authorization";
const TRACE: &str = "traceparent";

/// Where a client's token is.
#[derive(Clone, PartialEq, Eq)]
pub enum TokenSource {
    /// The token itself.
    Text(Zeroizing<String>),
    /// A file that has it. It is read again when it changes, so that a stream goes on with a new one.
    File(PathBuf),
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(_) => f.write_str("Text(…)"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
        }
    }
}

/// Adds the token to each call, and the trace that they are part of. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct CallHeaders {
    token: Option<Arc<BearerToken>>,
    traceparent: Option<AsciiMetadataValue>,
}

#[derive(Debug)]
struct BearerToken {
    /// `None` of a token that is in no file.
    file: Option<Mutex<WatchedFile>>,
    header: Mutex<AsciiMetadataValue>,
}

impl CallHeaders {
    /// The token of `source`, which nobody on the way to `addresses` may read.
    ///
    /// # Errors
    /// There is no such token, or everybody on the way to one of them could read it.
    pub(super) fn new(source: Option<&TokenSource>, addresses: &[Address]) -> Result<Self, Error> {
        let Some(source) = source else { return Ok(Self::default()) };
        let is_open = |address: &&Address| !address.is_tls() && !address.is_here();
        if let Some(address) = addresses.iter().find(is_open) {
            return Err(Error::TokenInClearText { address: address.to_string() });
        }
        let (file, header) = match source {
            TokenSource::Text(token) => (None, header(token.as_bytes())?),
            TokenSource::File(path) => {
                // Watched first, so that a change while it is read is noticed.
                let file = WatchedFile::new(path);
                (Some(Mutex::new(file)), header(&files::read_secret(path)?)?)
            }
        };
        let token = Some(Arc::new(BearerToken { file, header: Mutex::new(header) }));
        Ok(Self { token, traceparent: None })
    }

    /// With this trace, unless a header cannot have it.
    pub(super) fn in_trace(self, traceparent: Option<&str>) -> Self {
        Self { traceparent: traceparent.and_then(|text| text.parse().ok()), ..self }
    }

    /// The header of the next call, if calls have a token.
    pub(super) fn header(&self) -> Option<AsciiMetadataValue> {
        self.token.as_ref().map(|token| token.header())
    }

    /// Whether a later call may have another token.
    pub(super) fn may_change(&self) -> bool {
        self.token.as_ref().is_some_and(|token| token.file.is_some())
    }
}

impl BearerToken {
    /// The header of the next call. A file that has no token any more changes nothing: the server
    /// says whether the old one is still good.
    fn header(&self) -> AsciiMetadataValue {
        let mut present = self.header.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = &self.file {
            let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
            if file.has_changed()
                && let Ok(bytes) = files::read_secret(file.path())
                && let Ok(new) = header(&bytes)
            {
                *present = new;
            }
        }
        present.clone()
    }
}

impl Interceptor for CallHeaders {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(header) = self.header() {
            request.metadata_mut().insert(TOKEN, header);
        }
        if let Some(trace) = &self.traceparent {
            request.metadata_mut().insert(TRACE, trace.clone());
        }
        Ok(request)
    }
}

/// The header with `token`, which may have white space around it.
fn header(token: &[u8]) -> Result<AsciiMetadataValue, Error> {
    let token = std::str::from_utf8(token).unwrap_or_default().trim();
    let is_token = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    let text = Zeroizing::new(format!("Bearer {token}"));
    let mut header = AsciiMetadataValue::try_from(text.as_str()).map_err(|_| Error::NotAToken)?;
    if !is_token {
        return Err(Error::NotAToken);
    }
    // So that no log of headers shows it.
    header.set_sensitive(true);
    Ok(header)
}
