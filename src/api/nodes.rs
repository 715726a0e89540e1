//! Forwards changes to the node of the log that decides them, as the requests that they are, and waits until this node
//! shows what that one has made. Never forwards what was forwarded: whoever is asked by a node decides.
//!
//! ```text
//!   change ──▶ who decides? ── this node, or one that cannot be reached ──▶ decided here
//!                  │
//!                  └─ another one ──▶ its answer ──▶ this node has it ──▶ the caller
//!                                 ──▶ no answer: the outcome is not known
//! ```

use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http::uri::PathAndQuery;
use prost::Message;
use tonic::client::Grpc;
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;
use tonic::{Code, ConnectError, Request, Status};

use super::caller::{RequestFields, ResponseFields};
use super::codec::Codec;
use super::metrics::ForwardOutcome;
use super::v1::ErrorReason;
use super::{ApiMetrics, calls, status, token};
use crate::auth::Caller;
use crate::cluster::Cluster;
use crate::model::Revision;
use crate::runtime::{CallContext, Wait, WarningThrottle, call};
use crate::storage::NodeRecord;

/// A node that could not be reached is not tried for so long: meanwhile changes are decided here, and none of them waits
/// for a connection that does not come about.
const UNREACHABLE_TIME: Duration = Duration::from_secs(1);

/// Why a node takes no change, where another one may: it stops, has no room or no time, or has not what is needed. Nothing
/// was changed.
const OF_THE_NODE: [ErrorReason; 5] = [
    ErrorReason::Draining,
    ErrorReason::DiskFull,
    ErrorReason::ClockOutOfRange,
    ErrorReason::IndexLost,
    ErrorReason::NodeBehind,
];

/// Opens a channel to the node with an address.
pub type ConnectNode = Arc<dyn Fn(&str) -> Result<Channel, String> + Send + Sync>;

/// The other nodes of the log. Cheap to clone.
#[derive(Clone)]
pub struct Nodes(Arc<NodesState>);

struct NodesState {
    cluster: Cluster,
    connect: ConnectNode,
    links: Mutex<HashMap<u64, NodeLink>>,
    metrics: ApiMetrics,
    time_max: Duration,
    unreachable: WarningThrottle,
    unanswered: WarningThrottle,
}

#[derive(Clone)]
struct NodeLink {
    channel: Channel,
    failed_at: Option<Instant>,
}

/// What became of a change that was to be forwarded.
#[derive(Debug)]
pub(super) enum Forwarded<A> {
    /// The node that decides has answered: this one has to show that, too, at the revision.
    Answered(A, Revision),
    /// Nothing was sent, or it was refused before it was looked at.
    DecideHere,
    /// It was sent, and not answered.
    Unknown,
}

impl fmt::Debug for Nodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Nodes").field(&self.0.cluster).finish()
    }
}

impl Nodes {
    /// Those that `cluster` sees, each reached by `connect`. A forwarded call takes at most `time_max`.
    pub fn new(
        cluster: Cluster,
        connect: ConnectNode,
        metrics: ApiMetrics,
        time_max: Duration,
    ) -> Self {
        Self(Arc::new(NodesState {
            cluster,
            connect,
            links: Mutex::default(),
            metrics,
            time_max,
            unreachable: WarningThrottle::default(),
            unanswered: WarningThrottle::default(),
        }))
    }

    /// What is known of them.
    pub(super) fn cluster(&self) -> &Cluster {
        &self.0.cluster
    }

    /// Where clients of this node find another one, once this one has left the others.
    pub(super) fn other_address(&self) -> Option<String> {
        if !self.0.cluster.has_left() {
            return None;
        }
        let view = self.0.cluster.view();
        // Not all to the same one.
        let addresses: Vec<_> = view.public_addresses().collect();
        fastrand::choice(addresses).map(str::to_owned)
    }

    /// Has the node that decides make the change that `request` asks for.
    ///
    /// # Errors
    /// That node refuses it.
    pub(super) async fn forward<R, A>(
        &self,
        caller: &Caller,
        request: &R,
    ) -> Result<Forwarded<A>, Status>
    where
        R: RequestFields + Message + Clone + 'static,
        A: ResponseFields + Message + Default + 'static,
    {
        let view = self.0.cluster.view();
        let Some(node) = view.decider_elsewhere().filter(|_| !caller.is_node()) else {
            return Ok(Forwarded::DecideHere);
        };
        let began_at = Instant::now();
        let forwarded = self.send(&node.record, request).await;
        call::waited(Wait::Node, began_at);
        self.0.metrics.forwarded(match &forwarded {
            Ok(Forwarded::Answered(..)) => ForwardOutcome::Answered,
            Ok(Forwarded::DecideHere) => ForwardOutcome::DecidedHere,
            Ok(Forwarded::Unknown) => ForwardOutcome::Unknown,
            Err(_) => ForwardOutcome::Refused,
        });
        forwarded
    }

