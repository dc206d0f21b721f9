//! What is good enough, and whether a fetch is allowed now. Pure: rows and a time in, a decision
//! out.

use std::time::Duration;

use super::{View, stale_after};
use crate::clock::Timestamp;
use crate::realm::Reissue;
use crate::service::Stale;
use crate::service::cause::Cause;
use crate::store::{RecordedFailure, StoredToken, TokenRow};

/// A stored token that was made with the current versions and may be handed out.
#[derive(Clone, Copy)]
pub(super) struct Usable<'a> {
    pub(super) row: &'a TokenRow,
    pub(super) token: &'a StoredToken,
}

impl Usable<'_> {
    /// Whether it will do without a fetch.
    pub(super) fn is_good_enough(&self, cause: Cause, seen_version: i64, now: Timestamp) -> bool {
        let left_ms = self
            .token
            .life
            .expires_at
            .map_or(i64::MAX, |at| at.epoch_ms() - now.epoch_ms());
        match cause {
            Cause::Miss => true,
            // The next credentials bring a token of their own.
            Cause::Next | Cause::Trial => false,
            Cause::Due => self.row.due_at.is_none_or(|due_at| now < due_at),
            Cause::Flush | Cause::Retry => self.row.version > seen_version,
            Cause::Report { version } => self.row.version > version,
            Cause::MinTtl { ms } => left_ms >= ms || self.row.version > seen_version,
        }
    }
}

/// Why no fetch is made now.
pub(super) enum Barrier<'a> {
    /// The last one was too short a time ago, or would bring nothing; until when.
    Floor(Timestamp),
    /// The last one failed; its next attempt has its time.
    Failed(&'a RecordedFailure),
}

/// A token reported dead within this time of its fetch was reported by somebody who still had the
/// one before.
const REPORT_FLOOR: Duration = Duration::from_secs(30);

impl View {
    /// The stored token, if it is current and usable.
    pub(super) fn usable(&self, now: Timestamp) -> Option<Usable<'_>> {
        let row = self.row.as_ref()?;
        let token = row.token.as_ref()?;
        let is_current = token.realm_version == self.realm_version
            && token.secret_version == self.secret.version;
        // While an attempt is put off, the token is as good as it gets: it is served to its very
        // end.
        let next_try_at = self
            .failure()
            .map(|failure| failure.next_attempt_at)
            .max(row.due_at);
        let usable = token.life.usable_while_not_due(next_try_at, now);
        (is_current && usable).then_some(Usable { row, token })
    }

    /// Why a fetch must not be made now, if so.
    pub(super) fn barrier(&self, cause: Cause, now: Timestamp) -> Option<Barrier<'_>> {
        let held = self.usable(now);
        if let Some(failure) = self.failure()
            && cause != Cause::Retry
            && now < failure.pause_ends_at(held.is_some())
        {
            return Some(Barrier::Failed(failure));
        }
        let held = held?;
        let until = self.floor(held, cause).max(self.grant_floor(held, cause));
        (until > now).then_some(Barrier::Floor(until))
    }

    /// The last failure since the last success, if it was with these versions: an edit is a reason
    /// to try at once.
    pub(super) fn failure(&self) -> Option<&RecordedFailure> {
        let row = self.row.as_ref().filter(|row| row.failed_attempts > 0)?;
        let failure = row.failure.as_ref()?;
        let is_current = failure.realm_version == self.realm_version
            && failure.secret_version == self.secret.version
            && failure.settings_fingerprint == self.settings_fingerprint;
        is_current.then_some(failure)
    }

    /// What callers should know of the last failure while the token lives.
    pub(super) fn stale(&self, now: Timestamp) -> Option<Stale> {
        let due = self
            .row
            .as_ref()?
            .due_at
            .is_some_and(|due_at| now >= due_at);
        self.failure().filter(|_| due).map(stale_after)
    }

    /// From when on another fetch is allowed while a token is held.
    fn floor(&self, held: Usable<'_>, cause: Cause) -> Timestamp {
        let fetched_at = held.token.life.obtained_at;
        let interval = match cause {
            Cause::Report { .. } => self.policy.min_interval.max(REPORT_FLOOR),
            Cause::Miss
            | Cause::Due
            | Cause::Flush
            | Cause::MinTtl { .. }
            | Cause::Retry
            | Cause::Next
            | Cause::Trial => self.policy.min_interval,
        };
        let floor = fetched_at.plus(interval);
        if let Cause::MinTtl { ms } = cause {
            floor.max(self.min_ttl_floor(held, ms))
        } else {
            floor
        }
    }

    /// A grant of unknown state is left alone while the held token is good, unless somebody
    /// insists.
    fn grant_floor(&self, held: Usable<'_>, cause: Cause) -> Timestamp {
        let unknown_until = match cause {
            Cause::Report { .. } | Cause::Retry => None,
            Cause::Miss
            | Cause::Due
            | Cause::Flush
            | Cause::MinTtl { .. }
            | Cause::Next
            | Cause::Trial => self.unknown_until(held.token.life.expires_at),
        };
        unknown_until.unwrap_or(Timestamp::from_epoch_ms(0))
    }

    /// A provider that repeats its token has a longer one only in its window, and not soon after it
    /// has repeated it; none has one longer than its tokens live.
    ///
    /// With tokens of 7200 s and `same_until` 1800 s: from 5400 s on; after a repeat at 5500 s, when
    /// the renewal is due again.
    fn min_ttl_floor(&self, held: Usable<'_>, ms: i64) -> Timestamp {
        let life = held.token.life;
        let never = Timestamp::from_epoch_ms(i64::MAX);
        let Some(expires_at) = life.expires_at else {
            return never;
        };
        let window_opens = match self.policy.reissue {
            Reissue::Same {
                until,
                extends: false,
            } => expires_at.minus(until),
            Reissue::Same { .. } | Reissue::Replaces { .. } | Reissue::Coexists => life.obtained_at,
        };
        let whole_ms = expires_at
            .epoch_ms()
            .saturating_sub(life.obtained_at.epoch_ms());
        // A provider that has repeated this token will not give a longer one to whoever asks again
        // at once, whatever its realm says of its window.
        // One that a new token would have for a moment only counts as longer than it lives.
        let shortly_ms = (whole_ms / 1000).max(5_000);
        if whole_ms.saturating_sub(shortly_ms) < ms || held.row.repeat_count > 0 {
            window_opens.max(held.row.due_at.unwrap_or(expires_at))
        } else {
            window_opens
        }
    }
}
