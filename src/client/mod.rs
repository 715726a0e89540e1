//! A small client of the API, for the command line: connects, calls, retries where that is safe,
//! and watches across broken connections. Never prints.

mod address;
mod addresses;
mod calls;
mod error;
mod headers;
mod message;
mod retry;
mod revisions;
mod servers;
mod tls;
mod watch;

use std::time::Duration;

pub use address::{Address, AddressError};
pub use addresses::Addresses;
pub use error::{CallError, Error};
use headers::CallHeaders;
pub use headers::TokenSource;
pub use message::{WatchBatch, WatchMessage};
pub use retry::Retry;
pub use revisions::RevisionFeeds;
use servers::Servers;
pub use tls::{ClientIdentity, ConnectOptions, TlsProblem};
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
pub use watch::{Watch, WatchStart, WatchedEvent};

use crate::api::v1;
use crate::api::v1::admin_service_client::AdminServiceClient;
use crate::api::v1::feed_service_client::FeedServiceClient;
use crate::api::v1::graph_service_client::GraphServiceClient;
use crate::api::v1::log_service_client::LogServiceClient;
use crate::api::v1::meta_service_client::MetaServiceClient;
use crate::api::v1::notification_service_client::NotificationServiceClient;
use crate::api::v1::post_service_client::PostServiceClient;

/// Most concurrent calls on one connection: by default a server accepts no more streams on one, and
/// further calls would only wait.
pub const CALLS_PER_CONNECTION_MAX: usize = 1_024;

const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);
/// Together with the timeout, a dead server is detected within 20 s, even on a silent stream.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// See [`KEEPALIVE_INTERVAL`].
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Flow-control window of a stream. With the default of 64 KiB, a fan-out of large batches would
/// stop at every batch.
const WINDOW_BYTES: u32 = 1 << 20;

/// Longest list of segments: of a log of 20 TB.
const SEGMENT_LIST_BYTES_MAX: usize = 64 << 20;

/// The reason with which a server that stops refuses calls.
const DRAINING: &str = "DRAINING";
/// The reason with which a server ends what a token has begun that has expired.
const TOKEN_EXPIRED: &str = "TOKEN_EXPIRED";

/// A connection to a server, or to one of several servers of a log: if that one cannot be reached or stops, later calls go
/// to another one, and reads see what was seen before. Cloning it is cheap; clones share the connection.
///
/// # Examples
/// Publishing a post and reading it, on a server in this process:
///
/// ```
/// use whimbrel::api::v1::{NewsFeedRequest, PublishRequest};
/// use whimbrel::client::Client;
/// use whimbrel::config::{Config, Limits, Transport};
/// use whimbrel::server::Server;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let folder = tempfile::tempdir()?;
/// let config = Config {
///     authentication: None,
///     data_dir: folder.path().to_owned(),
///     store: None,
///     // Port 0 takes a free one.
///     listen: vec!["127.0.0.1:0".parse()?],
///     transport: Transport::default(),
///     insecure: false,
///     admin_listen: Vec::new(),
///     insecure_admin: false,
///     console: Default::default(),
///     reflection: true,
///     call_log: Default::default(),
///     tracing: None,
///     limits: Limits { disk_free_bytes_min: 0, ..Limits::default() },
/// };
/// let server = Server::open(config).await?;
/// let address = server.address().to_string();
///
/// let session = async {
///     let client = Client::connect(&address).await?;
///     let post = PublishRequest {
///         user_id: "bob".to_owned(),
///         text: "Hello.".to_owned(),
///         // The same id again would be answered with the same post.
///         request_id: "1".to_owned(),
///         ..Default::default()
///     };
///     let published = client.publish(post).await?.post;
///
///     // OK means durable, and what one call was answered every later call sees.
///     let request = NewsFeedRequest { user_id: "bob".to_owned(), ..Default::default() };
///     let page = client.news_feed(request).await?;
///     assert_eq!(page.items[0].post, published);
///     Ok::<(), whimbrel::client::Error>(())
/// };
/// // The server stops in order when the session has ended.
/// let (ended, done) = tokio::sync::oneshot::channel();
/// let serving = server.run(async { drop(done.await) });
/// let (session, served) = tokio::join!(async { (session.await, ended.send(())).0 }, serving);
/// session?;
/// served?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Client {
    admin: AdminServiceClient<TokenChannel>,
    feed: FeedServiceClient<TokenChannel>,
    post: PostServiceClient<TokenChannel>,
    graph: GraphServiceClient<TokenChannel>,
    log: LogServiceClient<TokenChannel>,
    meta: MetaServiceClient<TokenChannel>,
    notification: NotificationServiceClient<TokenChannel>,
    health: HealthClient<TokenChannel>,
    servers: Servers,
    /// Whether a later call may have another token.
    may_renew: bool,
}

