//! The time that all instances go by, and whether writes are taken.

use std::time::Duration;

use async_trait::async_trait;

use super::error::StoreResult;
use crate::clock::Timestamp;

/// The store's clock, and whether it takes writes.
#[async_trait]
pub trait StoreClock: Send + Sync + 'static {
    /// The store's own clock, which all instances go by.
    async fn now(&self) -> StoreResult<Timestamp>;
    /// Since how long the store refuses to write, and why, as far as it is known.
    fn write_refusal(&self) -> Option<(Duration, &'static str)> {
        None
    }
    /// Writes something that changes nothing, and notes that writes are taken again.
    async fn try_write(&self) -> StoreResult<()> {
        Ok(())
    }
}
