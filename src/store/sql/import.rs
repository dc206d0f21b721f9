//! Writing what the importer took, all or nothing.

use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, DatabaseTransaction, EntityTrait as _, IntoActiveModel as _,
    QueryFilter as _, TransactionTrait as _,
};

use super::super::{RealmRow, SecretRow, StoreError, StoreResult};
use super::entities::{realm, secret, token};
use super::sealed::write_token;
use super::{SqlStore, fault, secrets};
use crate::clock::Timestamp;
use crate::secret::SecretId;
use crate::store::HeldToken;

/// A row and the revision it replaces; `None`: it is new.
pub type Replacing<T> = (T, Option<i64>);

/// Everything one import writes.
#[derive(Debug, Default)]
pub struct Import {
    /// Realms.
    pub realms: Vec<Replacing<RealmRow>>,
    /// Secrets.
    pub secrets: Vec<Replacing<SecretRow>>,
    /// Live tokens, with the token version each gets, the lease epoch it was decided under, and when it is due.
    pub tokens: Vec<ImportedToken>,
    /// Now.
    pub at: Option<Timestamp>,
}

/// A live token of the inherited service.
#[derive(Clone, Debug)]
pub struct ImportedToken {
    /// Whose.
    pub id: SecretId,
    /// The token.
    pub token: HeldToken,
    /// When to renew it.
    pub due_at: Option<Timestamp>,
    /// The version and lease epoch of the row it replaces; `None`: there is no row.
    pub replaces: Option<(i64, i64)>,
}

impl SqlStore {
    /// Writes an import in one transaction.
    ///
    /// # Errors
    /// `Conflict` when a row was changed since it was read: nothing is written, the import can run again.
    pub async fn write_import(&self, import: &Import) -> StoreResult<()> {
        let transaction = self.db.begin().await.map_err(|error| fault(&error))?;
        write_all(&transaction, import).await?;
        transaction.commit().await.map_err(|error| fault(&error))
    }
}

async fn write_all(db: &DatabaseTransaction, import: &Import) -> StoreResult<()> {
    for (row, replaces) in &import.realms {
        let model = realm::Model::from(row.clone());
        let written = match replaces {
            None => realm::Entity::insert(realm::ActiveModel::from(model)).exec_without_returning(db).await,
            Some(revision) => realm::Entity::update_many()
                .set(model.into_active_model().reset_all())
                .filter(realm::Column::Id.eq(&row.id))
                .filter(realm::Column::Revision.eq(*revision))
                .exec(db)
                .await
                .map(|outcome| outcome.rows_affected),
        };
        demand_one(written, &row.id)?;
    }
    for (row, replaces) in &import.secrets {
        let model = secrets::seal(row);
        let written = match replaces {
            None => secret::Entity::insert(secret::ActiveModel::from(model)).exec_without_returning(db).await,
            Some(revision) => secret::Entity::update_many()
                .set(model.into_active_model().reset_all())
                .filter(secret::Column::Realm.eq(&row.id.realm))
                .filter(secret::Column::Key.eq(&row.id.key))
                .filter(secret::Column::Revision.eq(*revision))
                .exec(db)
                .await
                .map(|outcome| outcome.rows_affected),
        };
        demand_one(written, &row.id)?;
    }
    let at = import.at.unwrap_or(Timestamp::from_epoch_ms(0));
    for imported in &import.tokens {
        demand_one(write_imported(db, imported, at).await, &imported.id)?;
    }
    Ok(())
}

async fn write_imported(
    db: &DatabaseTransaction,
    imported: &ImportedToken,
    at: Timestamp,
) -> Result<u64, sea_orm::DbErr> {
    use sea_orm::ActiveValue::Set;
    let (version, epoch) = imported.replaces.unwrap_or_default();
    let token = &imported.token;
    let row = token::ActiveModel {
        realm: Set(imported.id.realm.clone()),
        key: Set(imported.id.key.clone()),
        version: Set(version + 1),
        token: Set(Some(write_token(&token.text))),
        obtained_at: Set(Some(token.life.obtained_at.epoch_ms())),
        expires_at: Set(token.life.expires_at.map(Timestamp::epoch_ms)),
        realm_version: Set(token.realm_version),
        secret_version: Set(token.secret_version),
        due_at: Set(imported.due_at.map(Timestamp::epoch_ms)),
        changed_at: Set(at.epoch_ms()),
        ..Default::default()
    };
    if imported.replaces.is_none() {
        return token::Entity::insert(row).exec_without_returning(db).await;
    }
    let statement = token::Entity::update_many()
        .set(row)
        .filter(token::Column::Realm.eq(&imported.id.realm))
        .filter(token::Column::Key.eq(&imported.id.key))
        .filter(token::Column::Version.eq(version))
        .filter(token::Column::LeaseEpoch.eq(epoch));
    Ok(statement.exec(db).await?.rows_affected)
}

fn demand_one(written: Result<u64, sea_orm::DbErr>, key: &dyn std::fmt::Display) -> StoreResult<()> {
    match written {
        Ok(1) => Ok(()),
        Ok(_) => Err(StoreError::Conflict(format!("{key} was changed while the import was prepared"))),
        Err(error) => Err(fault(&error)),
    }
}
