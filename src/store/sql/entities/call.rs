//! `ts_call`: every call of a provider; the log that operators read, and the ledger that quotas
//! are counted in.

#![expect(unreachable_pub, reason = "the derive makes public items")]

use sea_orm::entity::prelude::*;

#[derive(Clone, PartialEq, Eq, DeriveEntityModel)]
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
    /// Sealed.
    pub provider_message: Option<Vec<u8>>,
    pub duration_ms: Option<i64>,
    pub instance: String,
    /// Who forced it; null: nobody did.
    pub caller: Option<String>,
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ts_call {} {}", self.id, self.outcome)
    }
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
