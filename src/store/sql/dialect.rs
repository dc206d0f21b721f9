//! The only file that knows which database it speaks to.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "the library's enum may grow; these are the three we have drivers for"
)]

use sea_orm::sea_query::{Alias, BinOper, ColumnDef, ColumnType, Expr, ExprTrait as _, IntoIden};
use sea_orm::sqlx::error::DatabaseError;
use sea_orm::sqlx::mysql::MySqlDatabaseError;
use sea_orm::{ColumnTrait, Condition, DatabaseConnection, DbBackend, DbErr, RuntimeErr, sqlx};

use crate::api_key::Scopes;

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

/// Rows that scopes reach: by the column of the realm, and that of the key if there is one.
pub(super) fn reached<C: ColumnTrait>(
    db: &DatabaseConnection,
    scopes: &Scopes,
    (realm, key): (C, Option<C>),
) -> Condition {
    let Some(patterns) = scopes.patterns() else {
        return Condition::all();
    };
    let backend = db.get_database_backend();
    // None of no scopes: an empty `any` would be left out.
    let nothing = Condition::any().add(Expr::value(false));
    patterns
        .into_iter()
        .fold(nothing, |any, (of_realm, of_key)| {
            let both = Condition::all()
                .add(matches_pattern(backend, realm, of_realm))
                .add_option(key.map(|key| matches_pattern(backend, key, of_key)));
            any.add(both)
        })
}

/// Whether a column matches a pattern of a scope, byte by byte; `*` is any run of characters. LIKE
/// of SQLite does not mind the case, its GLOB does.
fn matches_pattern<C: ColumnTrait>(backend: DbBackend, column: C, pattern: &str) -> Expr {
    let (operator, escaped) = match backend {
        DbBackend::Sqlite => {
            let escaped = pattern.replace('[', "[[]").replace('?', "[?]");
            return Expr::col((column.entity_name(), column))
                .binary(BinOper::Custom("GLOB"), escaped);
        }
        _ => (
            BinOper::Like,
            pattern
                .replace('!', "!!")
                .replace('%', "!%")
                .replace('_', "!_")
                .replace('*', "%"),
        ),
    };
    let escape = Expr::val(escaped).binary(BinOper::Escape, Expr::Constant('!'.into()));
    Expr::col((column.entity_name(), column)).binary(operator, escape)
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

/// What an operator should do about a connection that fails in the same way however often it is
/// tried; `None`: it may succeed later, e.g. since the server is starting, has no connection free,
/// or has no such database yet.
pub(super) fn remedy(error: &DbErr) -> Option<&'static str> {
    let DbErr::Conn(RuntimeErr::SqlxError(inner)) = error else {
        return None;
    };
    match inner.as_ref() {
        sqlx::Error::Database(refusal) => is_login_refused(refusal.as_ref()).then_some(
            "correct the user and the password, or what the server demands of this user",
        ),
        sqlx::Error::Tls(_) => Some(CORRECT_TLS),
        sqlx::Error::Io(failed) => is_certificate_refused(failed).then_some(CORRECT_TLS),
        sqlx::Error::Configuration(_) => Some("correct the parameters"),
        // The driver has no kind of its own for what it cannot do.
        sqlx::Error::Protocol(text) => UNKNOWN_LOGINS
            .iter()
            .any(|start| text.starts_with(start))
            .then_some("give this user a way to log in that is supported, e.g. by password"),
        _ => None,
    }
}

const CORRECT_TLS: &str =
    "correct the TLS mode, the CA file or the host name that the server's certificate is for";

/// How the driver begins when the server wants a login that it does not know.
const UNKNOWN_LOGINS: [&str; 4] = [
    "mysql_cleartext_plugin disabled",
    "unknown authentication plugin",
    "unsupported authentication method",
    "unsupported SASL authentication",
];

/// 28xxx: unknown user or wrong password (MySQL 1045 and 1698 are 28000). Numbers of MySQL with
/// another state: this host may not connect (1130), this way to log in is unknown (1251, 1524).
fn is_login_refused(refusal: &dyn sqlx::error::DatabaseError) -> bool {
    let number = refusal
        .try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>()
        .map(sqlx::mysql::MySqlDatabaseError::number);
    matches!(refusal.code().as_deref(), Some("28000" | "28P01"))
        || matches!(number, Some(1130 | 1251 | 1524))
}

fn is_certificate_refused(failed: &std::io::Error) -> bool {
    let cause = failed
        .get_ref()
        .and_then(|cause| cause.downcast_ref::<rustls::Error>());
    matches!(cause, Some(rustls::Error::InvalidCertificate(_)))
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

#[cfg(test)]
mod tests {
    use sea_orm::{ConnectOptions, ConnectionTrait as _, Database};

    use super::*;

    #[tokio::test]
    async fn an_sqlite_that_refuses_to_write_says_why() {
        for (refuse, reason) in [
            ("PRAGMA max_page_count = 4", DISK_FULL),
            ("PRAGMA query_only = 1", READ_ONLY),
        ] {
            let mut options = ConnectOptions::new("sqlite::memory:");
            options.min_connections(1).max_connections(1);
            let db = Database::connect(options).await.unwrap();
            db.execute_unprepared("CREATE TABLE t (text TEXT)")
                .await
                .unwrap();
            db.execute_unprepared(refuse).await.unwrap();
            let write = format!("INSERT INTO t VALUES ('{}')", "x".repeat(100_000));
            let error = db.execute_unprepared(&write).await.unwrap_err();
            assert_eq!(refused_write(&error), Some(reason), "{error}");
            let wrong = db.execute_unprepared("INSERT INTO none VALUES (1)").await;
            assert_eq!(refused_write(&wrong.unwrap_err()), None);
        }
    }
}
