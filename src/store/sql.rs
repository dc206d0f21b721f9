//! The store in a SQL database: one implementation for SQLite, MySQL/MariaDB and PostgreSQL.
//!
//! Databases differ in `dialect` only. Connections are made when first needed, so the service
//! starts, and says that it is not ready, while its database is away.

mod api_keys;
mod calls;
mod changes;
mod clock;
mod dialect;
mod entities;
mod grants;
mod greeting;
mod import;
mod leases;
mod migrate;
mod migrations;
mod realms;
mod secrets;
mod stored;
mod tokens;
mod url;
mod writes;

use std::future::Future;
use std::time::Duration;

use sea_orm::sqlx::pool::PoolOptions;
use sea_orm::sqlx::sqlite::{SqliteJournalMode, SqliteSynchronous};
use sea_orm::sqlx::{self, Connection};
use sea_orm::{
    ActiveModelTrait, ConnectOptions, Database, DatabaseConnection, DbErr, Insert, SqlErr,
};

use super::sealing::Sealer;
use super::{StoreError, StoreResult};
pub use import::{Import, ImportedToken, Present, Replacing};
pub use migrate::{Migrated, MigrationState};
pub use url::DatabaseUrl;
use writes::Writes;

/// A pool of connections to one database.
#[derive(Clone, Debug)]
pub struct SqlStore {
    db: DatabaseConnection,
    sealer: Sealer,
    patience: Duration,
    writes: Writes,
    url: DatabaseUrl,
}

/// How often a statement that met another writer is tried again.
const TRIES: u32 = 6;

impl SqlStore {
    /// A store on a database. A server is not asked yet; a SQLite file is opened, since the library
    /// wants its version.
    ///
    /// `patience` bounds each statement, the wait for a connection included.
    ///
    /// # Errors
    /// `BadUrl` for a URL that the driver refuses and a file that cannot be used;
    /// `Unavailable` or `Conflict` for one that somebody else has locked.
    pub async fn open(
        url: &DatabaseUrl,
        max_connections: u32,
        patience: Duration,
    ) -> StoreResult<Self> {
        let writes = Writes::default();
        choose_cryptography();
        let mut options = ConnectOptions::new(url.expose());
        options
            .max_connections(if url.is_private_memory() {
                1
            } else {
                max_connections
            })
            .min_connections(u32::from(url.is_private_memory()))
            .connect_timeout(patience)
            .acquire_timeout(patience)
            .sqlx_logging(false)
            .connect_lazy(true)
            .map_sqlx_postgres_pool_opts({
                let writes = writes.clone();
                move |pool| with_checks(pool, &writes, patience)
            })
            .map_sqlx_mysql_pool_opts({
                let writes = writes.clone();
                move |pool| in_a_cluster(with_checks(pool, &writes, patience))
            })
            .map_sqlx_sqlite_opts(|options| {
                options
                    .create_if_missing(true)
                    .journal_mode(SqliteJournalMode::Wal)
                    .synchronous(SqliteSynchronous::Normal)
                    .busy_timeout(Duration::from_secs(5))
            });
        if url.is_private_memory() {
            options
                .idle_timeout(None::<Duration>)
                .max_lifetime(None::<Duration>);
        }
        url.demand_tls_files()?;
        url.create_private_file()
            .map_err(|error| StoreError::BadUrl(error.to_string()))?;
        let connect = || Database::connect(options.clone());
        let db = insist(connect)
            .await
            .map_err(|error| unusable(url, &error))?;
        Ok(Self {
            db,
            sealer: Sealer::plain(),
            patience,
            writes,
            url: url.clone(),
        })
    }

    /// Connects, and says why that fails.
    ///
    /// # Errors
    /// `Unavailable` with the reason when it may succeed later; `BadUrl` with what to do when it
    /// never can, e.g. for a wrong password.
    pub async fn reach(&self) -> StoreResult<()> {
        self.find_listener().await?;
        match tokio::time::timeout(self.patience, insist(|| self.db.ping())).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(match dialect::remedy(&error) {
                Some(remedy) => StoreError::BadUrl(format!(
                    "database.url: {} cannot be used: {error}; {remedy} (TOKEN_SERVER__DATABASE__URL, or the \
                     MYSQL_… variables)",
                    self.url
                )),
                None => fault(&error),
            }),
            Err(_) => Err(StoreError::Unavailable(format!(
                "no answer within {:?}",
                self.patience
            ))),
        }
    }

    /// Looks whether something listens where the database should be, and says at once why not.
    ///
    /// The pool waits its whole time for a refused connection, and then tells only that it waited.
    async fn find_listener(&self) -> StoreResult<()> {
        let Some((host, port)) = &self.url.address() else {
            return Ok(());
        };
        let unavailable = |why: String| StoreError::Unavailable(format!("{host}:{port}: {why}"));
        let connect = tokio::net::TcpStream::connect((host.as_str(), *port));
        match tokio::time::timeout(self.patience, connect).await {
            Ok(Ok(stream)) => self.demand_safe_login(stream).await,
            Ok(Err(error)) => Err(unavailable(error.to_string())),
            Err(_) => Err(unavailable(format!(
                "no connection within {:?}",
                self.patience
            ))),
        }
    }

    /// Refuses a server that would be sent the password encrypted with whatever key the connection
    /// brings, unless the URL says that there is no TLS.
    async fn demand_safe_login(&self, stream: tokio::net::TcpStream) -> StoreResult<()> {
        if !self.url.may_fall_back_to_plain() {
            return Ok(());
        }
        let greeting = greeting::wants_password_in_the_open(stream);
        // A server that says nothing in time is left to the driver.
        let is_open = tokio::time::timeout(self.patience, greeting).await;
        if !is_open.unwrap_or(false) {
            return Ok(());
        }
        Err(StoreError::BadUrl(format!(
            "database.url: {} offers no TLS, and its default login would send the password encrypted with a key that \
             is not verified; turn on TLS at the server, or write ssl-mode=disabled in the URL if nobody can be in \
             between",
            self.url
        )))
    }

    /// Closes all connections.
    pub async fn close(&self) {
        // The pool only fails to close when it is closed already.
        let _ = self.db.clone().close().await;
    }

    /// Adds a row; `false` if its key is taken.
    async fn insert<A>(&self, row: A) -> StoreResult<bool>
    where
        A: ActiveModelTrait + Clone + Send + std::marker::Sync,
    {
        let insert = || async {
            match Insert::one(row.clone())
                .exec_without_returning(&self.db)
                .await
            {
                Ok(_) => Ok(true),
                Err(error) => match error.sql_err() {
                    Some(SqlErr::UniqueConstraintViolation(_)) => Ok(false),
                    Some(_) | None => Err(error),
                },
            }
        };
        self.run(insert).await
    }

    /// Runs a statement: bounded in time, tried again when another writer was in the way.
    async fn run<T, F, R>(&self, statement: F) -> StoreResult<T>
    where
        F: Fn() -> R + Send,
        R: Future<Output = Result<T, DbErr>> + Send,
    {
        match tokio::time::timeout(self.patience, insist(statement)).await {
            Ok(outcome) => outcome.map_err(|error| {
                if let Some(reason) = dialect::refused_write(&error) {
                    self.writes.note_refusal(reason);
                }
                fault(&error)
            }),
            Err(_) => Err(StoreError::Unavailable(format!(
                "no answer within {:?}",
                self.patience
            ))),
        }
    }
}

