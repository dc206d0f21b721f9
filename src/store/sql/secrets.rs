//! Secret rows; the content is sealed on the way in and opened on the way out.

use async_trait::async_trait;
use sea_orm::ActiveValue::{NotSet, Set};
use sea_orm::sea_query::{Expr, ExprTrait as _};
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, Condition, EntityTrait as _, FromQueryResult,
    IntoActiveModel as _, PaginatorTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _,
    Select,
};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::super::sealing::Sealer;
use super::super::secrets::names_of;

use super::super::{
    Listed, NextCredentials, Page, SecretFilter, SecretOutline, SecretRow, SecretStore, StoreError,
    StoreResult,
};
use super::entities::secret::{ActiveModel, Column, Entity, Model};
use super::stored::SealedRow;
use super::{SqlStore, dialect, is_nowhere};
use crate::clock::Timestamp;
use crate::failure::FailureKind;
use crate::secret::{Credentials, SecretId};

#[async_trait]
impl SecretStore for SqlStore {
    async fn find_secret(&self, id: &SecretId) -> StoreResult<Option<SecretRow>> {
        if is_nowhere(Some(&id.realm), Some(&id.key)) {
            return Ok(None);
        }
        let key = (id.realm.clone(), id.key.clone());
        let found = self
            .run(|| Entity::find_by_id(key.clone()).one(&self.db))
            .await?;
        found.map(|model| open(&self.sealer, &model)).transpose()
    }

    async fn list_secrets(
        &self,
        filter: &SecretFilter,
        page: Page,
    ) -> StoreResult<Listed<SecretOutline>> {
        let Some(query) = live(filter, &self.db) else {
            return Ok(Listed::default());
        };
        let rows = newest_first(query.clone(), page)
            .select_only()
            .columns(OutlineModel::COLUMNS);
        let items = self
            .run(|| rows.clone().into_model::<OutlineModel>().all(&self.db))
            .await?;
        let total = self.run(|| query.clone().count(&self.db)).await?;
        let items = items.into_iter().map(OutlineModel::read);
        Ok(Listed {
            items: items.collect::<Result<_, _>>()?,
            total,
        })
    }

    async fn insert_secret(&self, row: &SecretRow) -> StoreResult<bool> {
        self.insert(ActiveModel::from(seal(&self.sealer, row)))
            .await
    }

    async fn update_secret(&self, row: &SecretRow, expected_revision: i64) -> StoreResult<bool> {
        let statement = Entity::update_many()
            .set(ActiveModel {
                pushed: NotSet,
                pushed_names: NotSet,
                pushed_version: NotSet,
                ..seal(&self.sealer, row).into_active_model().reset_all()
            })
            .filter(Column::Realm.eq(&row.id.realm))
            .filter(Column::Key.eq(&row.id.key))
            .filter(Column::Revision.eq(expected_revision));
        let outcome = self.run(|| statement.clone().exec(&self.db)).await?;
        Ok(outcome.rows_affected == 1)
    }

    async fn move_secret(&self, row: &SecretRow, expected_revision: i64) -> StoreResult<bool> {
        let statement = Entity::update_many()
            .set(seal(&self.sealer, row).into_active_model().reset_all())
            .filter(Column::Realm.eq(&row.id.realm))
            .filter(Column::Key.eq(&row.id.key))
            .filter(Column::Revision.eq(expected_revision))
            .filter(Column::PushedVersion.eq(row.pushed_version - 1));
        let outcome = self.run(|| statement.clone().exec(&self.db)).await?;
        Ok(outcome.rows_affected == 1)
    }

    async fn update_pushed(
        &self,
        id: &SecretId,
        pushed: &Credentials,
        expected_version: i64,
        now: Timestamp,
    ) -> StoreResult<bool> {
        let column = SealedRow::of_secret(&self.sealer, id).column("pushed");
        let row = ActiveModel {
            pushed: Set(Some(column.write_credentials(pushed))),
            pushed_names: Set(Some(write_names(&names_of(pushed)))),
            pushed_version: Set(expected_version + 1),
            changed_at: Set(now.epoch_ms()),
            ..Default::default()
        };
        let statement = Entity::update_many()
            .set(row)
            .filter(Column::Realm.eq(&id.realm))
            .filter(Column::Key.eq(&id.key))
            .filter(Column::DeletedAt.is_null())
            .filter(Column::PushedVersion.eq(expected_version));
        let outcome = self.run(|| statement.clone().exec(&self.db)).await?;
        Ok(outcome.rows_affected == 1)
    }

