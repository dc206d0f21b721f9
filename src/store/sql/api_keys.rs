//! API keys.

use async_trait::async_trait;
use sea_orm::ActiveValue::NotSet;
use sea_orm::sea_query::Expr;
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, Condition, EntityTrait as _, IntoActiveModel as _,
    QueryFilter as _, QueryOrder as _,
};

use super::super::{ApiKeyRow, ApiKeyStore, LastUse, StoreError, StoreResult};
use super::SqlStore;
use super::entities::api_key::{ActiveModel, Column, Entity, Model};
use crate::api_key::{ApiKeyId, KeyHash, Role, Scopes};
use crate::clock::Timestamp;

#[async_trait]
impl ApiKeyStore for SqlStore {
    async fn find_api_key(&self, id: &ApiKeyId) -> StoreResult<Option<ApiKeyRow>> {
        let found = self
            .run(|| Entity::find_by_id(id.as_str()).one(&self.db))
            .await?;
        found.map(|model| read(&model)).transpose()
    }

    async fn list_api_keys(&self) -> StoreResult<Vec<ApiKeyRow>> {
        let query = Entity::find()
            .filter(Column::DeletedAt.is_null())
            .order_by_asc(Column::CreatedAt)
            .order_by_asc(Column::Id);
        let models = self.run(|| query.clone().all(&self.db)).await?;
        Ok(readable(&models))
    }

    async fn list_changed_api_keys(&self, since: Timestamp) -> StoreResult<Vec<ApiKeyRow>> {
        let query = Entity::find().filter(Column::ChangedAt.gte(since.epoch_ms()));
        let models = self.run(|| query.clone().all(&self.db)).await?;
        Ok(readable(&models))
    }

    async fn insert_api_key(&self, row: &ApiKeyRow) -> StoreResult<bool> {
        self.insert(ActiveModel::from(write(row))).await
    }

    async fn update_api_key(&self, row: &ApiKeyRow, expected_revision: i64) -> StoreResult<bool> {
        let statement = Entity::update_many()
            .set(ActiveModel {
                last_used_at: NotSet,
                last_used_from: NotSet,
                ..write(row).into_active_model().reset_all()
            })
            .filter(Column::Id.eq(row.id.as_str()))
            .filter(Column::Revision.eq(expected_revision));
        let outcome = self.run(|| statement.clone().exec(&self.db)).await?;
        Ok(outcome.rows_affected == 1)
    }

    async fn note_api_key_use(&self, id: &ApiKeyId, used: LastUse) -> StoreResult<()> {
        let at_ms = used.at.epoch_ms();
        let is_later = Condition::any()
            .add(Column::LastUsedAt.is_null())
            .add(Column::LastUsedAt.lt(at_ms));
        let statement = Entity::update_many()
            .col_expr(Column::LastUsedAt, Expr::value(Some(at_ms)))
            .col_expr(
                Column::LastUsedFrom,
                Expr::value(used.from.map(|from| from.to_string())),
            )
            .filter(Column::Id.eq(id.as_str()))
            .filter(is_later);
        self.run(|| statement.clone().exec(&self.db)).await?;
        Ok(())
    }
}

/// The rows that can be read: one that cannot lets nobody in, and keeps no other from doing so.
fn readable(models: &[Model]) -> Vec<ApiKeyRow> {
    let read = |model| {
        read(model)
            .inspect_err(|error| tracing::error!(%error, "an API key lets nobody in"))
            .ok()
    };
    models.iter().filter_map(read).collect()
}

fn read(model: &Model) -> StoreResult<ApiKeyRow> {
    let corrupt = |column: &'static str| StoreError::Corrupt {
        table: "ts_api_key",
        column,
        key: model.id.clone(),
        reason: "is none that this version knows".to_owned(),
    };
    let hash = |text: &str, column| KeyHash::from_hex(text).ok_or_else(|| corrupt(column));
    let optional =
        |text: &Option<String>, column| text.as_deref().map(|text| hash(text, column)).transpose();
    let previous = optional(&model.previous_hash, "previous_hash")?;
    let from = model.last_used_from.as_deref();
    let from = from.and_then(|from| from.parse().ok());
    Ok(ApiKeyRow {
        id: ApiKeyId::read(&model.id).ok_or_else(|| corrupt("id"))?,
        hash: hash(&model.hash, "hash")?,
        previous: previous.zip(model.previous_until.map(Timestamp::from_epoch_ms)),
        certificate: optional(&model.certificate, "certificate")?,
        role: Role::of_name(&model.role).ok_or_else(|| corrupt("role"))?,
        scopes: read_scopes(model.scopes.as_deref()).ok_or_else(|| corrupt("scopes"))?,
        note: model.note.clone(),
        rate: model
            .rate
            .as_deref()
            .map(|rate| rate.parse().map_err(|_| corrupt("rate")))
            .transpose()?,
        created_at: Timestamp::from_epoch_ms(model.created_at),
        expires_at: model.expires_at.map(Timestamp::from_epoch_ms),
        disabled_at: model.disabled_at.map(Timestamp::from_epoch_ms),
        last_used: model.last_used_at.map(|at_ms| LastUse {
            at: Timestamp::from_epoch_ms(at_ms),
            from,
        }),
        revision: model.revision,
        changed_at: Timestamp::from_epoch_ms(model.changed_at),
        deleted_at: model.deleted_at.map(Timestamp::from_epoch_ms),
    })
}

fn read_scopes(text: Option<&str>) -> Option<Scopes> {
    let Some(text) = text else {
        return Some(Scopes::All);
    };
    let texts: Vec<String> = serde_json::from_str(text).ok()?;
    let scopes = texts.iter().map(|text| text.parse().ok());
    Some(Scopes::Only(scopes.collect::<Option<_>>()?))
}

fn write(row: &ApiKeyRow) -> Model {
    let scopes = match &row.scopes {
        Scopes::All => None,
        // Strings always serialise.
        Scopes::Only(_) => serde_json::to_string(&row.scopes.to_texts()).ok(),
    };
    Model {
        id: row.id.as_str().to_owned(),
        hash: row.hash.to_hex(),
        previous_hash: row.previous.map(|(hash, _)| hash.to_hex()),
        previous_until: row.previous.map(|(_, until)| until.epoch_ms()),
        certificate: row.certificate.map(KeyHash::to_hex),
        role: row.role.as_str().to_owned(),
        scopes,
        note: row.note.clone(),
        rate: row.rate.map(|rate| rate.to_string()),
        created_at: row.created_at.epoch_ms(),
        expires_at: row.expires_at.map(Timestamp::epoch_ms),
        disabled_at: row.disabled_at.map(Timestamp::epoch_ms),
        last_used_at: row.last_used.map(|used| used.at.epoch_ms()),
        last_used_from: row
            .last_used
            .and_then(|used| used.from)
            .map(|from| from.to_string()),
        revision: row.revision,
        changed_at: row.changed_at.epoch_ms(),
        deleted_at: row.deleted_at.map(Timestamp::epoch_ms),
    }
}
