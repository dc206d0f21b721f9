//! Secret rows; the content is sealed on the way in and opened on the way out.

use async_trait::async_trait;
use sea_orm::ActiveValue::{NotSet, Set};
use sea_orm::sea_query::{Expr, ExprTrait as _};
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, Condition, EntityTrait as _, IntoActiveModel as _,
    PaginatorTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _,
};

use super::super::{Listed, Page, SecretFilter, SecretRow, SecretStore, StoreResult};
use super::entities::secret::{ActiveModel, Column, Entity, Model};
use super::sealed::{
    Place, read_content, read_credentials, read_next, write_content, write_credentials, write_next,
};
use super::{SqlStore, is_nowhere};
use crate::clock::Timestamp;
use crate::secret::{Credentials, SecretContent, SecretId};

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
        found.map(open).transpose()
    }

    async fn list_secrets(
        &self,
        filter: &SecretFilter,
        page: Page,
    ) -> StoreResult<Listed<SecretRow>> {
        if is_nowhere(filter.realm.as_deref(), filter.key.as_deref()) {
            return Ok(Listed {
                items: Vec::new(),
                total: 0,
            });
        }
        let mut query = Entity::find().filter(Column::DeletedAt.is_null());
        if let Some(realm) = &filter.realm {
            query = query.filter(Column::Realm.eq(realm));
        }
        if let Some(key) = &filter.key {
            query = query.filter(Column::Key.eq(key));
        }
        let rows = query
            .clone()
            .order_by_desc(Column::UpdatedAt)
            .order_by_asc(Column::Realm)
            .order_by_asc(Column::Key)
            .offset(page.offset)
            .limit(page.limit);
        let items = self.run(|| rows.clone().all(&self.db)).await?;
        let total = self.run(|| query.clone().count(&self.db)).await?;
        Ok(Listed {
            items: items.into_iter().map(open).collect::<Result<_, _>>()?,
            total,
        })
    }

    async fn insert_secret(&self, row: &SecretRow) -> StoreResult<bool> {
        self.insert(ActiveModel::from(seal(row))).await
    }

    async fn update_secret(&self, row: &SecretRow, expected_revision: i64) -> StoreResult<bool> {
        let statement = Entity::update_many()
            .set(ActiveModel {
                pushed: NotSet,
                pushed_version: NotSet,
                ..seal(row).into_active_model().reset_all()
            })
            .filter(Column::Realm.eq(&row.id.realm))
            .filter(Column::Key.eq(&row.id.key))
            .filter(Column::Revision.eq(expected_revision));
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
        let row = ActiveModel {
            pushed: Set(Some(write_credentials(pushed))),
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
            .col_expr(
                Column::Content,
                Expr::value(write_content(&SecretContent::default())),
            )
            .col_expr(Column::NextContent, Expr::value(None::<Vec<u8>>))
            .col_expr(Column::NextDueAt, Expr::value(None::<i64>))
            .col_expr(Column::Pushed, Expr::value(None::<Vec<u8>>))
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

pub(super) fn seal(row: &SecretRow) -> Model {
    Model {
        realm: row.id.realm.clone(),
        key: row.id.key.clone(),
        content: write_content(&row.content),
        next_content: row.next.as_ref().map(write_next),
        next_due_at: row.next.as_ref().map(|next| next.due_at.epoch_ms()),
        pushed: (!row.pushed.is_empty()).then(|| write_credentials(&row.pushed)),
        pushed_version: row.pushed_version,
        version: row.version,
        revision: row.revision,
        created_at: row.created_at.epoch_ms(),
        updated_at: row.updated_at.epoch_ms(),
        changed_at: row.changed_at.epoch_ms(),
        deleted_at: row.deleted_at.map(Timestamp::epoch_ms),
    }
}

pub(super) fn open(model: Model) -> StoreResult<SecretRow> {
    let id = SecretId::new(model.realm, model.key);
    let place = |column| Place {
        table: "ts_secret",
        column,
        key: &id,
    };
    let content = read_content(&model.content, place("content"))?;
    let next = model
        .next_content
        .as_deref()
        .zip(model.next_due_at)
        .map(|(bytes, due_at)| {
            read_next(
                bytes,
                Timestamp::from_epoch_ms(due_at),
                place("next_content"),
            )
        });
    let next = next.transpose()?;
    let pushed = model
        .pushed
        .as_deref()
        .map(|bytes| read_credentials(bytes, place("pushed")))
        .transpose()?;
    Ok(SecretRow {
        id,
        content,
        next,
        pushed: pushed.unwrap_or_default(),
        pushed_version: model.pushed_version,
        version: model.version,
        revision: model.revision,
        created_at: Timestamp::from_epoch_ms(model.created_at),
        updated_at: Timestamp::from_epoch_ms(model.updated_at),
        changed_at: Timestamp::from_epoch_ms(model.changed_at),
        deleted_at: model.deleted_at.map(Timestamp::from_epoch_ms),
    })
}