    async fn list_next_due(&self, by: Timestamp, most: u64) -> StoreResult<Vec<SecretId>> {
        let query = Entity::find()
            .select_only()
            .columns([Column::Realm, Column::Key])
            .filter(Column::NextDueAt.lte(by.epoch_ms()))
            .order_by_asc(Column::NextDueAt)
            .limit(most);
        let rows = self
            .run(|| query.clone().into_tuple::<(String, String)>().all(&self.db))
            .await?;
        Ok(rows
            .into_iter()
            .map(|(realm, key)| SecretId { realm, key })
            .collect())
    }

    async fn delete_secrets(
        &self,
        realm: &str,
        key: Option<&str>,
        now: Timestamp,
    ) -> StoreResult<u64> {
        if is_nowhere(Some(realm), key) {
            return Ok(0);
        }
        let now_ms = now.epoch_ms();
        let of_key = Condition::all().add_option(key.map(|key| Column::Key.eq(key)));
        let statement = Entity::update_many()
            .col_expr(Column::Content, Expr::value(None::<Vec<u8>>))
            .col_expr(Column::NextContent, Expr::value(None::<Vec<u8>>))
            .col_expr(Column::NextDueAt, Expr::value(None::<i64>))
            .col_expr(Column::NextFailureCode, Expr::value(None::<String>))
            .col_expr(Column::NextFailedAt, Expr::value(None::<i64>))
            .col_expr(Column::Pushed, Expr::value(None::<Vec<u8>>))
            .col_expr(Column::Names, Expr::value(None::<String>))
            .col_expr(Column::PushedNames, Expr::value(None::<String>))
            .col_expr(
                Column::PushedVersion,
                Expr::col(Column::PushedVersion).add(1),
            )
            .col_expr(Column::Version, Expr::col(Column::Version).add(1))
            .col_expr(Column::Revision, Expr::col(Column::Revision).add(1))
            .col_expr(Column::UpdatedAt, Expr::value(now_ms))
            .col_expr(Column::ChangedAt, Expr::value(now_ms))
            .col_expr(Column::DeletedAt, Expr::value(Some(now_ms)))
            .filter(Column::Realm.eq(realm))
            .filter(of_key)
            .filter(Column::DeletedAt.is_null());
        let outcome = self.run(|| statement.clone().exec(&self.db)).await?;
        Ok(outcome.rows_affected)
    }
}

/// The live secrets that a filter lets through; `None`: there cannot be any.
fn live(filter: &SecretFilter, db: &sea_orm::DatabaseConnection) -> Option<Select<Entity>> {
    if is_nowhere(filter.realm.as_deref(), filter.key.as_deref()) {
        return None;
    }
    let equals =
        |column: Column, value: &Option<String>| value.as_ref().map(|value| column.eq(value));
    let wanted = Condition::all()
        .add(Column::DeletedAt.is_null())
        .add_option(equals(Column::Realm, &filter.realm))
        .add_option(equals(Column::Key, &filter.key))
        .add(dialect::reached(
            db,
            &filter.scopes,
            (Column::Realm, Some(Column::Key)),
        ));
    Some(Entity::find().filter(wanted))
}

fn newest_first(query: Select<Entity>, page: Page) -> Select<Entity> {
    query
        .order_by_desc(Column::UpdatedAt)
        .order_by_asc(Column::Realm)
        .order_by_asc(Column::Key)
        .offset(page.offset)
        .limit(page.limit)
}

/// The columns of a list, none of them sealed.
#[derive(FromQueryResult)]
struct OutlineModel {
    realm: String,
    key: String,
    names: Option<String>,
    pushed_names: Option<String>,
    version: i64,
    revision: i64,
    created_at: i64,
    updated_at: i64,
}

impl OutlineModel {
    const COLUMNS: [Column; 8] = [
        Column::Realm,
        Column::Key,
        Column::Names,
        Column::PushedNames,
        Column::Version,
        Column::Revision,
        Column::CreatedAt,
        Column::UpdatedAt,
    ];

