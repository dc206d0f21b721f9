//! The body of a request, which must come in time.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::BoxError;
use axum::body::{Bytes, HttpBody};
use hyper::body::{Frame, Incoming, SizeHint};
use tokio::time::Sleep;

use super::watch::Watch;

/// The body did not come in time.
#[derive(Debug, thiserror::Error)]
#[error("the body of the request did not come in time")]
pub struct BodyTimeout;

/// A body of a watched connection.
#[derive(Debug)]
pub struct TimedBody {
    body: Incoming,
    watch: Arc<Watch>,
    waits: bool,
    patience: Duration,
    timer: Option<Pin<Box<Sleep>>>,
}

impl TimedBody {
    /// `patience`: for all of it.
    pub(super) fn new(body: Incoming, watch: Arc<Watch>, patience: Duration) -> Self {
        let waits = !body.is_end_stream();
        if waits {
            watch.wait_for_body(true);
        }
        Self {
            body,
            watch,
            waits,
            patience,
            timer: None,
        }
    }

    fn end(&mut self) {
        if std::mem::take(&mut self.waits) {
            self.watch.wait_for_body(false);
        }
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let patience = self.patience;
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        timer.as_mut().poll(cx)
    }
}

impl Drop for TimedBody {
    fn drop(&mut self) {
        self.end();
    }
}

impl HttpBody for TimedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        match Pin::new(&mut this.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => Poll::Ready(Some(Ok(frame))),
            Poll::Ready(Some(Err(error))) => {
                this.end();
                Poll::Ready(Some(Err(error.into())))
            }
            Poll::Ready(None) => {
                this.end();
                Poll::Ready(None)
            }
            Poll::Pending => match this.poll_timer(cx) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(()) => {
                    this.end();
                    Poll::Ready(Some(Err(BodyTimeout.into())))
                }
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
