//! The time that all instances go by.

use async_trait::async_trait;

use super::error::StoreResult;
use crate::clock::Timestamp;

/// The store's clock.
#[async_trait]
pub trait StoreClock: Send + Sync + 'static {
    /// The store's own clock, which all instances go by.
    async fn now(&self) -> StoreResult<Timestamp>;
}