    fn read(self) -> StoreResult<SecretOutline> {
        let id = SecretId {
            realm: self.realm,
            key: self.key,
        };
        Ok(SecretOutline {
            names: read_names(&id, "names", self.names.as_deref())?,
            pushed: read_names(&id, "pushed_names", self.pushed_names.as_deref())?,
            version: self.version,
            revision: self.revision,
            created_at: Timestamp::from_epoch_ms(self.created_at),
            updated_at: Timestamp::from_epoch_ms(self.updated_at),
            id,
        })
    }
}

/// Names as JSON.
fn write_names(names: &impl Serialize) -> String {
    // Strings and numbers always serialise.
    serde_json::to_string(names).unwrap_or_default()
}

fn read_names<T: Default + DeserializeOwned>(
    id: &SecretId,
    column: &'static str,
    text: Option<&str>,
) -> StoreResult<T> {
    let Some(text) = text else {
        return Ok(T::default());
    };
    serde_json::from_str(text).map_err(|_| StoreError::Corrupt {
        table: "ts_secret",
        column,
        key: id.to_string(),
        reason: "is not the JSON that is stored there".to_owned(),
    })
}

pub(super) fn seal(sealer: &Sealer, row: &SecretRow) -> Model {
    let stored = SealedRow::of_secret(sealer, &row.id);
    let next = row.next.as_ref();
    let failure = next.and_then(|next| next.failure.as_ref());
    let pushed = (!row.pushed.is_empty()).then_some(&row.pushed);
    let outline = SecretOutline::from(row);
    Model {
        realm: row.id.realm.clone(),
        key: row.id.key.clone(),
        content: Some(stored.column("content").write_content(&row.content)),
        next_content: next.map(|next| stored.column("next_content").write_next(next)),
        next_due_at: next.map(|next| next.due_at.epoch_ms()),
        next_failure_code: failure.map(|failure| failure.failure.kind.code().to_owned()),
        next_failed_at: failure.map(|failure| failure.at.epoch_ms()),
        pushed: pushed.map(|pushed| stored.column("pushed").write_credentials(pushed)),
        pushed_version: row.pushed_version,
        names: Some(write_names(&outline.names)),
        pushed_names: pushed.map(|_| write_names(&outline.pushed)),
        version: row.version,
        revision: row.revision,
        created_at: row.created_at.epoch_ms(),
        updated_at: row.updated_at.epoch_ms(),
        changed_at: row.changed_at.epoch_ms(),
        deleted_at: row.deleted_at.map(Timestamp::epoch_ms),
    }
}

pub(super) fn open(sealer: &Sealer, model: &Model) -> StoreResult<SecretRow> {
    let id = SecretId::new(&model.realm, &model.key);
    let stored = SealedRow::of_secret(sealer, &id);
    let content = model
        .content
        .as_deref()
        .map(|bytes| stored.column("content").read_content(bytes))
        .transpose()?;
    let next = open_next(stored, model)?;
    let pushed = model
        .pushed
        .as_deref()
        .map(|bytes| stored.column("pushed").read_credentials(bytes))
        .transpose()?;
    Ok(SecretRow {
        content: content.unwrap_or_default(),
        next,
        pushed: pushed.unwrap_or_default(),
        pushed_version: model.pushed_version,
        version: model.version,
        revision: model.revision,
        created_at: Timestamp::from_epoch_ms(model.created_at),
        updated_at: Timestamp::from_epoch_ms(model.updated_at),
        changed_at: Timestamp::from_epoch_ms(model.changed_at),
        deleted_at: model.deleted_at.map(Timestamp::from_epoch_ms),
        id,
    })
}

fn open_next(stored: SealedRow<'_>, model: &Model) -> StoreResult<Option<NextCredentials>> {
    let (Some(bytes), Some(due_at)) = (&model.next_content, model.next_due_at) else {
        return Ok(None);
    };
    let code = model.next_failure_code.as_deref();
    let failed = code
        .and_then(FailureKind::of_code)
        .zip(model.next_failed_at.map(Timestamp::from_epoch_ms));
    let column = stored.column("next_content");
    let next = column.read_next(bytes, Timestamp::from_epoch_ms(due_at), failed)?;
    Ok(Some(next))
}
