//! The versioned schema. A migration is never edited once released; the next change is a new file.

mod m0001_realm_secret_token;
mod m0002_fetch;

use sea_orm::DynIden;
use sea_orm::sea_query::{Alias, IntoIden};
use sea_orm_migration::{MigrationTrait, MigratorTrait};

/// All migrations, oldest first.
#[derive(Debug)]
pub(super) struct Migrations;

impl MigratorTrait for Migrations {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m0001_realm_secret_token::Migration),
            Box::new(m0002_fetch::Migration),
        ]
    }

    fn migration_table_name() -> DynIden {
        Alias::new("ts_migration").into_iden()
    }
}
