//! Realm rows.

use async_trait::async_trait;
use sea_orm::sea_query::{BinOper, Expr, ExprTrait as _, Func};
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, Condition, EntityTrait as _, IntoActiveModel as _,
    PaginatorTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _,
};

use super::super::{Listed, Page, RealmFilter, RealmRow, RealmStore, StoreResult};
use super::entities::realm::{ActiveModel, Column, Entity, Model};
use super::{SqlStore, dialect, is_nowhere};
use crate::clock::Timestamp;

#[async_trait]
impl RealmStore for SqlStore {
    async fn find_realm(&self, id: &str) -> StoreResult<Option<RealmRow>> {
        if is_nowhere(Some(id), None) {
            return Ok(None);
        }
        let found = self.run(|| Entity::find_by_id(id).one(&self.db)).await?;
        Ok(found.map(RealmRow::from))
    }

    async fn list_realms(&self, filter: &RealmFilter, page: Page) -> StoreResult<Listed<RealmRow>> {
        let keyword = filter.keyword.as_deref();
        // PostgreSQL refuses the sign, SQLite ends a pattern with it.
        if keyword.is_some_and(|keyword| keyword.contains('\0')) {
            return Ok(Listed {
                items: Vec::new(),
                total: 0,
            });
        }
        let query = Entity::find()
            .filter(Column::DeletedAt.is_null())
            .filter(mentions(keyword))
            .filter(dialect::reached(
                &self.db,
                &filter.scopes,
                (Column::Id, None),
            ));
        let rows = query
            .clone()
            .order_by_desc(Column::UpdatedAt)
            .order_by_asc(Column::Id)
            .offset(page.offset)
            .limit(page.limit);
        let items = self.run(|| rows.clone().all(&self.db)).await?;
        let total = self.run(|| query.clone().count(&self.db)).await?;
        Ok(Listed {
            items: items.into_iter().map(RealmRow::from).collect(),
            total,
        })
    }

    async fn insert_realm(&self, row: &RealmRow) -> StoreResult<bool> {
        self.insert(ActiveModel::from(Model::from(row.clone())))
            .await
    }

    async fn update_realm(&self, row: &RealmRow, expected_revision: i64) -> StoreResult<bool> {
        let statement = Entity::update_many()
            .set(Model::from(row.clone()).into_active_model().reset_all())
            .filter(Column::Id.eq(&row.id))
            .filter(Column::Revision.eq(expected_revision));
        let outcome = self.run(|| statement.clone().exec(&self.db)).await?;
        Ok(outcome.rows_affected == 1)
    }
}

/// Comment or id has the keyword in it, whatever its case.
///
/// The database makes both sides lower case, since SQLite knows that of ASCII only, and PostgreSQL
/// in the id. A text is found by itself in any script.
fn mentions(keyword: Option<&str>) -> Condition {
    let Some(keyword) = keyword.filter(|keyword| !keyword.is_empty()) else {
        return Condition::all();
    };
    let escaped = keyword
        .replace('!', "!!")
        .replace('%', "!%")
        .replace('_', "!_");
    let pattern = Expr::val(format!("%{escaped}%"));
    let like = |text: Expr, pattern: Expr| {
        text.binary(
            BinOper::Like,
            pattern.binary(BinOper::Escape, Expr::Constant('!'.into())),
        )
    };
    [Column::Comment, Column::Id]
        .into_iter()
        .fold(Condition::any(), |any, column| {
            let text = Expr::col(column);
            let lower = like(
                Func::lower(text.clone()).into(),
                Func::lower(pattern.clone()).into(),
            );
            any.add(lower).add(like(text, pattern.clone()))
        })
}

impl From<Model> for RealmRow {
    fn from(model: Model) -> Self {
        Self {
            id: model.id,
            config: model.config,
            logic_code: model.logic_code,
            comment: model.comment,
            version: model.version,
            revision: model.revision,
            created_at: Timestamp::from_epoch_ms(model.created_at),
            updated_at: Timestamp::from_epoch_ms(model.updated_at),
            changed_at: Timestamp::from_epoch_ms(model.changed_at),
            deleted_at: model.deleted_at.map(Timestamp::from_epoch_ms),
        }
    }
}

impl From<RealmRow> for Model {
    fn from(row: RealmRow) -> Self {
        Self {
            id: row.id,
            config: row.config,
            logic_code: row.logic_code,
            comment: row.comment,
            version: row.version,
            revision: row.revision,
            created_at: row.created_at.epoch_ms(),
            updated_at: row.updated_at.epoch_ms(),
            changed_at: row.changed_at.epoch_ms(),
            deleted_at: row.deleted_at.map(Timestamp::epoch_ms),
        }
    }
}
