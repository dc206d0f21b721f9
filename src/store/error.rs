//! What can go wrong with a store.

/// A failed call of the store. Texts never hold a value of a row, nor the database's URL.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum StoreError {
    /// The database cannot be reached, or did not answer in time.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// The database answers, and refuses to write; why.
    #[error("the database refuses to write: {0}")]
    RefusesWrites(String),
    /// Too many writers at once; nothing was written.
    #[error("the database reports a conflict with other writers: {0}")]
    Conflict(String),
    /// A row holds what this version cannot read.
    #[error("{table}.{column} of {key} cannot be read: {reason}")]
    Corrupt {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// The row's key.
        key: String,
        /// What was expected.
        reason: String,
    },
    /// The database was written by a newer version of this program.
    #[error(
        "the database's schema is newer than this program (unknown migration {0}): run the newer version, or restore \
         a backup"
    )]
    NewerSchema(String),
    /// The database was written by a version before the first release.
    #[error(
        "the database was made by a development version before the first release ({0}): start with an empty database, \
         or drop all tables whose names begin with ts_, and import again"
    )]
    DevelopmentSchema(String),
    /// The database's URL is not usable.
    #[error("{0}")]
    BadUrl(String),
}

/// What every call of a store answers.
pub type StoreResult<T> = Result<T, StoreError>;
