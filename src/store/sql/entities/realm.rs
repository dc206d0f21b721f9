//! `ts_realm`: one kind of token at one provider.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "ts_realm")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    pub config: Option<String>,
    pub logic_code: Option<String>,
    pub comment: Option<String>,
    pub version: i64,
    pub revision: i64,
    pub created_at: i64,
    pub updated_at: i64,
    pub changed_at: i64,
    pub deleted_at: Option<i64>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