/// Connections, and the token that goes with each call.
type TokenChannel = InterceptedService<Servers, CallHeaders>;

/// The messages of one stream, in order.
#[derive(Debug)]
pub struct MessageStream<M = v1::WatchFeedResponse>(tonic::Streaming<M>);

impl Client {
    /// Connects to `address`, in the form of [`Addresses`]: of several, to any that serves. With TLS it trusts the
    /// system's authorities.
    ///
    /// # Errors
    /// The address is invalid, no server answers there, or TLS with it does not come about.
    pub async fn connect(address: &str) -> Result<Self, Error> {
        Self::connect_with(address, &ConnectOptions::default()).await
    }

    /// As [`Client::connect`], with other authorities or a certificate of the client.
    ///
    /// # Errors
    /// See [`Client::connect`]; or a file cannot be used.
    pub async fn connect_with(address: &str, options: &ConnectOptions) -> Result<Self, Error> {
        let addresses = parse(address)?;
        let headers = call_headers(&addresses, options)?;
        let endpoints = addresses.all().iter().map(|address| endpoint(address, options));
        let endpoints = endpoints.collect::<Result<Vec<_>, _>>()?;
        // Clients that all have the same list do not all begin with the same server.
        let start = fastrand::usize(..endpoints.len());
        let mut last = None;
        for at in (start..endpoints.len()).chain(0..start) {
            match Self::connect_to(&addresses, &endpoints, at, headers.clone()).await {
                Ok(client) => return Ok(client),
                Err(error) => last = Some(error),
            }
        }
        let Some(error) = last else { unreachable!("there is at least one address") };
        Err(error)
    }

    /// Connects to the server at `at`, and to others later.
    async fn connect_to(
        addresses: &Addresses,
        endpoints: &[Endpoint],
        at: usize,
        headers: CallHeaders,
    ) -> Result<Self, Error> {
        let address = || addresses.all()[at].to_string();
        let connected = endpoints[at].connect().await;
        let channel = connected.map_err(|source| match tls::problem(&source) {
            Some(problem) => Error::Tls { address: address(), problem },
            None => Error::Connect { address: address(), source: Box::new(source) },
        })?;
        let mut all: Vec<_> = std::iter::zip(addresses.all(), endpoints)
            .map(|(address, endpoint)| (address.clone(), endpoint.connect_lazy()))
            .collect();
        all[at].1 = channel;
        let client = Self::with_servers(Servers::new(all, at), headers);
        // One that starts or stops is there, and serves nobody.
        if client.servers.are_several() && !client.check_health().await? {
            return Err(Error::NotServing { address: address() });
        }
        Ok(client)
    }

    /// Opens the connections for `calls` concurrent calls, at least `connections_min`.
    ///
    /// # Errors
    /// See [`Client::connect_with`].
    pub async fn connect_for(
        address: &str,
        options: &ConnectOptions,
        calls: usize,
        connections_min: usize,
    ) -> Result<Vec<Self>, Error> {
        let mut clients = Vec::new();
        for _ in 0..calls.div_ceil(CALLS_PER_CONNECTION_MAX).max(connections_min) {
            clients.push(Self::connect_with(address, options).await?);
        }
        Ok(clients)
    }

    /// As [`Client::connect`], but connects with the first call, and again when the connection is
    /// lost.
    ///
    /// # Errors
    /// The address is invalid.
    pub fn connect_lazily(address: &str) -> Result<Self, Error> {
        let options = ConnectOptions::default();
        let lazily =
            |address: &Address| Ok((address.clone(), endpoint(address, &options)?.connect_lazy()));
        let all = parse(address)?.all().iter().map(lazily).collect::<Result<Vec<_>, Error>>()?;
        let start = fastrand::usize(..all.len());
        Ok(Self::with_servers(Servers::new(all, start), CallHeaders::default()))
    }

    /// A channel to the server at `address`, which connects with the first call and again when the connection is lost: for
    /// other nodes of a log, which expect an answer within `answer_time_max` from one that runs.
    ///
    /// # Errors
    /// The address is invalid, or a file cannot be used.
    pub fn node_channel(
        address: &str,
        options: &ConnectOptions,
        answer_time_max: Duration,
    ) -> Result<Channel, Error> {
        let address = address.parse().map_err(|problem| unusable(address, problem))?;
        let endpoint = endpoint(&address, options)?
            .connect_timeout(answer_time_max)
            .http2_keep_alive_interval(answer_time_max)
            .keep_alive_timeout(answer_time_max);
        Ok(endpoint.connect_lazy())
    }

