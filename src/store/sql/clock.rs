//! The database's clock.

use std::time::Duration;

use async_trait::async_trait;
use sea_orm::{ConnectionTrait as _, Statement};

use super::super::{StoreClock, StoreError, StoreResult};
use super::{SqlStore, dialect, fault};
use crate::clock::Timestamp;

#[async_trait]
impl StoreClock for SqlStore {
    fn write_refusal(&self) -> Option<(Duration, &'static str)> {
        self.writes.refusal()
    }

    async fn try_write(&self) -> StoreResult<()> {
        self.rewrite_lock_row().await?;
        self.writes.note_success();
        Ok(())
    }

    async fn now(&self) -> StoreResult<Timestamp> {
        let backend = self.db.get_database_backend();
        let statement = || {
            self.db
                .query_one_raw(Statement::from_string(backend, dialect::now_sql(backend)))
        };
        let row = self
            .run(statement)
            .await?
            .ok_or_else(|| StoreError::Unavailable("no time".to_owned()))?;
        let now_ms: i64 = row.try_get("", "now_ms").map_err(|error| fault(&error))?;
        Ok(Timestamp::from_epoch_ms(now_ms))
    }
}
