//! Realms, secrets, tokens and calls.
//!
//! Tables carry the prefix `ts_`, because the inherited service's tables `realm` and `secret` may
//! be in the same database. MySQL has no transactional DDL, so each statement can run again after a
//! crash.

use sea_orm::sea_query::{
    Alias, ColumnDef, Index, IndexCreateStatement, Table, TableCreateStatement,
};
use sea_orm::{ConnectionTrait as _, DbErr};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager, async_trait};

use super::super::dialect::{blob_column, name_column, text_column};

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m0001_initial"
    }
}

/// Table, name and columns.
const INDEXES: [(&str, &str, &[&str]); 10] = [
    ("ts_realm", "ts_realm_changed_at", &["changed_at"]),
    ("ts_realm", "ts_realm_updated_at", &["updated_at"]),
    ("ts_secret", "ts_secret_changed_at", &["changed_at"]),
    ("ts_secret", "ts_secret_updated_at", &["updated_at"]),
    ("ts_secret", "ts_secret_next_due_at", &["next_due_at"]),
    ("ts_token", "ts_token_changed_at", &["changed_at"]),
    ("ts_token", "ts_token_due_at", &["due_at"]),
    ("ts_call", "ts_call_at", &["at"]),
    ("ts_call", "ts_call_secret", &["realm", "key", "at"]),
    ("ts_call", "ts_call_realm", &["realm", "at"]),
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for mut table in [
            realm_table(manager),
            secret_table(manager),
            token_table(manager),
            call_table(manager),
        ] {
            manager
                .create_table(table.if_not_exists().to_owned())
                .await?;
        }
        for (table, name, columns) in INDEXES {
            if !manager.has_index(table, name).await? {
                manager.create_index(index(table, name, columns)).await?;
            }
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in ["ts_call", "ts_token", "ts_secret", "ts_realm"] {
            manager
                .drop_table(
                    Table::drop()
                        .table(Alias::new(table))
                        .if_exists()
                        .to_owned(),
                )
                .await?;
        }
        Ok(())
    }
}

fn realm_table(manager: &SchemaManager<'_>) -> TableCreateStatement {
    let backend = manager.get_connection().get_database_backend();
    let mut table = Table::create();
    table
        .table(Alias::new("ts_realm"))
        .col(name_column(backend, "id", 50).not_null().primary_key())
        .col(text_column(backend, "config").null())
        .col(text_column(backend, "logic_code").null())
        .col(text_column(backend, "comment").null());
    versions_and_times(&mut table);
    table
}

fn secret_table(manager: &SchemaManager<'_>) -> TableCreateStatement {
    let backend = manager.get_connection().get_database_backend();
    let mut table = Table::create();
    table
        .table(Alias::new("ts_secret"))
        .col(name_column(backend, "realm", 50).not_null())
        .col(name_column(backend, "key", 200).not_null())
        .primary_key(
            Index::create()
                .col(Alias::new("realm"))
                .col(Alias::new("key")),
        )
        // Null in a tombstone.
        .col(blob_column(backend, "content").null())
        // A next credential set that is tried before it replaces the first.
        .col(blob_column(backend, "next_content").null())
        .col(number("next_due_at").null())
        .col(name_column(backend, "next_failure_code", 40).null())
        .col(number("next_failed_at").null())
        // Inputs that another process pushes; they have a version of their own, since they retire
        // no token.
        .col(blob_column(backend, "pushed").null())
        .col(number("pushed_version").not_null().default(0))
        // What lists show, so that they open nothing sealed.
        .col(text_column(backend, "names").null())
        .col(text_column(backend, "pushed_names").null());
    versions_and_times(&mut table);
    table
}

fn token_table(manager: &SchemaManager<'_>) -> TableCreateStatement {
    let backend = manager.get_connection().get_database_backend();
    let mut table = Table::create();
    table
        .table(Alias::new("ts_token"))
        .col(name_column(backend, "realm", 50).not_null())
        .col(name_column(backend, "key", 200).not_null())
        .primary_key(
            Index::create()
                .col(Alias::new("realm"))
                .col(Alias::new("key")),
        )
        .col(number("version").not_null().default(0))
        .col(blob_column(backend, "token").null())
        // Further values that are handed out with the token.
        .col(blob_column(backend, "outputs").null())
        .col(number("obtained_at").null())
        .col(number("expires_at").null())
        .col(number("realm_version").not_null().default(0))
        .col(number("secret_version").not_null().default(0))
        .col(number("due_at").null())
        .col(blob_column(backend, "previous_token").null())
        .col(number("previous_valid_until").null());
    grant(&mut table, backend);
    lease_and_failure(&mut table, backend);
    table
}

/// Credentials that the provider replaces with each use, fenced by a generation of their own.
fn grant(table: &mut TableCreateStatement, backend: sea_orm::DbBackend) {
    table
        .col(blob_column(backend, "grant_content").null())
        .col(number("grant_generation").not_null().default(0))
        .col(number("grant_expires_at").null())
        .col(text_column(backend, "grant_intent").null());
}

fn lease_and_failure(table: &mut TableCreateStatement, backend: sea_orm::DbBackend) {
    table
        .col(name_column(backend, "lease_owner", 100).null())
        .col(number("lease_epoch").not_null().default(0))
        .col(number("lease_until").not_null().default(0))
        .col(number("next_attempt_at").null())
        .col(name_column(backend, "failure_code", 40).null())
        .col(number("failed_at").null())
        .col(blob_column(backend, "failure").null())
        .col(number("failed_attempts").not_null().default(0))
        // How often the provider has given the same token again.
        .col(number("repeat_count").not_null().default(0))
        // Tokens that died early although nobody here replaced them.
        .col(number("foreign_refreshes").not_null().default(0))
        .col(number("foreign_refresh_at").null())
        .col(number("last_asked_at").null())
        .col(number("changed_at").not_null());
}

fn call_table(manager: &SchemaManager<'_>) -> TableCreateStatement {
    let backend = manager.get_connection().get_database_backend();
    let mut table = Table::create();
    table
        .table(Alias::new("ts_call"))
        .col(name_column(backend, "id", 40).not_null().primary_key())
        .col(number("at").not_null())
        .col(name_column(backend, "realm", 50).not_null())
        .col(name_column(backend, "key", 200).not_null())
        .col(name_column(backend, "cause", 20).not_null())
        .col(name_column(backend, "outcome", 40).not_null())
        .col(text_column(backend, "provider_code").null())
        .col(blob_column(backend, "provider_message").null())
        .col(number("duration_ms").null())
        .col(name_column(backend, "instance", 100).not_null());
    table
}

fn versions_and_times(table: &mut TableCreateStatement) {
    for name in [
        "version",
        "revision",
        "created_at",
        "updated_at",
        "changed_at",
    ] {
        table.col(number(name).not_null());
    }
    table.col(number("deleted_at").null());
}

pub(super) fn number(name: &'static str) -> ColumnDef {
    let mut column = ColumnDef::new(Alias::new(name));
    column.big_integer();
    column
}

fn index(
    table: &'static str,
    name: &'static str,
    columns: &[&'static str],
) -> IndexCreateStatement {
    let mut index = Index::create()
        .name(name)
        .table(Alias::new(table))
        .to_owned();
    for column in columns {
        index.col(Alias::new(*column));
    }
    index
}
