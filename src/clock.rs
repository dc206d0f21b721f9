//! Time as the service sees it: a wall clock in epoch milliseconds that tests can move by hand.
//!
//! Safety never rests on a clock (versions and lease epochs decide what is current); clocks only
//! decide when to try. Everything that needs the time takes a [`Clock`]; `SystemTime::now` is
//! forbidden elsewhere.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A point in time: milliseconds since 1970-01-01 UTC.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The time `ms` milliseconds after the epoch.
    #[must_use]
    pub const fn from_epoch_ms(ms: i64) -> Self {
        Self(ms)
    }

    /// Milliseconds since the epoch.
    #[must_use]
    pub const fn epoch_ms(self) -> i64 {
        self.0
    }

    /// This time moved later; stays at the largest time on overflow.
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(millis(by)))
    }

    /// This time moved earlier; stays at the smallest time on overflow.
    #[must_use]
    pub fn minus(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(millis(by)))
    }

    /// How long after `earlier` this is; zero when it is not.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// RFC 3339 in UTC with milliseconds, e.g. `2026-11-22T10:30:00.000Z`.
    #[must_use]
    pub fn rfc3339(self) -> String {
        jiff::Timestamp::from_millisecond(self.0)
            .map_or_else(|_| self.0.to_string(), |time| format!("{time:.3}"))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.rfc3339())
    }
}

/// Whole milliseconds of a duration, capped at the largest a [`Timestamp`] can hold.
#[must_use]
pub fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Where the time comes from.
pub trait Clock: Send + Sync + 'static {
    /// The time now.
    fn now(&self) -> Timestamp;
}

/// The machine's own clock, uncorrected.
#[derive(Clone, Copy, Debug, Default)]
pub struct MachineClock;

impl Clock for MachineClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the machine's clock"
    )]
    fn now(&self) -> Timestamp {
        let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Timestamp(millis(since_epoch.unwrap_or_default()))
    }
}

/// A machine's clock, corrected to the database's.
///
/// All instances read leases and expiries by the database's clock, so that two machines whose
/// clocks differ agree.
pub struct SystemClock {
    machine: Arc<dyn Clock>,
    offset_ms: AtomicI64,
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::over(Arc::new(MachineClock))
    }
}

impl SystemClock {
    /// Over another machine's clock, e.g. a simulated one.
    #[must_use]
    pub fn over(machine: Arc<dyn Clock>) -> Self {
        Self {
            machine,
            offset_ms: AtomicI64::new(0),
        }
    }

    /// The machine's own time, uncorrected.
    #[must_use]
    pub fn machine_now(&self) -> Timestamp {
        self.machine.now()
    }

    /// How far the database's clock is taken to be ahead of the machine's, in milliseconds.
    #[must_use]
    pub fn offset_ms(&self) -> i64 {
        self.offset_ms.load(Ordering::Relaxed)
    }

    /// Sets how far the database's clock is ahead of the machine's, in milliseconds.
    pub fn set_offset_ms(&self, offset_ms: i64) {
        self.offset_ms.store(offset_ms, Ordering::Relaxed);
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp(
            self.machine
                .now()
                .0
                .saturating_add(self.offset_ms.load(Ordering::Relaxed)),
        )
    }
}

/// A clock that stands still until it is moved: for tests and simulations.
#[derive(Debug)]
pub struct ManualClock {
    now_ms: AtomicI64,
}

impl ManualClock {
    /// A clock that shows `start`.
    #[must_use]
    pub fn at(start: Timestamp) -> Self {
        Self {
            now_ms: AtomicI64::new(start.0),
        }
    }

    /// Moves the clock on.
    pub fn advance(&self, by: Duration) {
        self.now_ms.fetch_add(millis(by), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.now_ms.load(Ordering::SeqCst))
    }
}

/// Rounded up: a caller that waits so long is not too early.
pub(crate) fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_prints_as_rfc3339_with_milliseconds() {
        assert_eq!(
            Timestamp(1_795_343_400_007).rfc3339(),
            "2026-11-22T10:30:00.007Z"
        );
        assert_eq!(Timestamp(i64::MAX).rfc3339(), i64::MAX.to_string());
    }

    #[test]
    fn arithmetic_saturates() {
        assert_eq!(Timestamp(i64::MAX).plus(Duration::MAX), Timestamp(i64::MAX));
        assert_eq!(Timestamp(5).since(Timestamp(9)), Duration::ZERO);
    }
}
