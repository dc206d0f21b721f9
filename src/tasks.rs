//! The one place that starts background work.
//!
//! Two stages of stopping: *soft* tells loops to end after what they are doing, *hard* drops what
//! is left. A fetch in flight is let finish in the soft stage: its token would be lost otherwise.

use std::future::Future;
use std::num::NonZero;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

/// Starts background tasks and stops them in order. Clones share one tracker.
#[derive(Clone, Debug)]
pub struct Tasks {
    tracker: TaskTracker,
    soft: CancellationToken,
    hard: CancellationToken,
    /// How much may be computed at once.
    computing: Arc<Semaphore>,
}

impl Default for Tasks {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        // One core is left to serve.
        let computing = Arc::new(Semaphore::new(cores.saturating_sub(1).max(1)));
        Self {
            tracker: TaskTracker::default(),
            soft: CancellationToken::default(),
            hard: CancellationToken::default(),
            computing,
        }
    }
}

impl Tasks {
    /// Runs `work` to its end, or until the hard stop.
    pub fn spawn(&self, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        let hard = self.hard.clone();
        let span = tracing::Span::current();
        let task = async move {
            tokio::select! {
                () = hard.cancelled() => tracing::debug!(task = name, "stopped hard"),
                () = work => {}
            }
        };
        self.tracker.spawn(task.instrument(span));
    }

    /// Does work that keeps a processor busy, while the thread's other tasks go on elsewhere.
    ///
    /// Work that may take more than a few milliseconds waits its turn: one processor is always left
    /// for those who are served. On a runtime of a single thread it is simply done.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that hands a serving thread's tasks to another"
    )]
    pub async fn compute<T>(&self, is_costly: bool, work: impl FnOnce() -> T) -> T {
        let _turn = if is_costly {
            // It is never closed.
            self.computing.acquire().await.ok()
        } else {
            None
        };
        let has_others = Handle::try_current()
            .is_ok_and(|here| here.runtime_flavor() == RuntimeFlavor::MultiThread);
        if has_others {
            tokio::task::block_in_place(work)
        } else {
            work()
        }
    }

    /// Resolves when loops should end.
    pub async fn stopping(&self) {
        self.soft.cancelled().await;
    }

    /// Whether the soft stop was given.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.soft.is_cancelled()
    }

    /// Tells loops to end.
    pub fn stop_soft(&self) {
        self.soft.cancel();
    }

    /// Tells loops to end, waits up to `patience` for all tasks, then drops the rest.
    ///
    /// Returns whether everything ended by itself.
    pub async fn stop(&self, patience: Duration) -> bool {
        self.soft.cancel();
        self.tracker.close();
        let ended = tokio::time::timeout(patience, self.tracker.wait())
            .await
            .is_ok();
        self.hard.cancel();
        self.tracker.wait().await;
        ended
    }
}
