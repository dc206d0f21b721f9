//! Keeping a clock on the store's: compared each minute, and at once when the machine's clock was
//! set.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::{SystemClock, millis};
use crate::store::{StoreClock, StoreError};
use crate::tasks::Tasks;

/// How often the clock is compared with the store's.
const COMPARE_EVERY: Duration = Duration::from_mins(1);
/// How often it is looked whether the machine's clock was set.
const JUMP_LOOK: Duration = Duration::from_secs(1);
/// The machine's clock was set when wall and monotonic time part by more than this.
const JUMP: Duration = Duration::from_secs(1);
/// A measurement that may be wrong by more says nothing.
const WORST_MS: i64 = 500;
/// A measurement is never taken to be better than this.
const NOISE_MS: i64 = 20;

/// Keeps a clock on the store's: compared each minute, and at once when the machine's clock was
/// set.
pub fn keep_on_store_time(clock: Arc<SystemClock>, store: Arc<dyn StoreClock>, tasks: &Tasks) {
    let stopping = tasks.clone();
    tasks.spawn("clock", async move {
        loop {
            if let Err(error) = compare(&clock, store.as_ref()).await {
                tracing::debug!(%error, "the database's clock could not be read");
            }
            tokio::select! {
                () = stopping.stopping() => return,
                () = until_jump_or_minute(&clock) => {}
            }
        }
    });
}

async fn until_jump_or_minute(clock: &SystemClock) {
    let (wall, monotonic) = (clock.machine_now(), tokio::time::Instant::now());
    while monotonic.elapsed() < COMPARE_EVERY {
        tokio::time::sleep(JUMP_LOOK).await;
        let expected_ms = wall.epoch_ms() + millis(monotonic.elapsed());
        let parted_ms = expected_ms.abs_diff(clock.machine_now().epoch_ms());
        if Duration::from_millis(parted_ms) > JUMP {
            tracing::warn!(parted_ms, "the machine's clock was set");
            return;
        }
    }
}

/// Measures how far the store's clock is ahead, taking the middle of the call as its time.
///
/// # Errors
/// When the store cannot be asked.
pub async fn compare(clock: &SystemClock, store: &dyn StoreClock) -> Result<(), StoreError> {
    let before = clock.machine_now();
    let theirs = store.now().await?;
    let after = clock.machine_now();
    let middle_ms = i64::midpoint(before.epoch_ms(), after.epoch_ms());
    let took_ms = millis(after.since(before));
    clock.set_offset_ms(corrected(
        clock.offset_ms(),
        theirs.epoch_ms() - middle_ms,
        took_ms,
    ));
    Ok(())
}

/// The offset to go by: the one known, unless the measurement contradicts it, which is off by half
/// of its call at most.
///
/// Else a slow call on a busy machine would move the clock, and a token would live longer here than
/// where it was fetched.
fn corrected(known_ms: i64, measured_ms: i64, took_ms: i64) -> i64 {
    let error_ms = NOISE_MS.max(took_ms / 2 + 1);
    if error_ms > WORST_MS {
        return known_ms;
    }
    if measured_ms.abs_diff(known_ms) <= error_ms.unsigned_abs() {
        known_ms
    } else {
        measured_ms
    }
}

#[cfg(test)]
mod tests {
    use super::corrected;

    #[test]
    fn only_a_measurement_that_contradicts_the_known_offset_moves_it() {
        for (known, measured, took, expected) in [
            (0, 5, 1, 0),
            (0, 21, 1, 21),
            (0, 40, 90, 0),
            (0, -40, 90, 0),
            (0, 300, 90, 300),
            (300, 310, 1, 300),
            (300, 0, 1, 0),
            (600_000, 599_960, 100, 600_000),
            (0, 5000, 3000, 0),
        ] {
            assert_eq!(
                corrected(known, measured, took),
                expected,
                "{known} {measured} {took}"
            );
        }
    }
}
