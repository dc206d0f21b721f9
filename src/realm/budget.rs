//! What one run may cost: bytes that its filters touch, private-key operations, values of its
//! responses, and time.
//!
//! Filters charge what they read and write while an expression is evaluated. A definition that was
//! saved is thereby bounded as a whole, however many expressions it has.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use minijinja::value::{Object, ObjectRepr};

/// Bytes that the filters and operators of one run may read and write together.
const MOST_BYTES: usize = 16 << 20;
/// Private-key operations of one run.
const MOST_KEY_OPERATIONS: usize = 20;
/// Values (JSON) or nodes (XML) that the responses of one run may have together.
pub(super) const MOST_VALUES: usize = 50_000;
/// Bytes that the names of bases, or an expression that is tried when it is saved, may touch.
const FEW_BYTES: usize = 64 << 10;

/// Bounds of one fetch that its surroundings know: a definition has no clock and no settings.
#[derive(Clone)]
pub struct RunLimits {
    /// The bytes that all responses of the run may have together.
    pub response_bytes: usize,
    /// Whether the time of the run is over.
    pub is_over: Arc<dyn Fn() -> bool + Send + Sync>,
}

impl Default for RunLimits {
    fn default() -> Self {
        Self {
            response_bytes: usize::MAX,
            is_over: Arc::new(|| false),
        }
    }
}

/// What is left of a budget.
pub(super) struct Budget {
    bytes: AtomicUsize,
    key_operations: AtomicUsize,
    values: AtomicUsize,
    response_bytes: AtomicUsize,
    /// How many bytes responses had so far.
    taken_bytes: AtomicUsize,
    is_over: Arc<dyn Fn() -> bool + Send + Sync>,
    /// Whether the time does not count now.
    untimed: AtomicBool,
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Budget")
    }
}

/// Templates carry it under a name that no author can write.
impl Object for Budget {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }
}

/// Takes from what is left; `None`: there is not so much.
fn take(left: &AtomicUsize, amount: usize) -> Option<()> {
    left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
        left.checked_sub(amount)
    })
    .ok()
    .map(drop)
}

impl Budget {
    /// That of a run.
    pub(super) fn of_run(limits: RunLimits) -> Arc<Self> {
        Arc::new(Self::of(MOST_BYTES, MOST_KEY_OPERATIONS, limits))
    }

    /// That of what is worked out without a run: the names of bases, and what is tried when it is
    /// saved. No private keys.
    pub(super) fn small() -> Arc<Self> {
        Arc::new(Self::of(FEW_BYTES, 0, RunLimits::default()))
    }

    fn of(bytes: usize, key_operations: usize, limits: RunLimits) -> Self {
        Self {
            bytes: AtomicUsize::new(bytes),
            key_operations: AtomicUsize::new(key_operations),
            values: AtomicUsize::new(MOST_VALUES),
            response_bytes: AtomicUsize::new(limits.response_bytes),
            taken_bytes: AtomicUsize::new(0),
            is_over: limits.is_over,
            untimed: AtomicBool::new(false),
        }
    }

    /// Charges bytes that were read or written.
    ///
    /// # Errors
    /// They are used up, or the time is.
    pub(super) fn charge(&self, bytes: usize) -> Result<(), String> {
        self.demand_time()?;
        take(&self.bytes, bytes).ok_or_else(|| TOO_MANY_BYTES.to_owned())
    }

    /// Charges an operation with a private key.
    ///
    /// # Errors
    /// They are used up, or the time is.
    pub(super) fn charge_key_operation(&self) -> Result<(), String> {
        self.demand_time()?;
        take(&self.key_operations, 1).ok_or_else(|| TOO_MANY_KEYS.to_owned())
    }

    /// Charges a response; `false`: those of this run are too large together.
    pub(super) fn charge_response(&self, bytes: usize) -> bool {
        self.taken_bytes.fetch_add(bytes, Ordering::Relaxed);
        take(&self.response_bytes, bytes).is_some()
    }

    /// How many bytes responses had so far.
    pub(super) fn response_bytes(&self) -> usize {
        self.taken_bytes.load(Ordering::Relaxed)
    }

    /// How many values responses may still have.
    pub(super) fn values_left(&self) -> usize {
        self.values.load(Ordering::Relaxed)
    }

    /// Notes how many values responses may still have.
    pub(super) fn set_values_left(&self, left: usize) {
        self.values.store(left, Ordering::Relaxed);
    }

    /// Whether the time of the run is over.
    pub(super) fn is_over(&self) -> bool {
        !self.untimed.load(Ordering::Relaxed) && (self.is_over)()
    }

    /// The time does not count any more, or counts again: a response that came is read whenever it
    /// came where it replaces a grant.
    pub(super) fn set_untimed(&self, untimed: bool) {
        self.untimed.store(untimed, Ordering::Relaxed);
    }

    /// Refuses to go on when the time is over.
    ///
    /// # Errors
    /// It is.
    pub(super) fn demand_time(&self) -> Result<(), String> {
        if self.is_over() {
            return Err(OUT_OF_TIME.to_owned());
        }
        Ok(())
    }
}

/// The time of a run is over while its values are worked out.
pub(super) const OUT_OF_TIME: &str =
    "the time of this fetch was over before its values were worked out";

const TOO_MANY_BYTES: &str = "the filters of this run read and write more than 16 MiB: shorten the values or use fewer filters";
const TOO_MANY_KEYS: &str =
    "a run may use a key at most 20 times, and names of other secrets not at all";

/// Whether a template made nothing because it costs too much, whatever it is made from.
pub(super) fn is_too_costly(wrong: &str) -> bool {
    [TOO_MANY_BYTES, TOO_MANY_KEYS, OUT_OF_TIME]
        .iter()
        .any(|words| wrong.ends_with(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_used_up_once() {
        let budget = Budget::of_run(RunLimits {
            response_bytes: 10,
            ..RunLimits::default()
        });
        assert!(budget.charge(MOST_BYTES).is_ok() && budget.charge(0).is_ok());
        assert!(budget.charge(1).unwrap_err().contains("16 MiB"));
        for _ in 0..MOST_KEY_OPERATIONS {
            budget.charge_key_operation().unwrap();
        }
        assert!(budget.charge_key_operation().is_err());
        assert!(budget.charge_response(10) && !budget.charge_response(1));
    }

    #[test]
    fn nothing_is_worked_out_when_the_time_is_over() {
        let budget = Budget::of_run(RunLimits {
            is_over: Arc::new(|| true),
            ..RunLimits::default()
        });
        assert_eq!(budget.charge(0).unwrap_err(), OUT_OF_TIME);
        assert_eq!(budget.charge_key_operation().unwrap_err(), OUT_OF_TIME);
        budget.set_untimed(true);
        assert!(budget.charge(0).is_ok());
    }
}
