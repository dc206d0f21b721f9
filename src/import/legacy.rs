//! The inherited tables `realm` and `secret`, read from MySQL or MariaDB.
//!
//! Nothing is judged here: what is in the rows is handed on as it is. Installations differ a little
//! in their columns, so those are looked up first; all values are read as text or whole numbers,
//! whatever the columns' types.

mod columns;
mod url;

use std::time::Duration;

use sea_orm::{
    AccessMode, ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbBackend, DbErr,
    IsolationLevel, QueryResult, RuntimeErr, Statement, TransactionTrait as _, sqlx,
};

use super::ImportError;
use crate::clock::Timestamp;
use crate::secret::{Credentials, SecretId};
use crate::token::TokenText;
use columns::{Columns, Tables};

pub use url::LegacyUrl;

/// A row of `realm`.
#[derive(Clone, Debug, Default)]
pub(super) struct LegacyRealm {
    pub(super) id: String,
    /// JSON text, unchecked.
    pub(super) config: Option<String>,
    pub(super) logic_code: Option<String>,
    pub(super) comment: Option<String>,
    pub(super) stamps: LegacyStamps,
}

/// A row of `secret`.
#[derive(Clone, Debug)]
pub(super) struct LegacySecret {
    pub(super) id: SecretId,
    /// Those of `key_1`… that are not empty.
    pub(super) credentials: Credentials,
    pub(super) token: Option<TokenText>,
    pub(super) expires_at: Option<Timestamp>,
    pub(super) stamps: LegacyStamps,
}

/// When a row was made and last written there; `None`: not known.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LegacyStamps {
    pub(super) created_at: Option<Timestamp>,
    pub(super) updated_at: Option<Timestamp>,
}

/// Both tables, as of one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Legacy {
    pub(super) realms: Vec<LegacyRealm>,
    pub(super) secrets: Vec<LegacySecret>,
}

/// How long to try to connect.
const CONNECT: Duration = Duration::from_secs(5);
/// How long reading may take.
const READ: Duration = Duration::from_mins(2);

impl Legacy {
    /// Reads both tables in one transaction.
    pub(super) async fn read(url: &LegacyUrl) -> Result<Self, ImportError> {
        let unreadable = |reason: String| ImportError::Unreadable {
            url: url.to_string(),
            reason,
        };
        let db = connect(url)
            .await
            .map_err(|error| unreadable(told(&error)))?;
        let outcome = tokio::time::timeout(READ, read_tables(&db)).await;
        // The pool only fails to close when it is closed already.
        let _ = db.close().await;
        match outcome {
            Ok(Ok(Ok(legacy))) => Ok(legacy),
            Ok(Ok(Err(missing))) => Err(ImportError::Missing {
                url: url.to_string(),
                missing,
            }),
            Ok(Err(error)) => Err(unreadable(error.to_string())),
            Err(_) => Err(unreadable(format!("it was not read within {READ:?}"))),
        }
    }
}

async fn connect(url: &LegacyUrl) -> Result<DatabaseConnection, DbErr> {
    let mut options = ConnectOptions::new(url.expose());
    options
        .max_connections(1)
        .connect_timeout(CONNECT)
        .acquire_timeout(CONNECT)
        .sqlx_logging(false)
        // A DATETIME is in the server's zone, as the inherited service wrote it; the driver would
        // set UTC.
        .map_sqlx_mysql_opts(|options| options.timezone(None::<String>));
    Database::connect(options).await
}

/// The driver tries again while nothing listens there, and then speaks of its pool only.
fn told(error: &DbErr) -> String {
    if let DbErr::Conn(RuntimeErr::SqlxError(inner)) = error
        && matches!(**inner, sqlx::Error::PoolTimedOut)
    {
        return format!("no connection within {CONNECT:?}");
    }
    error.to_string()
}

/// Both tables; inside, what is missing.
async fn read_tables(db: &DatabaseConnection) -> Result<Result<Legacy, String>, DbErr> {
    let moment = (
        Some(IsolationLevel::RepeatableRead),
        Some(AccessMode::ReadOnly),
    );
    let transaction = db.begin_with_config(moment.0, moment.1).await?;
    let tables = Tables::from_rows(&select(&transaction, columns::SELECT).await?)?;
    let missing = tables.missing();
    if !missing.is_empty() {
        return Ok(Err(missing));
    }
    let realms = select(&transaction, &tables.select_realms()).await?;
    let secrets = select(&transaction, &tables.select_secrets()).await?;
    transaction.commit().await?;
    Ok(Ok(Legacy {
        realms: realms.iter().map(realm).collect::<Result<_, _>>()?,
        secrets: secrets
            .iter()
            .map(|row| secret(row, &tables.secret))
            .collect::<Result<_, _>>()?,
    }))
}

async fn select(db: &impl ConnectionTrait, sql: &str) -> Result<Vec<QueryResult>, DbErr> {
    db.query_all_raw(Statement::from_string(DbBackend::MySql, sql))
        .await
}

fn realm(row: &QueryResult) -> Result<LegacyRealm, DbErr> {
    Ok(LegacyRealm {
        id: text(row, "id")?.unwrap_or_default(),
        config: text(row, "config")?,
        logic_code: text(row, "logic_code")?,
        comment: text(row, "comment")?,
        stamps: stamps(row)?,
    })
}

fn secret(row: &QueryResult, columns: &Columns) -> Result<LegacySecret, DbErr> {
    let mut credentials = Credentials::default();
    for name in columns.credentials() {
        if let Some(value) = text(row, name)? {
            credentials.set(name, value);
        }
    }
    let id = SecretId::new(
        text(row, "realm")?.unwrap_or_default(),
        text(row, "key")?.unwrap_or_default(),
    );
    Ok(LegacySecret {
        id,
        credentials,
        token: text(row, "token")?.map(TokenText::from),
        expires_at: instant(row, "expires_at")?,
        stamps: stamps(row)?,
    })
}

fn stamps(row: &QueryResult) -> Result<LegacyStamps, DbErr> {
    Ok(LegacyStamps {
        created_at: instant(row, "created_at")?,
        updated_at: instant(row, "updated_at")?,
    })
}

/// An empty text counts as absent, as it did there.
fn text(row: &QueryResult, column: &str) -> Result<Option<String>, DbErr> {
    Ok(row
        .try_get::<Option<String>>("", column)?
        .filter(|text| !text.is_empty()))
}

/// Zero counts as absent: MySQL has it for times that are none, and for a number that was none.
fn instant(row: &QueryResult, column: &str) -> Result<Option<Timestamp>, DbErr> {
    let ms = row.try_get::<Option<i64>>("", column)?.filter(|ms| *ms > 0);
    Ok(ms.map(Timestamp::from_epoch_ms))
}
