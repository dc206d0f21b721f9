//! Call rows.

use async_trait::async_trait;
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::{Expr, ExprTrait as _};
use sea_orm::{
    ColumnTrait as _, Condition, EntityTrait as _, PaginatorTrait as _, QueryFilter as _,
    QueryOrder as _, QuerySelect as _,
};

use super::super::{
    CallFilter, CallOutcome, CallRow, CallStore, Listed, Page, StoreResult, Usage, UsageOf,
};
use super::entities::call::{ActiveModel, Column, Entity, Model};
use super::stored::SealedRow;
use super::{SqlStore, dialect, is_nowhere};
use crate::clock::Timestamp;
use crate::secret::SecretId;

#[async_trait]
impl CallStore for SqlStore {
    async fn insert_call(&self, row: &CallRow) -> StoreResult<()> {
        let model = ActiveModel {
            id: Set(row.id.clone()),
            at: Set(row.at.epoch_ms()),
            realm: Set(row.secret.realm.clone()),
            key: Set(row.secret.key.clone()),
            cause: Set(row.cause.clone()),
            outcome: Set(row.outcome.clone()),
            provider_code: Set(row.provider_code.clone()),
            provider_message: Set(self.seal_words(&row.id, row.provider_message.as_deref())),
            duration_ms: Set(row.duration_ms),
            instance: Set(row.instance.clone()),
            caller: Set(row.caller.clone()),
        };
        // The id is new: a taken one means that an earlier try did succeed.
        self.insert(model).await.map(|_| ())
    }

    async fn finish_call(&self, id: &str, outcome: &CallOutcome) -> StoreResult<()> {
        let row = ActiveModel {
            outcome: Set(outcome.outcome.clone()),
            provider_code: Set(outcome.provider_code.clone()),
            provider_message: Set(self.seal_words(id, outcome.provider_message.as_deref())),
            duration_ms: Set(outcome.duration_ms),
            ..Default::default()
        };
        let statement = Entity::update_many().set(row).filter(Column::Id.eq(id));
        self.run(|| statement.clone().exec(&self.db))
            .await
            .map(|_| ())
    }

    async fn call_usage(&self, of: UsageOf<'_>) -> StoreResult<Usage> {
        let is_alive = Condition::any()
            .add(Column::Outcome.ne(CallRow::ASKING))
            .add(Column::At.gt(of.asking_since.epoch_ms()));
        let mut query = Entity::find()
            .select_only()
            .column(Column::Outcome)
            .column_as(Column::Id.count(), "count")
            .column_as(Expr::col(Column::At).min(), "oldest_at")
            .filter(Column::Realm.eq(of.realm))
            .filter(Column::At.gt(of.since.epoch_ms()))
            .filter(Column::Outcome.ne(CallRow::WITHHELD))
            .filter(is_alive)
            .group_by(Column::Outcome);
        let narrower = [
            (Column::Key, of.key),
            (Column::Caller, of.caller),
            (Column::Cause, of.cause),
        ];
        for (column, wanted) in narrower {
            if let Some(wanted) = wanted {
                query = query.filter(column.eq(wanted));
            }
        }
        let rows = self
            .run(|| {
                query
                    .clone()
                    .into_tuple::<(String, i64, Option<i64>)>()
                    .all(&self.db)
            })
            .await?;
        Ok(rows
            .into_iter()
            .fold(Usage::default(), |usage, (outcome, count, oldest_at)| {
                let count = u64::try_from(count).unwrap_or_default();
                if outcome == CallRow::ASKING {
                    return Usage {
                        count: usage.count + count,
                        ..usage
                    };
                }
                let oldest_at = oldest_at.map(Timestamp::from_epoch_ms);
                let oldest_at = usage.oldest_at.into_iter().chain(oldest_at).min();
                Usage {
                    made: usage.made + count,
                    count: usage.count + count,
                    oldest_at,
                }
            }))
    }

    async fn withdraw_call(&self, id: &str) -> StoreResult<()> {
        let statement = Entity::delete_many().filter(Column::Id.eq(id));
        self.run(|| statement.clone().exec(&self.db))
            .await
            .map(|_| ())
    }

    async fn list_calls(&self, filter: &CallFilter, page: Page) -> StoreResult<Listed<CallRow>> {
        if is_nowhere(filter.realm.as_deref(), filter.key.as_deref()) {
            return Ok(Listed {
                items: Vec::new(),
                total: 0,
            });
        }
        let equals =
            |column: Column, value: &Option<String>| value.as_ref().map(|value| column.eq(value));
        let wanted = Condition::all()
            .add_option(equals(Column::Realm, &filter.realm))
            .add_option(equals(Column::Key, &filter.key))
            .add_option(equals(Column::Outcome, &filter.outcome))
            .add_option(filter.from.map(|from| Column::At.gte(from.epoch_ms())))
            .add_option(filter.to.map(|to| Column::At.lt(to.epoch_ms())))
            .add(dialect::reached(
                &self.db,
                &filter.scopes,
                (Column::Realm, Some(Column::Key)),
            ));
        let query = Entity::find().filter(wanted);
        let rows = query
            .clone()
            .order_by_desc(Column::At)
            .order_by_desc(Column::Id)
            .offset(page.offset)
            .limit(page.limit);
        let items = self.run(|| rows.clone().all(&self.db)).await?;
        let total = self.run(|| query.clone().count(&self.db)).await?;
        Ok(Listed {
            items: items
                .into_iter()
                .map(|model| self.open_call(model))
                .collect::<Result<_, _>>()?,
            total,
        })
    }

    /// In batches by id, since not all databases delete with a limit.
    async fn delete_calls(&self, before: Timestamp, most: u64) -> StoreResult<u64> {
        let old = Entity::find()
            .select_only()
            .column(Column::Id)
            .filter(Column::At.lt(before.epoch_ms()))
            .limit(most);
        let ids: Vec<String> = self
            .run(|| old.clone().into_tuple::<String>().all(&self.db))
            .await?;
        if ids.is_empty() {
            return Ok(0);
        }
        let statement = Entity::delete_many().filter(Column::Id.is_in(ids));
        Ok(self
            .run(|| statement.clone().exec(&self.db))
            .await?
            .rows_affected)
    }
}

impl SqlStore {
    fn seal_words(&self, id: &str, message: Option<&str>) -> Option<Vec<u8>> {
        let column = SealedRow::of_call(&self.sealer, id).column("provider_message");
        message.map(|message| column.write_text(message))
    }

    fn open_call(&self, model: Model) -> StoreResult<CallRow> {
        let column = SealedRow::of_call(&self.sealer, &model.id).column("provider_message");
        let message = model.provider_message.as_deref();
        let provider_message = message.map(|bytes| column.read_text(bytes)).transpose()?;
        Ok(CallRow {
            id: model.id,
            at: Timestamp::from_epoch_ms(model.at),
            secret: SecretId::new(model.realm, model.key),
            cause: model.cause,
            outcome: model.outcome,
            provider_code: model.provider_code,
            provider_message,
            duration_ms: model.duration_ms,
            instance: model.instance,
            caller: model.caller,
        })
    }
}
