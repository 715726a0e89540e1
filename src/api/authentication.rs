//! Authentication of calls: finds out who makes a call, and refuses callers that may not make it.
//! Never reads a message: for whom a call is made is checked with its request, in `caller.rs`.

use std::time::Duration;

use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{HeaderMap, HeaderValue};
use tonic::Status;

use super::{ApiMetrics, Peer, Quotas, network, status};
use crate::auth::access::{self, Access};
use crate::auth::{Auth, Caller, IdentifyOutcome, Refusal};
use crate::config::Limits;
use crate::model::NodeKey;
use crate::query::{CallerKey, QueryCaller};
use crate::runtime::{CallContext, worker_lateness};

/// As how many calls one of a user counts while the server is overloaded. So those who call most are
/// refused first.
const OVERLOADED_PRICE: u32 = 4;
/// The scheme of the header (RFC 6750, section 2.1). Case does not matter (RFC 9110, section 11.1).
const SCHEME: &str = "bearer";

/// Authenticates calls. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Authentication {
    auth: Option<Auth>,
    quotas: Quotas,
    lateness_max: Duration,
    metrics: ApiMetrics,
    /// The caller of all calls, if nobody is asked who calls.
    unknown: Caller,
    /// Other nodes of the log.
    node: Caller,
    /// What they show.
    node_key: Option<NodeKey>,
}

impl Authentication {
    /// Asks `auth` who calls, and counts their calls in `quotas`. Without `auth` every caller may do
    /// everything.
    #[must_use]
    pub fn new(auth: Option<Auth>, quotas: Quotas, limits: &Limits, metrics: ApiMetrics) -> Self {
        let lateness_max = limits.worker_lateness_max;
        let (unknown, node) = (Caller::unknown(), Caller::node());
        Self { auth, quotas, lateness_max, metrics, unknown, node, node_key: None }
    }

    /// Also knows other nodes, by `key`.
    #[must_use]
    pub fn with_node_key(self, key: Option<NodeKey>) -> Self {
        Self { node_key: key, ..self }
    }

    /// Admits the call with this `head`, on the connection with this key: puts its [`Caller`] into the
    /// extensions, and takes the token out, which nothing behind sees. Returns the caller of its
    /// queries. Waits only while the keys of the token's issuer are fetched.
    ///
    /// # Errors
    /// The caller is not known, may not make the call, or has used up a quota.
    pub(super) async fn admit(
        &self,
        head: &mut Parts,
        connection: u64,
    ) -> Result<QueryCaller, Status> {
        let of_connection = QueryCaller::new(CallerKey::Connection(connection));
        if let Some(of_node) = self.node_token(&head.headers) {
            self.admit_node(head, &of_node)?;
            return Ok(of_connection);
        }
        let Some(auth) = &self.auth else {
            head.extensions.insert(self.unknown.clone());
            return Ok(of_connection);
        };
        let header = take_header(&mut head.headers);
        // Before the token is looked at, so that a probe of health costs nothing.
        let access = match access::of(head.uri.path()) {
            Some(Access::Everybody) => return Ok(of_connection),
            Some(access) => access,
            None => return Err(status::no_such_rpc(head.uri.path())),
        };
        let token = header.as_ref().map_err(Clone::clone).and_then(bearer);
        let token = token.map_err(|refusal| {
            self.metrics.identified((&refusal).into());
            status::from_refusal(refusal)
        })?;
        let caller = self.identify(auth, token, head.extensions.get::<Peer>()).await?;
        if let Some(call) = CallContext::current() {
            call.called_by(caller.role().name());
        }
        access.check(caller.role()).map_err(status::from_refusal)?;
        let price = if self.is_overloaded() { OVERLOADED_PRICE } else { 1 };
        let address = head.extensions.get::<Peer>().map(|peer| network(peer.address));
        let reads_for = self.quotas.call(&caller, address, access, price)?;
        head.extensions.insert(caller);
        Ok(reads_for.unwrap_or(of_connection))
    }

    /// The key of a node in the header, whether or not it is the right one; `None` if it is somebody else's token.
    fn node_token(&self, headers: &HeaderMap) -> Option<String> {
        self.node_key.as_ref()?;
        let header = headers.get(AUTHORIZATION).cloned();
        let token = bearer(&header).ok().flatten();
        token.filter(|token| NodeKey::is_token(token)).map(str::to_owned)
    }

