//! The store suite: every case on the store in memory, on SQLite, on MariaDB and on PostgreSQL.
//!
//! The races also run on a Galera cluster, `TEST_GALERA_URLS`. `TEST_MYSQL_URL` and
//! `TEST_POSTGRES_URL` name servers (no database) that `tests/run` starts; each case makes a
//! database of its own there and drops it. Without them those cases are skipped, which is said
//! once; with `CI=true` that is a failure.

// Each case is wrapped for each database.
#![recursion_limit = "256"]
#![expect(clippy::unwrap_used, reason = "a test; the line tells which")]

use crate::databases::{on_every_database, on_every_server, on_every_store, on_galera};

mod api_keys;
mod calls;
mod changes;
mod content;
mod databases;
mod format;
mod grants;
mod keywords;
mod leases;
mod logins;
mod migrations;
mod names;
mod outages;
mod races;
mod realms;
mod rows;
mod secrets;
mod sqlite_file;

/// Scopes as they are written.
fn scopes(texts: &[&str]) -> token_server::api_key::Scopes {
    let read = texts.iter().map(|text| text.parse().unwrap());
    token_server::api_key::Scopes::Only(read.collect())
}
