//! The wait of a stream for its end, such as that of its connection. All streams of a connection
//! wait for one token, and each of them waits again after each message: so the wait is registered
//! once, and never for each message.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use pin_project_lite::pin_project;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

pin_project! {
    /// A registered wait for a token.
    #[derive(Debug)]
    pub struct TokenWait {
        token: CancellationToken,
        #[pin]
        cancelled: WaitForCancellationFutureOwned,
        // The waker that is registered.
        waker: Option<Waker>,
    }
}

impl TokenWait {
    /// A wait for `token`.
    #[must_use]
    pub fn new(token: CancellationToken) -> Pin<Box<Self>> {
        Box::pin(Self { cancelled: token.clone().cancelled_owned(), token, waker: None })
    }

    /// Whether the token is cancelled.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Waits until the token is cancelled.
    pub fn poll_cancelled(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_cancelled() {
            return Poll::Ready(());
        }
        let this = self.project();
        if this.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            return Poll::Pending;
        }
        *this.waker = Some(cx.waker().clone());
        this.cancelled.poll(cx)
    }
}
