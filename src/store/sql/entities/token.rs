//! `ts_token`: the latest token of a secret and the state of its renewal.

#![expect(unreachable_pub, reason = "the derive makes public items")]

use sea_orm::UpdateMany;
use sea_orm::entity::prelude::*;

use crate::secret::SecretId;

#[derive(Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "ts_token")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub realm: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub key: String,
    pub version: i64,
    /// Sealed.
    pub token: Option<Vec<u8>>,
    /// Sealed: what is handed out with the token.
    pub outputs: Option<Vec<u8>>,
    pub obtained_at: Option<i64>,
    /// Of a token: `None` means never.
    pub expires_at: Option<i64>,
    pub realm_version: i64,
    pub secret_version: i64,
    pub due_at: Option<i64>,
    /// Sealed.
    pub previous_token: Option<Vec<u8>>,
    pub previous_valid_until: Option<i64>,
    /// Sealed: credentials that the provider replaces with each use.
    pub grant_content: Option<Vec<u8>>,
    pub grant_generation: i64,
    pub grant_expires_at: Option<i64>,
    /// JSON of a use whose outcome is not known.
    pub grant_intent: Option<String>,
    pub lease_owner: Option<String>,
    pub lease_epoch: i64,
    pub lease_until: i64,
    pub next_attempt_at: Option<i64>,
    /// The class of the last failure, as its code.
    pub failure_code: Option<String>,
    pub failed_at: Option<i64>,
    /// Sealed: its words, and what it was tried with.
    pub failure: Option<Vec<u8>>,
    pub failed_attempts: i64,
    pub repeat_count: i64,
    pub foreign_refreshes: i64,
    pub foreign_refresh_at: Option<i64>,
    pub last_asked_at: Option<i64>,
    pub changed_at: i64,
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "ts_token {}/{} version {}",
            self.realm, self.key, self.version
        )
    }
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// An update of the row of this secret.
pub(in crate::store::sql) fn of(id: &SecretId) -> UpdateMany<Entity> {
    Entity::update_many()
        .filter(Column::Realm.eq(&id.realm))
        .filter(Column::Key.eq(&id.key))
}
