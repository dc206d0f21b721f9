//! How often each invariant was checked, and how often it was broken.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Mutex;

use token_server::clock::{Clock as _, MachineClock};
use tokio::time::Instant;

/// What must always hold. What each one allows stands where it is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Invariant {
    /// A token answered was issued by the provider for that secret.
    Issued,
    /// No token is answered to an ask that was sent after its expiry.
    Unexpired,
    /// `expires_in` tells no more than is left.
    Left,
    /// A token answered is let in by the provider: it was not replaced for longer than the overlap.
    Works,
    /// Never an older token after a newer one from the same process.
    Order,
    /// No token of replaced credentials after an edit.
    Edited,
    /// An ask fails only where the process has no good token.
    Served,
    /// No caller waits longer than its deadline.
    Deadline,
    /// A connection ends without an answer only when the process was killed.
    Answered,
    /// One fetch of a secret at a time.
    OneAtATime,
    /// One fetch for each expiry, flush, report or edit.
    OnePerReason,
    /// All is well again soon after the last fault.
    Recovers,
}

impl Invariant {
    const ALL: [Self; 12] = [
        Self::Issued,
        Self::Unexpired,
        Self::Left,
        Self::Works,
        Self::Order,
        Self::Edited,
        Self::Served,
        Self::Deadline,
        Self::Answered,
        Self::OneAtATime,
        Self::OnePerReason,
        Self::Recovers,
    ];

    fn words(self) -> &'static str {
        match self {
            Self::Issued => "an answered token was issued for that secret",
            Self::Unexpired => "no token is answered after its expiry",
            Self::Left => "expires_in tells no more than is left",
            Self::Works => "an answered token works at the provider",
            Self::Order => "no older token after a newer one, per process",
            Self::Edited => "no token of replaced credentials after an edit",
            Self::Served => "an ask fails only where no good token is held",
            Self::Deadline => "no caller waits longer than its deadline",
            Self::Answered => "no connection ends unanswered unless killed",
            Self::OneAtATime => "one fetch of a secret under way",
            Self::OnePerReason => "one fetch per expiry, flush, report or edit",
            Self::Recovers => "a working token soon after the last fault",
        }
    }
}

#[derive(Clone, Copy, Default)]
struct Count {
    checked: u64,
    excused: u64,
    broken: u64,
}

/// What came of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Holds,
    /// It would be broken, but for what the documents allow after a fault.
    Excused,
    Broken,
}

impl Verdict {
    /// `excused` counts only where it does not hold.
    pub(crate) fn of(holds: bool, excused: bool) -> Self {
        match (holds, excused) {
            (true, _) => Self::Holds,
            (false, true) => Self::Excused,
            (false, false) => Self::Broken,
        }
    }
}

impl From<bool> for Verdict {
    fn from(holds: bool) -> Self {
        Self::of(holds, false)
    }
}

/// The counts of all invariants.
#[derive(Default)]
pub(crate) struct Tally(Mutex<BTreeMap<Invariant, Count>>);

/// Told in words of each invariant; later ones are counted only.
const TOLD: u64 = 20;

impl Tally {
    /// Counts a check, and tells at once of one that fails.
    pub(crate) fn check(
        &self,
        invariant: Invariant,
        verdict: impl Into<Verdict>,
        story: impl FnOnce() -> String,
    ) {
        let verdict = verdict.into();
        let mut counts = self.0.lock().unwrap();
        let count = counts.entry(invariant).or_default();
        count.checked += 1;
        count.excused += u64::from(verdict == Verdict::Excused);
        if verdict != Verdict::Broken {
            return;
        }
        count.broken += 1;
        if count.broken <= TOLD {
            say(&format!("BROKEN: {}: {}", invariant.words(), story()));
        }
    }

    /// How many checks failed.
    pub(crate) fn broken(&self) -> u64 {
        self.0
            .lock()
            .unwrap()
            .values()
            .map(|count| count.broken)
            .sum()
    }

    /// A line for each invariant.
    pub(crate) fn table(&self) -> String {
        let counts = self.0.lock().unwrap();
        let mut table = format!(
            "{:<50}{:>10}{:>10}{:>10}\n",
            "invariant", "checked", "excused", "broken"
        );
        for invariant in Invariant::ALL {
            let Count {
                checked,
                excused,
                broken,
            } = counts.get(&invariant).copied().unwrap_or_default();
            // Writing to a string does not fail.
            let _ = writeln!(
                table,
                "{:<50}{checked:>10}{excused:>10}{broken:>10}",
                invariant.words()
            );
        }
        table
    }
}

/// A line with the time as it stands in the servers' logs.
pub(crate) fn say(line: &str) {
    #[expect(clippy::print_stderr, reason = "for whoever watches")]
    {
        eprintln!("{} {line}", MachineClock.now().rfc3339());
    }
}

/// A time as seconds from now.
pub(crate) struct Ago(pub(crate) Instant);

impl std::fmt::Debug for Ago {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let now = Instant::now();
        let (past, future) = (
            now.saturating_duration_since(self.0),
            self.0.saturating_duration_since(now),
        );
        write!(f, "{:+.3} s", future.as_secs_f64() - past.as_secs_f64())
    }
}
