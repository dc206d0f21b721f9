//! Keeping a clock on the store's: compared each minute, and at once when the machine's clock was set.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::{SystemClock, millis};
use crate::store::{Store, StoreError};
use crate::tasks::Tasks;

/// How often the clock is compared with the store's.
const COMPARE_EVERY: Duration = Duration::from_mins(1);
/// How often it is looked whether the machine's clock was set.
const JUMP_LOOK: Duration = Duration::from_secs(1);
/// The machine's clock was set when wall and monotonic time part by more than this.
const JUMP: Duration = Duration::from_secs(1);
/// Offsets below this are the measurement's own.
const NOISE_MS: u64 = 20;

/// Keeps a clock on the store's: compared each minute, and at once when the machine's clock was set.
pub fn keep_on_store_time(clock: Arc<SystemClock>, store: Arc<dyn Store>, tasks: &Tasks) {
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
pub async fn compare(clock: &SystemClock, store: &dyn Store) -> Result<(), StoreError> {
    let before = clock.machine_now();
    let theirs = store.now().await?;
    let after = clock.machine_now();
    let middle_ms = i64::midpoint(before.epoch_ms(), after.epoch_ms());
    let offset_ms = theirs.epoch_ms() - middle_ms;
    let offset_ms = if offset_ms.unsigned_abs() < NOISE_MS { 0 } else { offset_ms };
    clock.set_offset_ms(offset_ms);
    Ok(())
}
