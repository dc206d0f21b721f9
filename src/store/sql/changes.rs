//! What other instances wrote, and what is old enough to forget.

use std::collections::{BTreeSet, HashMap};

use async_trait::async_trait;
use sea_orm::sea_query::{Expr, ExprTrait as _, SimpleExpr};
use sea_orm::{ColumnTrait, EntityTrait as _, QueryFilter as _, QuerySelect as _, Select};

use super::super::{ChangeStore, Changes, StoreResult};
use super::SqlStore;
use super::entities::{realm, secret, token};
use crate::clock::Timestamp;
use crate::secret::SecretId;

/// How many names are in one statement.
const NAMES_AT_ONCE: usize = 200;

type Versions<N> = Vec<(N, Option<i64>)>;

#[async_trait]
impl ChangeStore for SqlStore {
    async fn list_changes(&self, since: Timestamp) -> StoreResult<Changes> {
        let since_ms = since.epoch_ms();
        let realms = realm::Entity::find().filter(realm::Column::ChangedAt.gte(since_ms));
        let secrets = secret::Entity::find().filter(secret::Column::ChangedAt.gte(since_ms));
        let tokens = token::Entity::find().filter(token::Column::ChangedAt.gte(since_ms));
        Ok(Changes {
            realms: read_realms(self, realms).await?,
            secrets: read_secrets(self, secrets).await?,
            tokens: read_tokens(self, tokens).await?,
        })
    }

    /// Rows that are not there count as deleted.
    async fn list_current(&self, ids: &[SecretId]) -> StoreResult<Changes> {
        let mut current = Changes::default();
        for ids in ids.chunks(NAMES_AT_ONCE) {
            let realm_ids: BTreeSet<&str> = ids.iter().map(|id| id.realm.as_str()).collect();
            let realms =
                realm::Entity::find().filter(realm::Column::Id.is_in(realm_ids.iter().copied()));
            let secrets = secret::Entity::find().filter(named(
                secret::Column::Realm,
                secret::Column::Key,
                ids,
            ));
            let tokens =
                token::Entity::find().filter(named(token::Column::Realm, token::Column::Key, ids));
            let realms: HashMap<_, _> = read_realms(self, realms).await?.into_iter().collect();
            let secrets: HashMap<_, _> = read_secrets(self, secrets).await?.into_iter().collect();
            let tokens: HashMap<_, _> = read_tokens(self, tokens).await?.into_iter().collect();
            let found = |realm: &&str| (realm.to_string(), realms.get(*realm).copied().flatten());
            current.realms.extend(realm_ids.iter().map(found));
            current.secrets.extend(
                ids.iter()
                    .map(|id| (id.clone(), secrets.get(id).copied().flatten())),
            );
            current.tokens.extend(
                ids.iter()
                    .map(|id| (id.clone(), tokens.get(id).copied().flatten())),
            );
        }
        Ok(current)
    }

    async fn delete_tombstones(&self, before: Timestamp) -> StoreResult<u64> {
        let before_ms = before.epoch_ms();
        let secrets = secret::Entity::delete_many().filter(secret::Column::DeletedAt.lt(before_ms));
        let realms = realm::Entity::delete_many().filter(realm::Column::DeletedAt.lt(before_ms));
        let secrets = self
            .run(|| secrets.clone().exec(&self.db))
            .await?
            .rows_affected;
        let realms = self
            .run(|| realms.clone().exec(&self.db))
            .await?
            .rows_affected;
        Ok(secrets + realms)
    }
}

async fn read_realms(
    store: &SqlStore,
    query: Select<realm::Entity>,
) -> StoreResult<Versions<String>> {
    use realm::Column;
    let query = query
        .select_only()
        .columns([Column::Id, Column::Version, Column::DeletedAt]);
    let rows = store
        .run(|| {
            query
                .clone()
                .into_tuple::<(String, i64, Option<i64>)>()
                .all(&store.db)
        })
        .await?;
    Ok(rows
        .into_iter()
        .map(|(id, version, deleted)| (id, live(version, deleted)))
        .collect())
}

async fn read_secrets(
    store: &SqlStore,
    query: Select<secret::Entity>,
) -> StoreResult<Versions<SecretId>> {
    use secret::Column;
    let query = query.select_only().columns([
        Column::Realm,
        Column::Key,
        Column::Version,
        Column::DeletedAt,
    ]);
    let rows = store
        .run(|| {
            query
                .clone()
                .into_tuple::<(String, String, i64, Option<i64>)>()
                .all(&store.db)
        })
        .await?;
    let named = |(realm, key, version, deleted)| (SecretId { realm, key }, live(version, deleted));
    Ok(rows.into_iter().map(named).collect())
}

async fn read_tokens(
    store: &SqlStore,
    query: Select<token::Entity>,
) -> StoreResult<Versions<SecretId>> {
    use token::Column;
    let query = query.select_only().columns([
        Column::Realm,
        Column::Key,
        Column::Version,
        Column::ObtainedAt,
    ]);
    let rows = store
        .run(|| {
            query
                .clone()
                .into_tuple::<(String, String, i64, Option<i64>)>()
                .all(&store.db)
        })
        .await?;
    let named = |(realm, key, version, held): (_, _, i64, Option<i64>)| {
        (SecretId { realm, key }, held.map(|_| version))
    };
    Ok(rows.into_iter().map(named).collect())
}

fn live(version: i64, deleted_at: Option<i64>) -> Option<i64> {
    deleted_at.is_none().then_some(version)
}

fn named(realm: impl ColumnTrait, key: impl ColumnTrait, ids: &[SecretId]) -> SimpleExpr {
    let names = ids.iter().map(|id| (id.realm.clone(), id.key.clone()));
    Expr::tuple([Expr::col(realm), Expr::col(key)]).in_tuples(names)
}
