//! The only file that knows which database it speaks to.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "the library's enum may grow; these are the three we have drivers for"
)]

use sea_orm::sea_query::{Alias, ColumnDef, ColumnType, IntoIden};
use sea_orm::sqlx::error::DatabaseError;
use sea_orm::sqlx::mysql::MySqlDatabaseError;
use sea_orm::{DbBackend, DbErr, RuntimeErr};

/// A text that names something: compared byte for byte. MySQL's default collation takes `WeChat`
/// for `wechat`.
pub(super) fn name_column(backend: DbBackend, name: &'static str, length: u32) -> ColumnDef {
    let sql = match backend {
        DbBackend::MySql => format!("VARCHAR({length}) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"),
        DbBackend::Postgres => format!("VARCHAR({length}) COLLATE \"C\""),
        _ => format!("VARCHAR({length})"),
    };
    custom(name, sql)
}

/// A text of any length. MySQL's TEXT holds 64 KiB only.
pub(super) fn text_column(backend: DbBackend, name: &'static str) -> ColumnDef {
    let sql = match backend {
        DbBackend::MySql => "LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
        _ => "TEXT",
    };
    custom(name, sql.to_owned())
}

/// Bytes of any length. MySQL's BLOB holds 64 KiB only.
pub(super) fn blob_column(backend: DbBackend, name: &'static str) -> ColumnDef {
    let sql = match backend {
        DbBackend::MySql => "LONGBLOB",
        DbBackend::Postgres => "BYTEA",
        _ => "BLOB",
    };
    custom(name, sql.to_owned())
}

fn custom(name: &'static str, sql: String) -> ColumnDef {
    ColumnDef::new_with_type(
        Alias::new(name),
        ColumnType::Custom(Alias::new(sql).into_iden()),
    )
}

/// On a Galera cluster a node lags behind what was written at the others; with this its reads (1),
/// updates and deletes (2) wait for it.
///
/// Without 1 an edit at one instance is not seen by a renewal of another, and two that ask together
/// do not see each other's calls in the log that quotas are counted in. Without 2 an update finds
/// no row that was just added elsewhere, changes nothing, and meets no conflict either: a token
/// outlives its retirement.
pub(super) const SEE_WHAT_OTHER_NODES_WROTE: &str = "SET SESSION wsrep_sync_wait = 3";

/// A statement whose one column `now_ms` is the database's clock. SQLite's is the machine's.
pub(super) fn now_sql(backend: DbBackend) -> &'static str {
    match backend {
        DbBackend::MySql => "SELECT CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED) AS now_ms",
        DbBackend::Postgres => {
            "SELECT CAST(FLOOR(EXTRACT(EPOCH FROM clock_timestamp()) * 1000) AS BIGINT) AS now_ms"
        }
        _ => "SELECT CAST(ROUND((julianday('now') - 2440587.5) * 86400000) AS INTEGER) AS now_ms",
    }
}

/// Whether the same statement may succeed when tried again at once: another writer was in the way.
pub(super) fn is_conflict(error: &DbErr) -> bool {
    let code = database_error(error).and_then(|error| error.code().map(|code| code.to_string()));
    let Some(code) = code else {
        return false;
    };
    // 40001/40P01: serialization failure, deadlock (all; MySQL 1213 and Galera's certification are
    // 40001); HY000 covers MySQL's lock wait timeout (1205) among others and is not retried; 5, 6,
    // 261, 517: SQLite busy.
    matches!(code.as_str(), "40001" | "40P01" | "5" | "6" | "261" | "517")
}

/// Why a write was refused, where the database answers and cannot or may not write.
pub(super) fn refused_write(error: &DbErr) -> Option<&'static str> {
    let error = database_error(error)?;
    let number = error
        .try_downcast_ref::<MySqlDatabaseError>()
        .map(MySqlDatabaseError::number);
    match number {
        // --read-only, a read-only server or transaction, a session that is read-only.
        Some(1290 | 1792 | 1836 | 3100) => return Some(READ_ONLY),
        Some(1021 | 1114) => return Some(DISK_FULL),
        Some(_) | None => {}
    }
    let code = error.code()?;
    match code.as_ref() {
        // PostgreSQL; SQLite with its further codes: 8 and n · 256 + 8.
        "25006" | "8" | "264" | "520" | "776" | "1032" | "1288" | "1544" => Some(READ_ONLY),
        "53100" | "13" => Some(DISK_FULL),
        _ => None,
    }
}

const READ_ONLY: &str = "it is read-only; after a failover this may be the former primary";
const DISK_FULL: &str = "its disk is full";

fn database_error(error: &DbErr) -> Option<&dyn DatabaseError> {
    // A SQLite file can be locked while it is opened, too.
    match error {
        DbErr::Exec(RuntimeErr::SqlxError(inner))
        | DbErr::Query(RuntimeErr::SqlxError(inner))
        | DbErr::Conn(RuntimeErr::SqlxError(inner)) => inner.as_database_error(),
        _ => None,
    }
}
