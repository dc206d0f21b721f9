//! The lease of a token row, and what is written under it.

use async_trait::async_trait;
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::{Expr, ExprTrait as _, OnConflict};
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _, QuerySelect as _, UpdateMany};

use super::super::{Commit, Lease, LeaseStore, RecordedFailure, StoreResult};
use super::entities::token::{ActiveModel, Column, Entity, of};
use super::stored::SealedRow;
use super::{SqlStore, is_nowhere};
use crate::clock::Timestamp;
use crate::secret::SecretId;

#[async_trait]
impl LeaseStore for SqlStore {
    async fn claim_lease(
        &self,
        id: &SecretId,
        owner: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> StoreResult<Option<Lease>> {
        let (epoch, held_until) = if let Some(latest) = find_latest(self, id).await? {
            latest
        } else {
            insert_empty(self, id, now).await?;
            (0, 0)
        };
        if held_until > now.epoch_ms() {
            return Ok(None);
        }
        // Only one of those who saw this epoch moves it on.
        let claim = ActiveModel {
            lease_owner: Set(Some(owner.to_owned())),
            lease_epoch: Set(epoch + 1),
            lease_until: Set(until.epoch_ms()),
            ..Default::default()
        };
        let statement = of(id)
            .set(claim)
            .filter(Column::LeaseEpoch.eq(epoch))
            .filter(Column::LeaseUntil.lte(now.epoch_ms()));
        let outcome = self.run(|| statement.clone().exec(&self.db)).await?;
        let lease = Lease {
            id: id.clone(),
            owner: owner.to_owned(),
            epoch: epoch + 1,
            until,
        };
        Ok((outcome.rows_affected == 1).then_some(lease))
    }

    async fn commit_token(&self, lease: &Lease, commit: &Commit) -> StoreResult<bool> {
        let token = &commit.token;
        let stored = SealedRow::of_token(&self.sealer, &lease.id);
        let mut row = ActiveModel {
            version: Set(commit.version),
            token: Set(Some(stored.column("token").write_token(&token.text))),
            outputs: Set(stored.column("outputs").write_outputs(&token.outputs)),
            obtained_at: Set(Some(token.life.obtained_at.epoch_ms())),
            expires_at: Set(token.life.expires_at.map(Timestamp::epoch_ms)),
            realm_version: Set(token.realm_version),
            secret_version: Set(token.secret_version),
            due_at: Set(commit.due_at.map(Timestamp::epoch_ms)),
            // The failure stays, for the operator: a count of 0 says that it is over.
            failed_attempts: Set(0),
            repeat_count: Set(commit.repeat_count),
            lease_owner: Set(None),
            lease_until: Set(0),
            changed_at: Set(commit.at.epoch_ms()),
            ..Default::default()
        };
        if commit.was_asked {
            row.last_asked_at = Set(Some(commit.at.epoch_ms()));
        }
        if let Some((previous, until)) = &commit.previous {
            row.previous_token = Set(Some(stored.column("previous_token").write_token(previous)));
            row.previous_valid_until = Set(until.map(Timestamp::epoch_ms));
        }
        let mut statement = of_lease(lease);
        if commit.is_foreign {
            row.foreign_refresh_at = Set(Some(commit.at.epoch_ms()));
            statement = statement.col_expr(
                Column::ForeignRefreshes,
                Expr::col(Column::ForeignRefreshes).add(1),
            );
        }
        let statement = statement.set(row);
        let outcome = self.run(|| statement.clone().exec(&self.db)).await?;
        Ok(outcome.rows_affected == 1)
    }

    async fn release_lease(
        &self,
        lease: &Lease,
        failure: Option<&RecordedFailure>,
    ) -> StoreResult<bool> {
        let mut row = ActiveModel {
            lease_owner: Set(None),
            lease_until: Set(0),
            ..Default::default()
        };
        if let Some(failure) = failure {
            let column = SealedRow::of_token(&self.sealer, &lease.id).column("failure");
            row.failure = Set(Some(column.write_failure(failure)));
            row.failure_code = Set(Some(failure.failure.kind.code().to_owned()));
            row.failed_at = Set(Some(failure.at.epoch_ms()));
            row.next_attempt_at = Set(Some(failure.next_attempt_at.epoch_ms()));
        }
        let mut statement = of_lease(lease).set(row);
        if failure.is_some() {
            statement = statement.col_expr(
                Column::FailedAttempts,
                Expr::col(Column::FailedAttempts).add(1),
            );
        }
        let outcome = self.run(|| statement.clone().exec(&self.db)).await?;
        Ok(outcome.rows_affected == 1)
    }
}

/// Epoch and end of the latest lease.
async fn find_latest(store: &SqlStore, id: &SecretId) -> StoreResult<Option<(i64, i64)>> {
    if is_nowhere(Some(&id.realm), Some(&id.key)) {
        return Ok(None);
    }
    let query = Entity::find_by_id((id.realm.clone(), id.key.clone()))
        .select_only()
        .columns([Column::LeaseEpoch, Column::LeaseUntil]);
    store
        .run(|| query.clone().into_tuple::<(i64, i64)>().one(&store.db))
        .await
}

/// Adds the row if it is not there. Whether it was is not asked: databases tell it differently, and
/// the conditional update that follows judges.
async fn insert_empty(store: &SqlStore, id: &SecretId, now: Timestamp) -> StoreResult<()> {
    let row = ActiveModel {
        realm: Set(id.realm.clone()),
        key: Set(id.key.clone()),
        changed_at: Set(now.epoch_ms()),
        ..Default::default()
    };
    let on_conflict = OnConflict::columns([Column::Realm, Column::Key])
        .do_nothing_on([Column::Realm, Column::Key])
        .to_owned();
    let statement = || Entity::insert(row.clone()).on_conflict(on_conflict.clone());
    store
        .run(|| async {
            match statement().exec_without_returning(&store.db).await {
                Ok(_) | Err(sea_orm::DbErr::RecordNotInserted) => Ok(()),
                Err(error) => Err(error),
            }
        })
        .await
}

/// The row, while this lease is its latest and not given back.
fn of_lease(lease: &Lease) -> UpdateMany<Entity> {
    of(&lease.id)
        .filter(Column::LeaseEpoch.eq(lease.epoch))
        .filter(Column::LeaseOwner.eq(&lease.owner))
}
