//! `ts_api_key`: who may call.

#![expect(unreachable_pub, reason = "the derive makes public items")]

use sea_orm::entity::prelude::*;

#[derive(Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "ts_api_key")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// SHA-256 of the secret digits, hex.
    pub hash: String,
    /// The same before the key was rotated.
    pub previous_hash: Option<String>,
    pub previous_until: Option<i64>,
    /// SHA-256 of a client certificate's DER, hex.
    pub certificate: Option<String>,
    pub role: String,
    /// JSON array of `realm:key`; null: all.
    pub scopes: Option<String>,
    pub note: Option<String>,
    /// As `100/s`.
    pub rate: Option<String>,
    pub created_at: i64,
    pub expires_at: Option<i64>,
    pub disabled_at: Option<i64>,
    pub last_used_at: Option<i64>,
    pub last_used_from: Option<String>,
    pub revision: i64,
    pub changed_at: i64,
    pub deleted_at: Option<i64>,
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ts_api_key {} revision {}", self.id, self.revision)
    }
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
