//! The URL of the inherited database.

use std::fmt;

use super::super::ImportError;
use crate::store::DatabaseUrl;

/// `mysql://…`; Debug and Display leave the password out.
#[derive(Clone, Debug)]
pub struct LegacyUrl(DatabaseUrl);

impl LegacyUrl {
    /// Checks that the URL names a MySQL or MariaDB database.
    ///
    /// # Errors
    /// `BadUrl`; its text does not repeat the URL.
    pub fn read(text: &str) -> Result<Self, ImportError> {
        let bad = |why: &str| Err(ImportError::BadUrl(why.to_owned()));
        match DatabaseUrl::read(text) {
            Ok(url) if url.is_mysql() => Ok(Self(url)),
            Ok(_) => bad("is not a MySQL or MariaDB database"),
            Err(_) => bad("is not a usable URL"),
        }
    }

    /// The URL with its password, for the driver.
    pub(super) fn expose(&self) -> &str {
        self.0.expose()
    }
}

impl fmt::Display for LegacyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_mysql_urls_are_taken_and_no_error_repeats_the_password() {
        for (text, is_good) in [
            ("mysql://u:hush@db:3306/seed", true),
            ("mariadb://u:hush@db/seed", true),
            ("postgres://u:hush@db/seed", false),
            ("sqlite:hush.db", false),
            ("mysql://u:hush@db", false),
            ("u:hush@db/seed", false),
        ] {
            let read = LegacyUrl::read(text);
            assert_eq!(read.is_ok(), is_good, "{text}");
            let told = read.map_or_else(|error| error.to_string(), |url| format!("{url} {url:?}"));
            assert!(!told.contains("hush"), "{told}");
        }
    }
}
