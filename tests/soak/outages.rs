//! When each instance could not do what it promises: what excuses a second fetch, and what does
//! not.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

/// One of the three places of a cluster; its processes come and go.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    pub(crate) cluster: usize,
    pub(crate) number: usize,
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.cluster, self.number)
    }
}

/// What happened to an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outage {
    /// SIGKILL, until it was gone.
    Killed,
    /// SIGSTOP, until SIGCONT.
    Stopped,
    /// Its database did not answer, or not in time.
    Cut,
}

struct Span {
    place: Place,
    outage: Outage,
    from: Instant,
    /// `None`: it lasts.
    until: Option<Instant>,
}

/// All that happened so far.
#[derive(Default)]
pub(crate) struct Outages(Mutex<Vec<Span>>);

/// An outage that lasts.
#[derive(Clone, Copy)]
pub(crate) struct Lasting(usize);

impl Outages {
    /// Noted before it is done, so that nothing it causes comes first.
    pub(crate) fn begin(&self, place: Place, outage: Outage) -> Lasting {
        let mut spans = self.0.lock().unwrap();
        spans.push(Span {
            place,
            outage,
            from: Instant::now(),
            until: None,
        });
        Lasting(spans.len() - 1)
    }

    /// Noted after it is over.
    pub(crate) fn end(&self, Lasting(number): Lasting) {
        self.0.lock().unwrap()[number].until = Some(Instant::now());
    }

    /// Ends what lasts: all is mended.
    pub(crate) fn end_all(&self) {
        let mut spans = self.0.lock().unwrap();
        spans
            .iter_mut()
            .for_each(|span| span.until = span.until.or_else(|| Some(Instant::now())));
    }

    /// Whether one of these happened to an instance in this time.
    pub(crate) fn touch(
        &self,
        place: Place,
        outages: &[Outage],
        from: Instant,
        until: Instant,
    ) -> bool {
        let spans = self.0.lock().unwrap();
        spans.iter().any(|span| {
            let overlaps = span.from <= until && span.until.is_none_or(|end| end >= from);
            span.place == place && outages.contains(&span.outage) && overlaps
        })
    }

    /// For how long of this time an instance was stopped.
    pub(crate) fn stopped_for(&self, place: Place, from: Instant, until: Instant) -> Duration {
        let spans = self.0.lock().unwrap();
        let stops = spans
            .iter()
            .filter(|span| span.place == place && span.outage == Outage::Stopped);
        stops
            .map(|span| {
                let end = span.until.unwrap_or(until).min(until);
                end.saturating_duration_since(span.from.max(from))
            })
            .sum()
    }
}
