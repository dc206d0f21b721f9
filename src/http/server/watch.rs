//! What a connection is doing, so that one that stands still is ended.
//!
//! hyper counts the idle time of a kept connection into the time for a head. Here they are apart:
//! the socket notes the first bytes that come after an answer, the service notes when the request
//! is whole.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Shared by the socket, the requests and the guard of one connection.
#[derive(Debug)]
pub(super) struct Watch {
    /// HTTP/2 frames that are no request come at any time: there is no head to wait for.
    has_heads: AtomicBool,
    in_head: AtomicBool,
    /// Requests that are not answered yet.
    active: AtomicU32,
    /// Requests whose body is waited for.
    waiting: AtomicU32,
    /// Moves when bytes are read.
    reads: AtomicU32,
    /// Moves when bytes are written.
    writes: AtomicU32,
    /// Since when it has been free to be closed, in ms of the server's life; [`BUSY`]: it is not.
    free_since_ms: AtomicU64,
}

/// Not free.
pub(super) const BUSY: u64 = u64::MAX;

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing is asked.
    Idle,
    /// A part of a request's head has come.
    Head,
    /// A request is under way, and all of it has come.
    Busy,
    /// The body of the request under way is waited for.
    Body,
}

impl Watch {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            has_heads: AtomicBool::new(true),
            in_head: AtomicBool::new(false),
            active: AtomicU32::new(0),
            waiting: AtomicU32::new(0),
            reads: AtomicU32::new(0),
            writes: AtomicU32::new(0),
            free_since_ms: AtomicU64::new(0),
        })
    }

    /// It speaks HTTP/2.
    pub(super) fn have_no_heads(&self) {
        self.has_heads.store(false, Ordering::Relaxed);
        self.in_head.store(false, Ordering::Relaxed);
    }

    pub(super) fn phase(&self) -> Phase {
        if self.active.load(Ordering::Relaxed) == 0 {
            return if self.in_head.load(Ordering::Relaxed) {
                Phase::Head
            } else {
                Phase::Idle
            };
        }
        if self.waiting.load(Ordering::Relaxed) == 0 {
            Phase::Busy
        } else {
            Phase::Body
        }
    }

    /// What has moved: the number changes with each sign of life that counts in a phase.
    pub(super) fn progress(&self, phase: Phase) -> u32 {
        match phase {
            Phase::Idle => self.writes.load(Ordering::Relaxed),
            // Bytes that drip do not make the time longer.
            Phase::Head => 0,
            Phase::Busy | Phase::Body => self.reads.load(Ordering::Relaxed),
        }
    }

    pub(super) fn set_free_since(&self, at_ms: u64) {
        self.free_since_ms.store(at_ms, Ordering::Relaxed);
    }

    pub(super) fn free_since(&self) -> u64 {
        self.free_since_ms.load(Ordering::Relaxed)
    }

    /// A request has come; it is answered when what this returns is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> Request {
        self.in_head.store(false, Ordering::Relaxed);
        self.active.fetch_add(1, Ordering::Relaxed);
        Request(Arc::clone(self))
    }

    pub(super) fn wait_for_body(&self, waits: bool) {
        if waits {
            self.waiting.fetch_add(1, Ordering::Relaxed);
        } else {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn note_write(&self) {
        self.writes.fetch_add(1, Ordering::Relaxed);
    }

    fn note_read(&self) {
        self.reads.fetch_add(1, Ordering::Relaxed);
        if self.has_heads.load(Ordering::Relaxed) && self.active.load(Ordering::Relaxed) == 0 {
            self.in_head.store(true, Ordering::Relaxed);
        }
    }
}

/// A request under way.
#[derive(Debug)]
pub(super) struct Request(Arc<Watch>);

impl Drop for Request {
    fn drop(&mut self) {
        self.0.active.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A socket that is watched.
#[derive(Debug)]
pub(super) struct Watched<S> {
    pub(super) socket: S,
    pub(super) watch: Arc<Watch>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.socket).poll_read(cx, buffer))?;
        if buffer.filled().len() > before {
            this.watch.note_read();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(Pin::new(&mut this.socket).poll_write(cx, bytes));
        this.watch.note_write();
        Poll::Ready(written)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(Pin::new(&mut this.socket).poll_write_vectored(cx, slices));
        this.watch.note_write();
        Poll::Ready(written)
    }
}
