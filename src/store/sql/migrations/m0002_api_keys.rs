//! API keys.

use sea_orm::sea_query::{Alias, Index, Table, TableCreateStatement};
use sea_orm::{ConnectionTrait as _, DbErr};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager, async_trait};

use super::super::dialect::{name_column, text_column};
use super::m0001_initial::number;

pub(super) struct Migration;

const TABLE: &str = "ts_api_key";
const INDEX: &str = "ts_api_key_changed_at";

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m0002_api_keys"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let mut table = api_key_table(manager);
        manager
            .create_table(table.if_not_exists().to_owned())
            .await?;
        if !manager.has_index(TABLE, INDEX).await? {
            let index = Index::create()
                .name(INDEX)
                .table(Alias::new(TABLE))
                .col(Alias::new("changed_at"))
                .to_owned();
            manager.create_index(index).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let table = Table::drop()
            .table(Alias::new(TABLE))
            .if_exists()
            .to_owned();
        manager.drop_table(table).await
    }
}

fn api_key_table(manager: &SchemaManager<'_>) -> TableCreateStatement {
    let backend = manager.get_connection().get_database_backend();
    let mut table = Table::create();
    table
        .table(Alias::new(TABLE))
        .col(name_column(backend, "id", 11).not_null().primary_key())
        .col(name_column(backend, "hash", 64).not_null())
        .col(name_column(backend, "previous_hash", 64).null())
        .col(number("previous_until").null())
        .col(name_column(backend, "certificate", 64).null())
        .col(name_column(backend, "role", 20).not_null())
        .col(text_column(backend, "scopes").null())
        .col(text_column(backend, "note").null())
        .col(name_column(backend, "rate", 20).null())
        .col(number("created_at").not_null())
        .col(number("expires_at").null())
        .col(number("disabled_at").null())
        .col(number("last_used_at").null())
        .col(name_column(backend, "last_used_from", 45).null())
        .col(number("revision").not_null())
        .col(number("changed_at").not_null())
        .col(number("deleted_at").null());
    table
}
