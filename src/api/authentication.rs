//! Authentication of calls: finds out who makes a call, and refuses callers that may not make it.
//! Never reads a message: for whom a call is made is checked with its request, in `caller.rs`.

use std::future::{Future, Ready, ready};
use std::pin::Pin;
use std::task::{Context, Poll};

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue, Request, Response};
use tokio_util::either::Either;
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

use super::{Peer, Quotas, network, status};
use crate::auth::access::{self, Access};
use crate::auth::{Auth, Caller, Identified, Refusal, UnknownToken};

/// The scheme of the header (RFC 6750, section 2.1). Case does not matter (RFC 9110, section 11.1).
const SCHEME: &str = "bearer";

/// The layer that authenticates calls. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Authentication {
    auth: Option<Auth>,
    quotas: Quotas,
    /// The caller of all calls, if nobody is asked who calls.
    unknown: Caller,
}

/// The services behind the [`Authentication`].
#[derive(Clone, Debug)]
pub struct AuthenticationService<S> {
    services: S,
    layer: Authentication,
}

impl Authentication {
    /// Asks `auth` who calls, and counts their calls in `quotas`. Without `auth` every caller may do
    /// everything.
    #[must_use]
    pub fn new(auth: Option<Auth>, quotas: Quotas) -> Self {
        Self { auth, quotas, unknown: Caller::unknown() }
    }

    /// Decides by the headers of `request`, from which it takes the token: nothing behind sees it.
    fn decide<B>(&self, request: &mut Request<B>) -> Decision {
        let Some(auth) = &self.auth else { return Decision::Call(Some(self.unknown.clone())) };
        let header = take_header(request.headers_mut());
        // Before the token is looked at, so that a probe of health costs nothing.
        let access = match access::of(request.uri().path()) {
            Some(Access::Everybody) => return Decision::Call(None),
            Some(access) => access,
            None => return Decision::Refuse(status::no_such_rpc(request.uri().path())),
        };
        let token = match header.as_ref().map_err(Clone::clone).and_then(bearer) {
            Ok(token) => token,
            Err(refusal) => return Decision::Refuse(status::from_refusal(refusal)),
        };
        let peer = request.extensions().get::<Peer>();
        match self.identify(auth, token, peer) {
            Ok(Identified::Caller(caller)) => match self.admit(caller, access) {
                Ok(caller) => Decision::Call(Some(caller)),
                Err(status) => Decision::Refuse(status),
            },
            Ok(Identified::Nobody) => Decision::Refuse(status::from_refusal(Refusal::NoToken)),
            Ok(Identified::Refused(refusal)) => {
                self.count_refusal(peer, &refusal);
                Decision::Refuse(status::from_refusal(refusal))
            }
            Ok(Identified::Later(token)) => {
                let peer = peer.cloned();
                Decision::Later { auth: auth.clone(), access, token, peer }
            }
            Err(status) => Decision::Refuse(status),
        }
    }

    /// Who calls.
    ///
    /// # Errors
    /// The token was never seen, and too many from the same address were refused: it is not looked
    /// at.
    fn identify(
        &self,
        auth: &Auth,
        token: Option<&str>,
        peer: Option<&Peer>,
    ) -> Result<Identified, Status> {
        if let Some(token) = token
            && let Some(peer) = peer
            && let Err(status) = self.quotas.try_token(network(peer.address))
            && !auth.has_seen(token)
        {
            return Err(status);
        }
        let certificate = peer.and_then(|peer| peer.certificate.as_deref());
        let names = certificate.map_or(&[][..], |certificate| &certificate.names);
        Ok(auth.identify(token, names))
    }

    /// Counts a token that was not accepted, unless that is not its sender's fault.
    fn count_refusal(&self, peer: Option<&Peer>, refusal: &Refusal) {
        let is_ours = matches!(refusal, Refusal::NoKeys | Refusal::Clock);
        if let Some(peer) = peer.filter(|_| !is_ours) {
            self.quotas.refused(network(peer.address));
        }
    }

    /// Lets a call of `caller` in.
    ///
    /// # Errors
    /// It may not make the call, or has used up a quota.
    fn admit(&self, caller: Caller, access: Access) -> Result<Caller, Status> {
        access.check(caller.role()).map_err(status::from_refusal)?;
        self.quotas.call(&caller, access)?;
        Ok(caller)
    }
}

/// What happens with a call.
enum Decision {
    /// The services are called, by this caller if the RPC needs one.
    Call(Option<Caller>),
    Refuse(Status),
    /// The keys of the token's issuer are fetched first.
    Later {
        auth: Auth,
        access: Access,
        token: UnknownToken,
        peer: Option<Peer>,
    },
}

impl<S> Layer<S> for Authentication {
    type Service = AuthenticationService<S>;

    fn layer(&self, services: S) -> AuthenticationService<S> {
        AuthenticationService { services, layer: self.clone() }
    }
}

type Answer<E> = Result<Response<Body>, E>;
type BoxedAnswer<E> = Pin<Box<dyn Future<Output = Answer<E>> + Send>>;

impl<S, B> Service<Request<B>> for AuthenticationService<S>
where
    S: Service<Request<B>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    B: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Either<S::Future, Either<Ready<Answer<S::Error>>, BoxedAnswer<S::Error>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.services.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        match self.layer.decide(&mut request) {
            Decision::Call(caller) => {
                if let Some(caller) = caller {
                    request.extensions_mut().insert(caller);
                }
                Either::Left(self.services.call(request))
            }
            Decision::Refuse(status) => Either::Right(Either::Left(ready(Ok(status.into_http())))),
            Decision::Later { auth, access, token, peer } => {
                let (mut services, layer) = (self.services.clone(), self.layer.clone());
                Either::Right(Either::Right(Box::pin(async move {
                    let caller = auth.identify_later(token).await.map_err(|refusal| {
                        layer.count_refusal(peer.as_ref(), &refusal);
                        status::from_refusal(refusal)
                    });
                    match caller.and_then(|caller| layer.admit(caller, access)) {
                        Ok(caller) => {
                            request.extensions_mut().insert(caller);
                            services.call(request).await
                        }
                        Err(status) => Ok(status.into_http()),
                    }
                })))
            }
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
