//! What can go wrong with an import as a whole; what is wrong with a row stands in the report.

use crate::store::StoreError;

/// A failed import; nothing was written. Texts never hold a password or a value of a row.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum ImportError {
    /// `--from` is no URL of a MySQL or MariaDB database.
    #[error(
        "--from {0}; expected mysql://USER:PASSWORD@HOST:PORT/DATABASE (characters like @ and / of a password are \
         percent-encoded)"
    )]
    BadUrl(String),
    /// The inherited database cannot be reached or read.
    #[error("the inherited database {url} cannot be read: {reason}")]
    Unreadable {
        /// Where, without its password.
        url: String,
        /// The driver's words.
        reason: String,
    },
    /// The database is there, the tables are not.
    #[error(
        "the database {url} is not the inherited service's: it has no {missing}; looked for the tables realm(id, …) \
         and secret(key, realm, …)"
    )]
    Missing {
        /// Where, without its password.
        url: String,
        /// The tables and columns.
        missing: String,
    },
    /// Our own database.
    #[error(transparent)]
    Store(#[from] StoreError),
}
