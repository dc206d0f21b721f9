//! `ts_secret`: one app's credentials in a realm.

#![expect(unreachable_pub, reason = "the derive makes public items")]

use sea_orm::entity::prelude::*;

#[derive(Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "ts_secret")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub realm: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub key: String,
    /// Sealed: credentials, or the operator's token; null in a tombstone.
    pub content: Option<Vec<u8>>,
    /// Sealed: the credentials that are to replace these.
    pub next_content: Option<Vec<u8>>,
    pub next_due_at: Option<i64>,
    /// The class of their last failure, as its code.
    pub next_failure_code: Option<String>,
    pub next_failed_at: Option<i64>,
    /// Sealed: inputs that another process writes.
    pub pushed: Option<Vec<u8>>,
    pub pushed_version: i64,
    /// The names of the values in `content` and `next_content`, as JSON, for lists.
    pub names: Option<String>,
    /// The names of the values in `pushed`, as JSON.
    pub pushed_names: Option<String>,
    pub version: i64,
    pub revision: i64,
    pub created_at: i64,
    pub updated_at: i64,
    pub changed_at: i64,
    pub deleted_at: Option<i64>,
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "ts_secret {}/{} version {}",
            self.realm, self.key, self.version
        )
    }
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
