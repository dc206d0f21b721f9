//! A circuit per realm: while its provider is down, its secrets do not each find that out for
//! themselves.
//!
//! In a row of failures to reach the provider the circuit opens and calls are refused at once;
//! after a pause one call is let through (half-open), and its outcome closes the circuit or opens
//! it for longer. Each instance has its own. A provider that answers, if only to refuse, is not
//! down. An edit of the realm starts anew.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Timestamp;
use crate::failure::{Failure, FailureKind, ProviderSays};

/// Failures in a row that open a circuit.
const OPEN_AFTER: u32 = 5;
/// The first pause; doubles with each call let through in vain.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// The circuits of all realms that failed of late.
#[derive(Clone, Default)]
pub(super) struct Circuits(Arc<Mutex<HashMap<String, Circuit>>>);

struct Circuit {
    realm_version: i64,
    failures: u32,
    pause: Duration,
    /// Set while it is open.
    open: Option<Open>,
}

struct Open {
    since: Timestamp,
    until: Timestamp,
    last: Failure,
    /// A call was let through and has not come back.
    is_tried: bool,
}

/// Calls are refused.
pub(super) struct Refusal {
    /// Since when.
    pub(super) since: Timestamp,
    /// When a call is let through.
    pub(super) until: Timestamp,
    /// The last failure.
    pub(super) last: Failure,
}

/// The leave to call a provider once; tells the circuit what came of it.
pub(super) struct Pass {
    circuits: Circuits,
    realm: String,
    realm_version: i64,
    is_probe: bool,
}

impl Circuits {
    /// Leave to call the provider of a realm; `by_hand`: whatever the circuit says.
    pub(super) fn enter(
        &self,
        realm: &str,
        realm_version: i64,
        by_hand: bool,
        now: Timestamp,
    ) -> Result<Pass, Refusal> {
        let pass = |is_probe| Pass {
            circuits: self.clone(),
            realm: realm.to_owned(),
            realm_version,
            is_probe,
        };
        let mut circuits = self.locked();
        let circuit = circuits
            .get_mut(realm)
            .filter(|circuit| circuit.realm_version == realm_version);
        let Some(open) = circuit
            .and_then(|circuit| circuit.open.as_mut())
            .filter(|_| !by_hand)
        else {
            return Ok(pass(false));
        };
        if open.is_tried || now < open.until {
            // While one call is tried, the others come back a moment later.
            let until = open.until.max(now.plus(Duration::from_secs(1)));
            return Err(Refusal {
                since: open.since,
                until,
                last: open.last.clone(),
            });
        }
        open.is_tried = true;
        Ok(pass(true))
    }

    /// Until when a realm's circuit is open.
    pub(super) fn open_until(&self, realm: &str, realm_version: i64) -> Option<Timestamp> {
        let circuits = self.locked();
        let circuit = circuits
            .get(realm)
            .filter(|circuit| circuit.realm_version == realm_version)?;
        circuit.open.as_ref().map(|open| open.until)
    }

    fn locked(&self) -> MutexGuard<'_, HashMap<String, Circuit>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pass {
    /// Notes what came of the call, at `now`.
    pub(super) fn settle(&self, failure: Option<&Failure>, now: Timestamp) {
        let mut circuits = self.circuits.locked();
        let Some(failure) = failure.filter(|failure| is_down(failure)) else {
            let circuit = circuits.remove(&self.realm);
            if circuit.is_some_and(|circuit| circuit.open.is_some()) {
                tracing::info!(realm = self.realm, "the provider answers again");
            }
            return;
        };
        let fresh = || Circuit {
            realm_version: self.realm_version,
            failures: 0,
            pause: FIRST_PAUSE,
            open: None,
        };
        let circuit = circuits.entry(self.realm.clone()).or_insert_with(fresh);
        if circuit.realm_version != self.realm_version {
            *circuit = fresh();
        }
        circuit.note(failure, self.is_probe, now, &self.realm);
    }
}

impl Circuit {
    fn note(&mut self, failure: &Failure, is_probe: bool, now: Timestamp, realm: &str) {
        self.failures = self.failures.saturating_add(1);
        // Calls that were under way when it opened say nothing new.
        if self.failures < OPEN_AFTER || (self.open.is_some() && !is_probe) {
            return;
        }
        let since = self.open.as_ref().map_or(now, |open| open.since);
        let until = now.plus(
            self.pause
                .max(failure.retry_after.unwrap_or_default().min(LONGEST_PAUSE)),
        );
        if self.open.is_none() {
            tracing::warn!(
                realm,
                failures = self.failures,
                "the provider is down; calls are held back"
            );
        }
        // The provider's words were about one secret: others are not told them.
        let last = Failure {
            provider: ProviderSays::default(),
            ..failure.clone()
        };
        self.open = Some(Open {
            since,
            until,
            last,
            is_tried: false,
        });
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }
}