    async fn send<R, A>(&self, node: &NodeRecord, request: &R) -> Result<Forwarded<A>, Status>
    where
        R: RequestFields + Message + Clone + 'static,
        A: ResponseFields + Message + Default + 'static,
    {
        let Some(channel) = self.channel(node) else { return Ok(Forwarded::DecideHere) };
        let mut request = Request::new(request.clone());
        request.set_timeout(self.0.time_max);
        let token = format!("Bearer {}", node.key.token());
        let Ok(mut token) = MetadataValue::try_from(token) else {
            unreachable!("a key is plain text")
        };
        token.set_sensitive(true);
        request.metadata_mut().insert("authorization", token);
        if let Some(call) = CallContext::current() {
            calls::pass_on(&call, &mut request);
        }
        let mut client = Grpc::new(channel);
        let answer = async {
            let ready = client.ready().await;
            ready.map_err(|error| Status::from_error(Box::new(error)))?;
            client
                .unary(request, PathAndQuery::from_static(R::PATH), Codec::<R, A>::default())
                .await
        };
        let answer = tokio::select! {
            answer = answer => answer,
            () = self.0.cluster.falls_silent(node.number) => return Ok(Forwarded::Unknown),
        };
        match answer {
            Ok(answer) => {
                let answer = answer.into_inner();
                let Ok((cursor, _)) = token::decode_cursor(answer.cursor()) else {
                    return Ok(Forwarded::Unknown);
                };
                Ok(Forwarded::Answered(answer, cursor.after))
            }
            Err(refusal) => self.refused(node, refusal),
        }
    }

    /// What an error means.
    ///
    /// # Errors
    /// It is one for the caller.
    fn refused<A>(&self, node: &NodeRecord, refusal: Status) -> Result<Forwarded<A>, Status> {
        if has_cause::<hyper::Error>(&refusal, hyper::Error::is_canceled) {
            // The connection has ended, as one does whose other end stops, and the request was still to be sent.
            return Ok(Forwarded::DecideHere);
        }
        if has_cause::<ConnectError>(&refusal, |_| true) {
            let address = node.address.as_deref().unwrap_or_default();
            self.0.unreachable.add(format!(
                "changes are decided here, as {address}, the node that decides them, cannot be reached: {refusal}"
            ));
            if let Some(link) = self.links().get_mut(&node.number) {
                link.failed_at = Some(Instant::now());
            }
            return Ok(Forwarded::DecideHere);
        }
        match status::reason(&refusal) {
            Some(reason) if OF_THE_NODE.contains(&reason) => Ok(Forwarded::DecideHere),
            // It is another one by now, or of an earlier version.
            _ if matches!(refusal.code(), Code::Unauthenticated | Code::Unimplemented) => {
                Ok(Forwarded::DecideHere)
            }
            Some(_) => {
                let (code, message) = (refusal.code(), refusal.message());
                let details = refusal.details().to_vec().into();
                Err(Status::with_details(code, message, details))
            }
            None => {
                let address = node.address.as_deref().unwrap_or_default();
                self.0.unanswered.add(format!(
                    "the outcome of a change is not known, as {address}, which decides it, has not answered: {refusal:?}"
                ));
                Ok(Forwarded::Unknown)
            }
        }
    }

    /// The channel to `node`; `None` if it could not be reached just now.
    fn channel(&self, node: &NodeRecord) -> Option<Channel> {
        let address = node.address.as_deref()?;
        let mut links = self.links();
        if let Some(link) = links.get(&node.number) {
            let is_failed = |at: Instant| at.elapsed() < UNREACHABLE_TIME;
            return (!link.failed_at.is_some_and(is_failed)).then(|| link.channel.clone());
        }
        match (self.0.connect)(address) {
            Ok(channel) => {
                // Of those that have ended nothing is kept.
                links.clear();
                let link = NodeLink { channel: channel.clone(), failed_at: None };
                links.insert(node.number, link);
                Some(channel)
            }
            Err(error) => {
                self.0.unreachable.add(format!("changes are decided here: {address}: {error}"));
                None
            }
        }
    }

    fn links(&self) -> MutexGuard<'_, HashMap<u64, NodeLink>> {
        self.0.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether an error of this type is among the causes of `status`, and is one of those that are looked for.
fn has_cause<E: Error + 'static>(status: &Status, is_wanted: impl Fn(&E) -> bool) -> bool {
    let mut cause: Option<&(dyn Error + 'static)> = status.source();
    while let Some(error) = cause {
        if error.downcast_ref::<E>().is_some_and(&is_wanted) {
            return true;
        }
        cause = error.source();
    }
    false
}
