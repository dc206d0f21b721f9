//! The importer's side of the store: reading many rows at once, and writing what was taken, all or
//! nothing.

mod write;

use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _, TransactionTrait as _};

use super::super::{RealmRow, SecretRow, StoreResult, TokenRow};
use super::entities::{realm, secret, token};
use super::{SqlStore, fault, secrets, tokens};
use crate::clock::Timestamp;
use crate::secret::SecretId;
use crate::store::StoredToken;

/// A row and the revision it replaces; `None`: it is new.
pub type Replacing<T> = (T, Option<i64>);

/// Everything one import writes.
#[derive(Debug, Default)]
pub struct Import {
    /// Realms.
    pub realms: Vec<Replacing<RealmRow>>,
    /// Realms that stay as they are and that written secrets need: id and revision.
    pub needed_realms: Vec<(String, i64)>,
    /// Secrets.
    pub secrets: Vec<Replacing<SecretRow>>,
    /// Live tokens, with the token version each gets, the lease epoch it was decided under, and
    /// when it is due.
    pub tokens: Vec<ImportedToken>,
    /// Secrets that count as asked for now, ordered by realm; their rows are there, or are written
    /// with `tokens`.
    pub asked: Vec<SecretId>,
    /// Now.
    pub at: Option<Timestamp>,
}

/// A live token of the inherited service.
#[derive(Clone, Debug)]
pub struct ImportedToken {
    /// Whose.
    pub id: SecretId,
    /// The token.
    pub token: StoredToken,
    /// When to renew it.
    pub due_at: Option<Timestamp>,
    /// The version and lease epoch of the row it replaces; `None`: there is no row.
    pub replaces: Option<(i64, i64)>,
}

/// What is here already of what an import names, deleted rows too.
#[derive(Debug, Default)]
pub struct Present {
    /// Realms.
    pub realms: Vec<RealmRow>,
    /// All secrets of these realms.
    pub secrets: Vec<SecretRow>,
    /// All token rows of these realms.
    pub tokens: Vec<TokenRow>,
}

/// How many realms are named in one statement.
const REALMS_AT_ONCE: usize = 200;
/// How many rows are read with one statement.
const ROWS_AT_ONCE: u64 = 1000;

impl SqlStore {
    /// The realms of these ids with all their secrets and token rows, deleted ones too.
    ///
    /// # Errors
    /// `Unavailable`; `Corrupt` when one of the rows cannot be read.
    pub async fn list_present(&self, realms: &[String]) -> StoreResult<Present> {
        let mut present = Present::default();
        for ids in realms.chunks(REALMS_AT_ONCE) {
            let query = realm::Entity::find().filter(realm::Column::Id.is_in(ids));
            let found = self.run(|| query.clone().all(&self.db)).await?;
            present.realms.extend(found.into_iter().map(RealmRow::from));
            self.append_secrets(ids, &mut present.secrets).await?;
            self.append_tokens(ids, &mut present.tokens).await?;
        }
        Ok(present)
    }

    async fn append_secrets(
        &self,
        realms: &[String],
        secrets: &mut Vec<SecretRow>,
    ) -> StoreResult<()> {
        use secret::Column;
        let query = secret::Entity::find().filter(Column::Realm.is_in(realms));
        let mut read_to = None;
        loop {
            let page = self
                .run(|| async {
                    let mut cursor = query.clone().cursor_by((Column::Realm, Column::Key));
                    if let Some(last) = &read_to {
                        cursor.after::<(String, String)>(Clone::clone(last));
                    }
                    cursor.first(ROWS_AT_ONCE).all(&self.db).await
                })
                .await?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            read_to = Some((last.realm.clone(), last.key.clone()));
            for model in page {
                secrets.push(secrets::open(&self.sealer, &model)?);
            }
        }
    }

    async fn append_tokens(
        &self,
        realms: &[String],
        tokens: &mut Vec<TokenRow>,
    ) -> StoreResult<()> {
        use token::Column;
        let query = token::Entity::find().filter(Column::Realm.is_in(realms));
        let mut read_to = None;
        loop {
            let page = self
                .run(|| async {
                    let mut cursor = query.clone().cursor_by((Column::Realm, Column::Key));
                    if let Some(last) = &read_to {
                        cursor.after::<(String, String)>(Clone::clone(last));
                    }
                    cursor.first(ROWS_AT_ONCE).all(&self.db).await
                })
                .await?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            read_to = Some((last.realm.clone(), last.key.clone()));
            for model in page {
                let id = SecretId::new(&model.realm, &model.key);
                tokens.push(tokens::open(&self.sealer, &id, &model)?);
            }
        }
    }

    /// Writes an import in one transaction.
    ///
    /// # Errors
    /// `Conflict` when a row was changed since it was read: nothing is written, the import
    /// can run again.
    pub async fn write_import(&self, import: &Import) -> StoreResult<()> {
        let transaction = self.db.begin().await.map_err(|error| fault(&error))?;
        write::all(&transaction, &self.sealer, import).await?;
        transaction.commit().await.map_err(|error| fault(&error))
    }
}