    /// Admits a call of another node.
    ///
    /// # Errors
    /// It means another one than this, as after a restart.
    fn admit_node(&self, head: &mut Parts, token: &str) -> Result<(), Status> {
        if !self.node_key.as_ref().is_some_and(|key| key.is(token)) {
            let refusal = Refusal::NoSuchKey;
            self.metrics.identified((&refusal).into());
            return Err(status::from_refusal(refusal));
        }
        head.headers.remove(AUTHORIZATION);
        head.extensions.insert(self.node.clone());
        self.metrics.identified(IdentifyOutcome::Verified);
        if let Some(call) = CallContext::current() {
            call.called_by("node");
        }
        Ok(())
    }

    /// Who calls.
    ///
    /// # Errors
    /// Nobody who is known; or the token was never seen, and the server is overloaded or too many from
    /// the same address were refused: it is not looked at.
    async fn identify(
        &self,
        auth: &Auth,
        token: Option<&str>,
        peer: Option<&Peer>,
    ) -> Result<Caller, Status> {
        // Most calls have a token that was accepted before, and need no other look-up.
        let (identified, accepted) = match token.and_then(|token| auth.seen(token)) {
            Some(seen) => (seen.map(Some), IdentifyOutcome::Seen),
            None => {
                if token.is_some() {
                    let is_tried = self.try_token(peer);
                    is_tried
                        .inspect_err(|_| self.metrics.identified(IdentifyOutcome::NotLookedAt))?;
                }
                let certificate = peer.and_then(|peer| peer.certificate.as_deref());
                let names = certificate.map_or(&[][..], |certificate| &certificate.names);
                (auth.identify(token, names).await, IdentifyOutcome::Verified)
            }
        };
        match identified {
            Ok(Some(caller)) => {
                self.metrics.identified(accepted);
                Ok(caller)
            }
            Ok(None) => {
                self.metrics.identified(IdentifyOutcome::NoToken);
                Err(status::from_refusal(Refusal::NoToken))
            }
            Err(refusal) => {
                self.metrics.identified((&refusal).into());
                self.count_refusal(peer, &refusal);
                Err(status::from_refusal(refusal))
            }
        }
    }

    /// Whether a token is looked at that was never seen.
    ///
    /// # Errors
    /// The server is overloaded, or too many tokens from the same address were refused.
    fn try_token(&self, peer: Option<&Peer>) -> Result<(), Status> {
        if self.is_overloaded() {
            return Err(status::too_busy_for_strangers());
        }
        let Some(peer) = peer else { return Ok(()) };
        let tried = self.quotas.try_token(network(peer.address));
        tried.map_err(|wait| self.quotas.too_many_refusals(wait))
    }

    /// Whether the worker of this call has more to do than it can.
    fn is_overloaded(&self) -> bool {
        worker_lateness() > self.lateness_max
    }

    /// Counts a token that was not accepted, unless that is not its sender's fault.
    fn count_refusal(&self, peer: Option<&Peer>, refusal: &Refusal) {
        let is_ours = matches!(refusal, Refusal::NoKeys | Refusal::Clock);
        if let Some(peer) = peer.filter(|_| !is_ours) {
            self.quotas.refused(network(peer.address));
        }
    }
}

/// Removes the header with the token; `None` if there is none.
///
/// # Errors
/// There are several.
fn take_header(headers: &mut HeaderMap) -> Result<Option<HeaderValue>, Refusal> {
    let is_once = headers.get_all(AUTHORIZATION).iter().nth(1).is_none();
    let header = headers.remove(AUTHORIZATION);
    if is_once { Ok(header) } else { Err(Refusal::Header) }
}

/// The token in the header.
///
/// # Errors
/// The header is not of that form.
fn bearer(header: &Option<HeaderValue>) -> Result<Option<&str>, Refusal> {
    let Some(header) = header else { return Ok(None) };
    let parts = header.to_str().ok().and_then(|it| it.split_once(' '));
    let (scheme, token) = parts.ok_or(Refusal::Header)?;
    let token = token.trim_matches(' ');
    if !scheme.eq_ignore_ascii_case(SCHEME) || token.is_empty() || token.contains(' ') {
        return Err(Refusal::Header);
    }
    Ok(Some(token))
}
