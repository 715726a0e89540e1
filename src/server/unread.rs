//! What is left unread of a request over HTTP/1.1 that was answered before its end, as one that is refused by its
//! head. It is read and dropped before the answer is sent: a connection that is closed while its client still writes
//! is reset, and the client may lose the answer. Never waits longer than for a request, and never keeps a byte.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http::header::EXPECT;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::timeout;

/// How many of the largest messages are read: who sends more by far than is allowed is cut off.
const MESSAGES_MAX: usize = 16;

/// The body of a request, which leaves its rest behind if it is dropped before its end.
#[derive(Debug)]
pub(super) struct RequestBody {
    /// `None` when it is dropped.
    incoming: Option<Incoming>,
    unread: Option<Unread>,
}

/// Where a body leaves its rest.
#[derive(Clone, Debug, Default)]
pub(super) struct Unread(Arc<Mutex<Option<Incoming>>>);

impl RequestBody {
    /// Of a request of HTTP/2, where each stream ends by itself.
    pub(super) fn of_http2(request: Request<Incoming>) -> Request<Self> {
        request.map(|incoming| Self { incoming: Some(incoming), unread: None })
    }

    /// Of a request of HTTP/1.1, and what it leaves.
    pub(super) fn of_http1(request: Request<Incoming>) -> (Request<Self>, Unread) {
        let unread = Unread::default();
        // Its client sends nothing until it is asked to, which reading would do.
        let is_asked_for = request.headers().contains_key(EXPECT);
        let left = (!is_asked_for).then(|| unread.clone());
        (request.map(|incoming| Self { incoming: Some(incoming), unread: left }), unread)
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        let rest = self.incoming.take().filter(|incoming| !incoming.is_end_stream());
        if let Some(unread) = &self.unread {
            *unread.0.lock().unwrap_or_else(PoisonError::into_inner) = rest;
        }
    }
}

impl Unread {
    /// Reads what is left, within `time_max`, unless it is much more than messages of `bytes_max` bytes.
    pub(super) async fn read(&self, bytes_max: usize, time_max: Duration) {
        let rest = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut rest) = rest else { return };
        // A limit near that of the address space is none.
        let mut left = bytes_max.saturating_mul(MESSAGES_MAX);
        let reads = async {
            while let Some(Ok(frame)) = poll_fn(|cx| Pin::new(&mut rest).poll_frame(cx)).await {
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                match left.checked_sub(bytes) {
                    Some(less) => left = less,
                    None => return,
                }
            }
        };
        // Who does not send it in time is answered all the same.
        drop(timeout(time_max, reads).await);
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        match &mut self.incoming {
            Some(incoming) => Pin::new(incoming).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.as_ref().map(Body::size_hint).unwrap_or_default()
    }
}
