//! The versioned schema. A migration is never edited once released; the next change is a new file.

mod m0001_initial;
mod m0002_api_keys;
mod m0003_callers;

use sea_orm::sea_query::{Alias, IntoIden};
use sea_orm::{DbErr, DynIden};
use sea_orm_migration::{MigrationTrait, MigratorTrait, SchemaManager};

/// All migrations, oldest first.
#[derive(Debug)]
pub(super) struct Migrations;

impl MigratorTrait for Migrations {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m0001_initial::Migration),
            Box::new(m0002_api_keys::Migration),
            Box::new(m0003_callers::Migration),
        ]
    }

    fn migration_table_name() -> DynIden {
        Alias::new("ts_migration").into_iden()
    }
}

/// Names of migrations that only versions before the first release had.
const DEVELOPMENT_MIGRATIONS: [&str; 2] = ["m0001_realm_secret_token", "m0002_fetch"];
/// Tables that only versions before the first release had.
const DEVELOPMENT_TABLES: [&str; 1] = ["ts_fetch"];
/// Columns that each table got before the first release; a table without them is older.
const RELEASED_COLUMNS: [(&str, &str); 3] = [
    ("ts_token", "grant_content"),
    ("ts_token", "failure_code"),
    ("ts_secret", "names"),
];

/// What shows that a version before the first release made this database; `None`: none did.
pub(super) async fn find_development_schema(
    manager: &SchemaManager<'_>,
    applied: &[String],
) -> Result<Option<String>, DbErr> {
    let is_old = |name: &&String| DEVELOPMENT_MIGRATIONS.contains(&name.as_str());
    if let Some(name) = applied.iter().find(is_old) {
        return Ok(Some(format!("migration {name}")));
    }
    for table in DEVELOPMENT_TABLES {
        if manager.has_table(table).await? {
            return Ok(Some(format!("table {table}")));
        }
    }
    for (table, column) in RELEASED_COLUMNS {
        if manager.has_table(table).await? && !manager.has_column(table, column).await? {
            return Ok(Some(format!("table {table} without column {column}")));
        }
    }
    Ok(None)
}
