//! `ts_call`: every call of a provider; the log that operators read, and the ledger that quotas
//! are counted in.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "ts_call")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    pub at: i64,
    pub realm: String,
    pub key: String,
    pub cause: String,
    /// `pending`, `withheld`, `ok` or a failure's code.
    pub outcome: String,
    pub provider_code: Option<String>,
    pub provider_message: Option<String>,
    pub duration_ms: Option<i64>,
    pub instance: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