impl Drop for Pass {
    /// A call that was let through and never made gives its turn to the next.
    fn drop(&mut self) {
        if self.is_probe
            && let Some(open) = self
                .circuits
                .locked()
                .get_mut(&self.realm)
                .and_then(|circuit| circuit.open.as_mut())
        {
            open.is_tried = false;
        }
    }
}

/// Whether the provider was not reached, or is out of order.
fn is_down(failure: &Failure) -> bool {
    match failure.kind {
        FailureKind::Busy => !failure.is_throttled,
        FailureKind::Unreachable | FailureKind::TimedOut => true,
        FailureKind::Config
        | FailureKind::Refused
        | FailureKind::Quota
        | FailureKind::Dependency
        | FailureKind::Reauthorise
        | FailureKind::Malformed => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_epoch_ms(seconds * 1000)
    }

    fn enter(circuits: &Circuits, seconds: i64) -> Option<Pass> {
        circuits.enter("r", 1, false, at(seconds)).ok()
    }

    fn fail(pass: &Pass, seconds: i64) {
        pass.settle(
            Some(&Failure::new(FailureKind::Unreachable, "down")),
            at(seconds),
        );
    }

    fn opened_at(seconds: i64) -> Circuits {
        let circuits = Circuits::default();
        for _ in 0..OPEN_AFTER {
            fail(&enter(&circuits, seconds).unwrap(), seconds);
        }
        circuits
    }

    #[test]
    fn it_opens_after_failures_in_a_row_and_lets_one_call_through_after_a_pause() {
        let circuits = opened_at(0);
        assert!(enter(&circuits, 4).is_none());
        let probe = enter(&circuits, 5).unwrap();
        assert!(enter(&circuits, 5).is_none(), "one at a time");
        fail(&probe, 6);
        drop(probe);
        assert!(enter(&circuits, 15).is_none(), "the pause has doubled");
        enter(&circuits, 16).unwrap().settle(None, at(16));
        assert!(
            enter(&circuits, 16).is_some_and(|pass| !pass.is_probe),
            "closed"
        );
    }

    #[test]
    fn a_call_that_was_never_made_gives_its_turn_to_the_next() {
        let circuits = opened_at(0);
        drop(enter(&circuits, 5).unwrap());
        assert!(enter(&circuits, 5).is_some());
    }

    #[test]
    fn an_answer_closes_it_and_a_refusal_is_an_answer() {
        let circuits = Circuits::default();
        for _ in 0..OPEN_AFTER - 1 {
            fail(&enter(&circuits, 0).unwrap(), 0);
        }
        let refused = Failure::new(FailureKind::Refused, "wrong secret");
        enter(&circuits, 0).unwrap().settle(Some(&refused), at(0));
        fail(&enter(&circuits, 0).unwrap(), 0);
        assert!(enter(&circuits, 0).is_some());
    }

    #[test]
    fn one_secret_that_asks_too_often_shuts_nobody_out() {
        let circuits = Circuits::default();
        for _ in 0..OPEN_AFTER * 2 {
            let throttled = Failure {
                is_throttled: true,
                ..Failure::new(FailureKind::Busy, "429")
            };
            enter(&circuits, 0).unwrap().settle(Some(&throttled), at(0));
        }
        assert!(enter(&circuits, 0).is_some());
    }

    #[test]
    fn an_edit_of_the_realm_or_a_hand_passes() {
        let circuits = opened_at(0);
        assert!(circuits.enter("r", 2, false, at(1)).is_ok());
        assert!(circuits.enter("other", 1, false, at(1)).is_ok());
        assert!(circuits.enter("r", 1, true, at(1)).is_ok());
        assert_eq!(circuits.open_until("r", 1), Some(at(5)));
    }

    #[test]
    fn late_failures_of_calls_under_way_do_not_lengthen_the_pause() {
        let circuits = Circuits::default();
        let passes: Vec<_> = (0..20).map(|_| enter(&circuits, 0).unwrap()).collect();
        for pass in &passes {
            fail(pass, 0);
        }
        assert_eq!(circuits.open_until("r", 1), Some(at(5)));
    }
}