/// On a Galera cluster each connection sees what other nodes wrote.
fn in_a_cluster(pool: PoolOptions<sqlx::MySql>) -> PoolOptions<sqlx::MySql> {
    pool.after_connect(|connection, _| {
        Box::pin(async move {
            use sea_orm::sqlx::Executor as _;
            // Whatever is not a Galera cluster may not know the variable.
            let _ = connection
                .execute(dialect::SEE_WHAT_OTHER_NODES_WROTE)
                .await;
            Ok(())
        })
    })
}

/// Connections that were made before writes were refused, or do not answer, are not used again.
fn with_checks<D>(pool: PoolOptions<D>, writes: &Writes, patience: Duration) -> PoolOptions<D>
where
    D: sqlx::Database,
{
    let (released, acquired) = (writes.clone(), writes.clone());
    pool.after_release(move |connection, state| {
        let has_outlived = released.has_outlived(state.age);
        Box::pin(async move { Ok(!has_outlived && demand_answer(connection, patience).await?) })
    })
    .before_acquire(move |_, state| {
        let has_outlived = acquired.has_outlived(state.age);
        Box::pin(async move { Ok(!has_outlived) })
    })
}

/// Chooses the cryptography of this process: the program links two implementations, so a TLS library
/// that is not given one cannot choose by itself, and panics.
fn choose_cryptography() {
    // Fails where one was chosen already; that one does too.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

/// Whether a connection may be used again. After a statement that was given up the pool would wait
/// for its answer without end and count the connection as used: a few answers lost on the way, and
/// no statement would ever get one.
async fn demand_answer<C: Connection>(
    connection: &mut C,
    patience: Duration,
) -> Result<bool, sqlx::Error> {
    match tokio::time::timeout(patience, connection.ping()).await {
        Ok(answered) => answered.map(|()| true),
        Err(late) => Err(sqlx::Error::Io(late.into())),
    }
}

/// Does it again while another writer is in the way. Of several who open a new SQLite file at once,
/// one may fail.
async fn insist<T, F, R>(act: F) -> Result<T, DbErr>
where
    F: Fn() -> R + Send,
    R: Future<Output = Result<T, DbErr>> + Send,
{
    let mut attempt = 1;
    loop {
        match act().await {
            Err(error) if dialect::is_conflict(&error) && attempt < TRIES => {
                tokio::time::sleep(Duration::from_millis(u64::from(5 * attempt * attempt))).await;
                attempt += 1;
            }
            outcome => return outcome,
        }
    }
}

/// Whether nothing can have these names. Asked for one, a store must not look as if it were away,
/// and PostgreSQL refuses a NUL in any text; nor may it take another row for it, and to MySQL a
/// name is the same with blanks after it.
fn is_nowhere(realm: Option<&str>, key: Option<&str>) -> bool {
    [realm, key]
        .into_iter()
        .flatten()
        .any(|name| name.contains('\0') || name.ends_with(' '))
}

/// Why a database was not opened: it is in use, or it will not do.
fn unusable(url: &DatabaseUrl, error: &DbErr) -> StoreError {
    if matches!(error, DbErr::ConnectionAcquire(_)) || dialect::is_conflict(error) {
        fault(error)
    } else {
        StoreError::BadUrl(format!("{url} cannot be used: {error}"))
    }
}

/// A driver's error as ours; its text is the driver's own and holds no values of rows.
fn fault(error: &DbErr) -> StoreError {
    if dialect::is_conflict(error) {
        StoreError::Conflict(error.to_string())
    } else if let Some(reason) = dialect::refused_write(error) {
        StoreError::RefusesWrites(reason.to_owned())
    } else {
        StoreError::Unavailable(error.to_string())
    }
}
