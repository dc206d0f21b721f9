//! The log of fetches.

use sea_orm::sea_query::{Alias, ColumnDef, Index, Table};
use sea_orm::{ConnectionTrait as _, DbErr};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager, async_trait};

use super::super::dialect::{name_column, text_column};

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m0002_fetch"
    }
}

const TABLE: &str = "ts_fetch";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let backend = manager.get_connection().get_database_backend();
        let table = Table::create()
            .table(Alias::new(TABLE))
            .if_not_exists()
            .col(name_column(backend, "id", 40).not_null().primary_key())
            .col(ColumnDef::new(Alias::new("at")).big_integer().not_null())
            .col(name_column(backend, "realm", 50).not_null())
            .col(name_column(backend, "key", 200).not_null())
            .col(name_column(backend, "cause", 20).not_null())
            .col(name_column(backend, "outcome", 40).not_null())
            .col(text_column(backend, "provider_code").null())
            .col(text_column(backend, "provider_message").null())
            .col(
                ColumnDef::new(Alias::new("duration_ms"))
                    .big_integer()
                    .null(),
            )
            .col(name_column(backend, "instance", 100).not_null())
            .to_owned();
        manager.create_table(table).await?;
        for (name, columns) in [
            ("ts_fetch_at", &["at"][..]),
            ("ts_fetch_secret", &["realm", "key", "at"]),
            ("ts_fetch_realm", &["realm", "at"]),
        ] {
            if manager.has_index(TABLE, name).await? {
                continue;
            }
            let mut index = Index::create()
                .name(name)
                .table(Alias::new(TABLE))
                .to_owned();
            for column in columns {
                index.col(Alias::new(*column));
            }
            manager.create_index(index).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .drop_table(
                Table::drop()
                    .table(Alias::new(TABLE))
                    .if_exists()
                    .to_owned(),
            )
            .await
    }
}
