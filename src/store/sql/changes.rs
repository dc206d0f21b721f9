//! What other instances wrote, and what is old enough to forget.

use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _, QuerySelect as _};

use super::super::{Changes, StoreResult};
use super::SqlStore;
use super::entities::{realm, secret, token};
use crate::clock::Timestamp;
use crate::secret::SecretId;

pub(super) async fn list(store: &SqlStore, since: Timestamp) -> StoreResult<Changes> {
    Ok(Changes {
        realms: realms(store, since.epoch_ms()).await?,
        secrets: secrets(store, since.epoch_ms()).await?,
        tokens: tokens(store, since.epoch_ms()).await?,
    })
}

async fn realms(store: &SqlStore, since_ms: i64) -> StoreResult<Vec<(String, Option<i64>)>> {
    use realm::Column;
    let query = realm::Entity::find()
        .select_only()
        .columns([Column::Id, Column::Version, Column::DeletedAt])
        .filter(Column::ChangedAt.gte(since_ms));
    let rows = store.run(|| query.clone().into_tuple::<(String, i64, Option<i64>)>().all(&store.db)).await?;
    Ok(rows.into_iter().map(|(id, version, deleted)| (id, live(version, deleted))).collect())
}

async fn secrets(store: &SqlStore, since_ms: i64) -> StoreResult<Vec<(SecretId, Option<i64>)>> {
    use secret::Column;
    let query = secret::Entity::find()
        .select_only()
        .columns([Column::Realm, Column::Key, Column::Version, Column::DeletedAt])
        .filter(Column::ChangedAt.gte(since_ms));
    let rows =
        store.run(|| query.clone().into_tuple::<(String, String, i64, Option<i64>)>().all(&store.db)).await?;
    let named = |(realm, key, version, deleted)| (SecretId { realm, key }, live(version, deleted));
    Ok(rows.into_iter().map(named).collect())
}

async fn tokens(store: &SqlStore, since_ms: i64) -> StoreResult<Vec<(SecretId, Option<i64>)>> {
    use token::Column;
    let query = token::Entity::find()
        .select_only()
        .columns([Column::Realm, Column::Key, Column::Version, Column::ObtainedAt])
        .filter(Column::ChangedAt.gte(since_ms));
    let rows =
        store.run(|| query.clone().into_tuple::<(String, String, i64, Option<i64>)>().all(&store.db)).await?;
    let named = |(realm, key, version, held): (_, _, i64, Option<i64>)| {
        (SecretId { realm, key }, held.map(|_| version))
    };
    Ok(rows.into_iter().map(named).collect())
}

fn live(version: i64, deleted_at: Option<i64>) -> Option<i64> {
    deleted_at.is_none().then_some(version)
}

pub(super) async fn delete_tombstones(store: &SqlStore, before: Timestamp) -> StoreResult<u64> {
    let before_ms = before.epoch_ms();
    let secrets = secret::Entity::delete_many().filter(secret::Column::DeletedAt.lt(before_ms));
    let realms = realm::Entity::delete_many().filter(realm::Column::DeletedAt.lt(before_ms));
    let secrets = store.run(|| secrets.clone().exec(&store.db)).await?.rows_affected;
    let realms = store.run(|| realms.clone().exec(&store.db)).await?.rows_affected;
    Ok(secrets + realms)
}