    fn with_servers(servers: Servers, headers: CallHeaders) -> Self {
        let may_renew = headers.may_change();
        let channel = InterceptedService::new(servers.clone(), headers);
        // Some 200 B for each segment of the log.
        let admin = AdminServiceClient::new(channel.clone());
        let admin = admin.max_decoding_message_size(SEGMENT_LIST_BYTES_MAX);
        Self {
            admin,
            feed: FeedServiceClient::new(channel.clone()),
            post: PostServiceClient::new(channel.clone()),
            graph: GraphServiceClient::new(channel.clone()),
            log: LogServiceClient::new(channel.clone()),
            meta: MetaServiceClient::new(channel.clone()),
            notification: NotificationServiceClient::new(channel.clone()),
            health: HealthClient::new(channel),
            servers,
            may_renew,
        }
    }

    /// The error of a call. It may succeed later if its token has expired, with the next token in the file; and at once
    /// at another server, if this one stops.
    fn error(&self, error: impl Into<Error>) -> Error {
        let mut error = error.into();
        if let Error::Call(call) = &mut error {
            call.is_transient |= self.may_renew && call.reason == TOKEN_EXPIRED;
            if self.servers.are_several() && call.reason == DRAINING {
                call.retry_after = None;
            }
        }
        // Its connection may last for a while.
        if matches!(error, Error::Silent { .. }) {
            self.servers.leave("");
        }
        error
    }

    /// Calls WatchNotifications, for one stream that never resumes. [`Watch`] resumes.
    ///
    /// # Errors
    /// See [`Client::follow`].
    pub async fn watch_notifications(
        &self,
        request: v1::WatchNotificationsRequest,
    ) -> Result<MessageStream<v1::WatchNotificationsResponse>, Error> {
        let call = self.notification.clone().watch_notifications(request).await;
        Ok(MessageStream(call?.into_inner()))
    }

    /// Calls WatchFeed, for one stream that never resumes. [`Watch`] resumes.
    ///
    /// # Errors
    /// See [`Client::follow`].
    pub async fn watch_feed(&self, request: v1::WatchFeedRequest) -> Result<MessageStream, Error> {
        Ok(MessageStream(self.feed.clone().watch_feed(request).await?.into_inner()))
    }

    /// Calls ReadSegment. The bytes are whole only if the stream ends with `None`.
    ///
    /// # Errors
    /// See [`Client::follow`].
    pub async fn read_segment(
        &self,
        request: v1::ReadSegmentRequest,
    ) -> Result<MessageStream<v1::ReadSegmentResponse>, Error> {
        Ok(MessageStream(self.admin.clone().read_segment(request).await?.into_inner()))
    }

    /// Calls CheckIndex.
    ///
    /// # Errors
    /// See [`Client::follow`].
    pub async fn check_index(
        &self,
        request: v1::CheckIndexRequest,
    ) -> Result<MessageStream<v1::CheckIndexResponse>, Error> {
        Ok(MessageStream(self.admin.clone().check_index(request).await?.into_inner()))
    }

    /// Calls Check of `grpc.health.v1`, a call that does no work. Whether the server serves.
    ///
    /// # Errors
    /// See [`Client::follow`].
    pub async fn check_health(&self) -> Result<bool, Error> {
        let checked = self.health.clone().check(HealthCheckRequest::default()).await?;
        Ok(checked.into_inner().status() == ServingStatus::Serving)
    }
}

impl<M> MessageStream<M> {
    /// The next message; `None` if the stream ended with OK, which a Whimbrel server never does with a
    /// watch.
    ///
    /// # Errors
    /// Why the stream ended.
    pub async fn next(&mut self) -> Result<Option<M>, Error> {
        Ok(self.0.message().await?)
    }
}

fn parse(addresses: &str) -> Result<Addresses, Error> {
    addresses.parse().map_err(|problem| unusable(addresses, problem))
}

fn unusable(address: &str, problem: AddressError) -> Error {
    Error::Address { address: address.to_owned(), problem }
}

fn call_headers(addresses: &Addresses, options: &ConnectOptions) -> Result<CallHeaders, Error> {
    // Those to which a token is sent as it is.
    let checked = if options.is_network_trusted { &[][..] } else { addresses.all() };
    let headers = CallHeaders::new(options.token.as_ref(), checked)?;
    Ok(headers.in_trace(options.traceparent.as_deref()))
}

fn endpoint(address: &Address, options: &ConnectOptions) -> Result<Endpoint, Error> {
    let text = address.to_string();
    let host = AddressError::Host { host: text.clone() };
    let mut endpoint = Endpoint::from_shared(address.uri()).map_err(|_| unusable(&text, host))?;
    if address.is_tls() {
        let unusable = |error| Error::Certificates(error::root(&error));
        endpoint = endpoint.tls_config(options.tls()?).map_err(unusable)?;
    }
    Ok(endpoint
        .connect_timeout(CONNECT_TIME_MAX)
        .tcp_nodelay(true)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(16 * WINDOW_BYTES)
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT))
}
