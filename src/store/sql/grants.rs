//! Grants: credentials that the provider replaces with each use, fenced by a generation of their
//! own.

use async_trait::async_trait;
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::Condition;
use sea_orm::{ColumnTrait as _, QueryFilter as _};

use super::super::{Grant, GrantStore, Intent, StoreResult};
use super::SqlStore;
use super::entities::token::of;
use super::entities::token::{ActiveModel, Column, Model};
use super::stored::{SealedColumn, SealedRow};
use crate::clock::Timestamp;
use crate::secret::SecretId;

#[async_trait]
impl GrantStore for SqlStore {
    async fn begin_spend(
        &self,
        id: &SecretId,
        before: Option<&Intent>,
        intent: &Intent,
    ) -> StoreResult<bool> {
        let row = ActiveModel {
            grant_intent: Set(Some(text(intent))),
            ..Default::default()
        };
        let is_before = match before {
            None => Condition::all().add(Column::GrantIntent.is_null()),
            Some(before) => Condition::all().add(Column::GrantIntent.eq(text(before))),
        };
        let statement = of(id)
            .set(row)
            .filter(Column::GrantGeneration.eq(intent.generation))
            .filter(is_before);
        let outcome = self.run(|| statement.clone().exec(&self.db)).await?;
        Ok(outcome.rows_affected == 1)
    }

    async fn end_spend(
        &self,
        id: &SecretId,
        intent: &Intent,
        grant: Option<&Grant>,
    ) -> StoreResult<bool> {
        let mut row = ActiveModel {
            grant_intent: Set(None),
            ..Default::default()
        };
        let mut is_latest = Condition::all().add(Column::GrantGeneration.eq(intent.generation));
        let column = SealedRow::of_token(&self.sealer, id).column("grant_content");
        match grant {
            Some(grant) => {
                row.grant_content =
                    Set((!grant.values.is_empty()).then(|| column.write_grant(grant)));
                row.grant_generation = Set(intent.generation + 1);
                row.grant_expires_at = Set(grant.expires_at.map(Timestamp::epoch_ms));
            }
            // Another use of the same grant may be under way.
            None => is_latest = is_latest.add(Column::GrantIntent.eq(text(intent))),
        }
        let statement = of(id).set(row).filter(is_latest);
        let outcome = self.run(|| statement.clone().exec(&self.db)).await?;
        Ok(outcome.rows_affected == 1)
    }
}

/// Always the same text for the same intent: it is compared.
fn text(intent: &Intent) -> String {
    serde_json::to_string(intent).unwrap_or_default()
}

pub(super) fn open(model: &Model, column: &SealedColumn<'_>) -> StoreResult<Grant> {
    let (values, seed) = model
        .grant_content
        .as_deref()
        .map(|bytes| column.read_grant(bytes))
        .transpose()?
        .unwrap_or_default();
    Ok(Grant {
        generation: model.grant_generation,
        values,
        seed,
        expires_at: model.grant_expires_at.map(Timestamp::from_epoch_ms),
        intent: model
            .grant_intent
            .as_deref()
            .and_then(|text| serde_json::from_str(text).ok()),
    })
}
