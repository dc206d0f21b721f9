//! Token rows; what is written under a lease is in `leases`.

use async_trait::async_trait;
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::{Expr, ExprTrait as _};
use sea_orm::{
    ColumnTrait as _, Condition, EntityTrait as _, QueryFilter as _, QueryOrder as _,
    QuerySelect as _,
};

use super::super::sealing::Sealer;
use super::super::{
    DueToken, DueWindow, ForeignRefreshes, RecordedFailure, StoreResult, StoredToken, TokenRow,
    TokenStore,
};
use super::entities::token::{ActiveModel, Column, Entity, Model, of};
use super::stored::SealedRow;
use super::{SqlStore, is_nowhere};
use crate::clock::Timestamp;
use crate::failure::FailureKind;
use crate::secret::SecretId;
use crate::token::Life;

#[async_trait]
impl TokenStore for SqlStore {
    async fn find_token(&self, id: &SecretId) -> StoreResult<Option<TokenRow>> {
        if is_nowhere(Some(&id.realm), Some(&id.key)) {
            return Ok(None);
        }
        let key = (id.realm.clone(), id.key.clone());
        let found = self
            .run(|| Entity::find_by_id(key.clone()).one(&self.db))
            .await?;
        found
            .map(|model| open(&self.sealer, id, &model))
            .transpose()
    }

    async fn list_due(
        &self,
        window: &DueWindow,
        after: Option<&DueToken>,
        most: u64,
    ) -> StoreResult<Vec<DueToken>> {
        let DueWindow {
            by,
            asked_since,
            grants_by,
        } = window;
        let is_wanted = Condition::any()
            .add(Column::LastAskedAt.gte(asked_since.epoch_ms()))
            .add(Column::GrantExpiresAt.lte(grants_by.epoch_ms()));
        let query = Entity::find()
            .select_only()
            .columns([Column::Realm, Column::Key, Column::DueAt])
            .filter(Column::DueAt.lte(by.epoch_ms()))
            .filter(is_wanted)
            .filter(later_than(after))
            .order_by_asc(Column::DueAt)
            .order_by_asc(Column::Realm)
            .order_by_asc(Column::Key)
            .limit(most);
        let rows = self
            .run(|| {
                query
                    .clone()
                    .into_tuple::<(String, String, i64)>()
                    .all(&self.db)
            })
            .await?;
        let due = |(realm, key, due_at)| DueToken {
            id: SecretId { realm, key },
            due_at: Timestamp::from_epoch_ms(due_at),
        };
        Ok(rows.into_iter().map(due).collect())
    }

    async fn note_asked(&self, id: &SecretId, at: Timestamp) -> StoreResult<()> {
        let asked = ActiveModel {
            last_asked_at: Set(Some(at.epoch_ms())),
            ..Default::default()
        };
        let statement = of(id).set(asked);
        self.run(|| statement.clone().exec(&self.db))
            .await
            .map(|_| ())
    }

    async fn retire_tokens(
        &self,
        realm: &str,
        key: Option<&str>,
        now: Timestamp,
    ) -> StoreResult<()> {
        if is_nowhere(Some(realm), key) {
            return Ok(());
        }
        let blank = ActiveModel {
            token: Set(None),
            outputs: Set(None),
            grant_content: Set(None),
            grant_expires_at: Set(None),
            grant_intent: Set(None),
            obtained_at: Set(None),
            expires_at: Set(None),
            due_at: Set(None),
            previous_token: Set(None),
            previous_valid_until: Set(None),
            next_attempt_at: Set(None),
            failure_code: Set(None),
            failed_at: Set(None),
            failure: Set(None),
            failed_attempts: Set(0),
            repeat_count: Set(0),
            foreign_refreshes: Set(0),
            foreign_refresh_at: Set(None),
            lease_owner: Set(None),
            lease_until: Set(0),
            changed_at: Set(now.epoch_ms()),
            ..Default::default()
        };
        let of_key = Condition::all().add_option(key.map(|key| Column::Key.eq(key)));
        let of_realm = Entity::update_many()
            .filter(Column::Realm.eq(realm))
            .filter(of_key);
        let next = |column: Column| Expr::col(column).add(1);
        let statement = of_realm
            .set(blank)
            .col_expr(Column::LeaseEpoch, next(Column::LeaseEpoch))
            .col_expr(Column::GrantGeneration, next(Column::GrantGeneration));
        self.run(|| statement.clone().exec(&self.db)).await?;
        Ok(())
    }
}

/// Behind a row in the order by (`due_at`, realm, key).
fn later_than(after: Option<&DueToken>) -> Condition {
    let Some(DueToken { id, due_at }) = after else {
        return Condition::all();
    };
    let same_time = || Condition::all().add(Column::DueAt.eq(due_at.epoch_ms()));
    let behind = Condition::any()
        .add(Column::DueAt.gt(due_at.epoch_ms()))
        .add(same_time().add(Column::Realm.gt(&id.realm)))
        .add(
            same_time()
                .add(Column::Realm.eq(&id.realm))
                .add(Column::Key.gt(&id.key)),
        );
    // Follows from the rest; no database takes an OR for the start of a range, and each page would
    // read all before it.
    Condition::all()
        .add(Column::DueAt.gte(due_at.epoch_ms()))
        .add(behind)
}

pub(super) fn open(sealer: &Sealer, id: &SecretId, model: &Model) -> StoreResult<TokenRow> {
    let stored = SealedRow::of_token(sealer, id);
    let text = model
        .token
        .as_deref()
        .map(|bytes| stored.column("token").read_token(bytes))
        .transpose()?;
    let outputs = model
        .outputs
        .as_deref()
        .map(|bytes| stored.column("outputs").read_outputs(bytes))
        .transpose()?;
    let token = text
        .zip(model.obtained_at)
        .map(|(text, obtained_at)| StoredToken {
            text,
            outputs: outputs.unwrap_or_default(),
            life: Life {
                obtained_at: Timestamp::from_epoch_ms(obtained_at),
                expires_at: model.expires_at.map(Timestamp::from_epoch_ms),
            },
            realm_version: model.realm_version,
            secret_version: model.secret_version,
        });
    Ok(TokenRow {
        id: id.clone(),
        version: model.version,
        token,
        due_at: model.due_at.map(Timestamp::from_epoch_ms),
        previous_valid_until: model.previous_valid_until.map(Timestamp::from_epoch_ms),
        lease_epoch: model.lease_epoch,
        lease_until: Timestamp::from_epoch_ms(model.lease_until),
        failure: open_failure(stored, model)?,
        failed_attempts: model.failed_attempts,
        repeat_count: model.repeat_count,
        foreign_refreshes: ForeignRefreshes {
            count: model.foreign_refreshes,
            last_at: model.foreign_refresh_at.map(Timestamp::from_epoch_ms),
        },
        grant: super::grants::open(model, &stored.column("grant_content"))?,
    })
}

/// The last failure; `None` also for a class that this version does not know.
fn open_failure(stored: SealedRow<'_>, model: &Model) -> StoreResult<Option<RecordedFailure>> {
    let (Some(code), Some(failed_at), Some(next_attempt_at), Some(bytes)) = (
        &model.failure_code,
        model.failed_at,
        model.next_attempt_at,
        &model.failure,
    ) else {
        return Ok(None);
    };
    let Some(kind) = FailureKind::of_code(code) else {
        return Ok(None);
    };
    let [at, next] = [failed_at, next_attempt_at].map(Timestamp::from_epoch_ms);
    let column = stored.column("failure");
    column.read_failure(bytes, kind, at, next).map(Some)
}
