//! Ends a connection that stands still, and all of them when the server ends.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::server::graceful::GracefulConnection;
use tokio::time::{Instant, Sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::watch::{BUSY, Phase, Watch};

/// How long a client may take.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// For the head of a request, from its first byte.
    pub head: Duration,
    /// For the first byte of the next request.
    pub idle: Duration,
    /// For the body of a request, from the end of its head.
    pub request: Duration,
}

/// When the server ends, a head that has begun may take so long,
const LAST_HEAD: Duration = Duration::from_secs(1);
/// and a body may stand still for so long.
const LAST_BODY: Duration = Duration::from_secs(3);
/// Nothing is waited for.
const NEVER: Duration = Duration::from_hours(24);

/// A connection that is watched.
pub(super) struct Guarded<C> {
    connection: Pin<Box<C>>,
    watch: Arc<Watch>,
    timeouts: Timeouts,
    began: Instant,
    /// What was seen the last time, and when it began.
    seen: (Phase, u32),
    since: Instant,
    stop: Pin<Box<WaitForCancellationFutureOwned>>,
    stopped_at: Option<Instant>,
    timer: Pin<Box<Sleep>>,
}

impl<C: GracefulConnection> Guarded<C> {
    /// `stop` ends it as soon as nothing is asked on it; `began` is when the server did.
    pub(super) fn new(
        connection: C,
        watch: Arc<Watch>,
        timeouts: Timeouts,
        stop: CancellationToken,
        began: Instant,
    ) -> Self {
        let now = Instant::now();
        let this = Self {
            connection: Box::pin(connection),
            timeouts,
            began,
            seen: (Phase::Idle, watch.progress(Phase::Idle)),
            since: now,
            stop: Box::pin(stop.cancelled_owned()),
            stopped_at: None,
            timer: Box::pin(tokio::time::sleep_until(now + timeouts.head)),
            watch,
        };
        this.note_free();
        this
    }

    /// Looks what the connection does; answers until when it may go on so.
    fn deadline(&mut self) -> Instant {
        let phase = self.watch.phase();
        let seen = (phase, self.watch.progress(phase));
        if seen != self.seen {
            self.seen = seen;
            self.since = Instant::now();
            self.note_free();
        }
        let patience = match (phase, self.stopped_at) {
            (Phase::Busy, _) | (Phase::Body, None) => NEVER,
            (Phase::Idle, None) => self.timeouts.idle,
            (Phase::Head, None) => self.timeouts.head,
            (Phase::Idle, Some(_)) => Duration::ZERO,
            (Phase::Head, Some(_)) => LAST_HEAD,
            (Phase::Body, Some(_)) => LAST_BODY,
        };
        let since = self.stopped_at.map_or(self.since, |at| at.max(self.since));
        since + patience
    }

    /// Lets others see since when it could be closed.
    fn note_free(&self) {
        let at_ms = match self.seen.0 {
            Phase::Idle | Phase::Head => {
                u64::try_from((self.since - self.began).as_millis()).unwrap_or(0)
            }
            Phase::Busy | Phase::Body => BUSY,
        };
        self.watch.set_free_since(at_ms);
    }
}

impl<C: GracefulConnection> Future for Guarded<C> {
    type Output = Result<(), C::Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if this.stopped_at.is_none() && this.stop.as_mut().poll(cx).is_ready() {
            this.stopped_at = Some(Instant::now());
            this.connection.as_mut().graceful_shutdown();
        }
        if let Poll::Ready(ended) = this.connection.as_mut().poll(cx) {
            return Poll::Ready(ended);
        }
        loop {
            let deadline = this.deadline();
            // One timer for all: it is set back only when it has fired, and forth when it must.
            if deadline < this.timer.deadline() {
                this.timer.as_mut().reset(deadline);
            }
            if this.timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            if Instant::now() >= deadline {
                return Poll::Ready(Ok(()));
            }
            this.timer.as_mut().reset(deadline);
        }
    }
}
