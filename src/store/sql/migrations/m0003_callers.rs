//! Who forced a call of a provider.

use sea_orm::DbErr;
use sea_orm::sea_query::{Alias, Table};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager, async_trait};

use super::super::dialect::name_column;
use sea_orm::ConnectionTrait as _;

pub(super) struct Migration;

const TABLE: &str = "ts_call";
const COLUMN: &str = "caller";

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m0003_callers"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        if manager.has_column(TABLE, COLUMN).await? {
            return Ok(());
        }
        let backend = manager.get_connection().get_database_backend();
        let table = Table::alter()
            .table(Alias::new(TABLE))
            .add_column(name_column(backend, COLUMN, 20).null())
            .to_owned();
        manager.alter_table(table).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let table = Table::alter()
            .table(Alias::new(TABLE))
            .drop_column(Alias::new(COLUMN))
            .to_owned();
        manager.alter_table(table).await
    }
}
