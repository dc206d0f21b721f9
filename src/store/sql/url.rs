//! The database's URL, checked and never printed with its password.

use std::fmt;
use std::path::PathBuf;

use sea_orm::sqlx::mysql::{MySqlConnectOptions, MySqlSslMode};
use sea_orm::sqlx::postgres::{PgConnectOptions, PgSslMode};
use sea_orm::sqlx::sqlite::SqliteConnectOptions;
use secrecy::{ExposeSecret as _, SecretString};

use super::super::StoreError;

/// `sqlite:…`, `mysql://…` or `postgres://…`. Debug and Display leave the password out.
#[derive(Clone)]
pub struct DatabaseUrl(SecretString);

/// The parameters of MySQL's driver and of `PostgreSQL`'s that name a file (or hold its text).
const TLS_FILES: [&str; 8] = [
    "ssl-ca",
    "sslca",
    "ssl-root-cert",
    "sslrootcert",
    "ssl-cert",
    "sslcert",
    "ssl-key",
    "sslkey",
];

impl DatabaseUrl {
    /// Checks the scheme and the form.
    ///
    /// # Errors
    /// `BadUrl` with what was expected.
    pub fn read(text: &str) -> Result<Self, StoreError> {
        let bad = |why: &str| {
            let expected = "expected sqlite:FILE, mysql://USER:PASSWORD@HOST:PORT/DATABASE or postgres://… \
                            (characters like @ and / of a password are percent-encoded)";
            Err(StoreError::BadUrl(format!(
                "database.url {why}; {expected}"
            )))
        };
        if text.starts_with("sqlite:") {
            return if text.len() > "sqlite:".len() {
                Ok(Self::from_text(text))
            } else {
                bad("names no file")
            };
        }
        let Ok(url) = url::Url::parse(text) else {
            return bad("is not a URL");
        };
        match url.scheme() {
            "mysql" | "mariadb" | "postgres" | "postgresql"
                if url.has_host() && url.path().len() > 1 =>
            {
                Ok(Self::from_text(&text.replacen("mariadb://", "mysql://", 1)))
            }
            "mysql" | "mariadb" | "postgres" | "postgresql" => bad("names no host or no database"),
            scheme => bad(&format!("has the scheme {scheme}:")),
        }
    }

    fn from_text(text: &str) -> Self {
        Self(SecretString::from(text))
    }

    /// The URL with its password, for the driver.
    pub(crate) fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// Whether it is a MySQL or MariaDB database.
    #[must_use]
    pub fn is_mysql(&self) -> bool {
        self.expose().starts_with("mysql://")
    }

    /// Makes the file of a SQLite database, readable by its owner only: it holds credentials.
    /// SQLite gives its side files the same mode.
    ///
    /// # Errors
    /// When the folder is not there or not writable; names the file.
    pub(super) fn create_private_file(&self) -> std::io::Result<()> {
        use std::os::unix::fs::OpenOptionsExt as _;
        // The driver reads the name, which may be percent-encoded; what it refuses it tells by
        // itself.
        let Ok(options) = self.expose().parse::<SqliteConnectOptions>() else {
            return Ok(());
        };
        if !self.expose().starts_with("sqlite:") || self.is_private_memory() {
            return Ok(());
        }
        let file = options.get_filename();
        let made = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(file);
        match made {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                let file = file.display();
                Err(std::io::Error::other(format!(
                    "the SQLite file {file} cannot be made: {error}"
                )))
            }
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// The files of a SQLite database that are there: the database itself and its side files.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        let options = self.expose().parse::<SqliteConnectOptions>().ok();
        let is_file = self.expose().starts_with("sqlite:") && !self.is_private_memory();
        let Some(options) = options.filter(|_| is_file) else {
            return Vec::new();
        };
        let of = |suffix: &str| {
            let mut name = options.get_filename().as_os_str().to_owned();
            name.push(suffix);
            PathBuf::from(name)
        };
        let files = ["", "-wal", "-shm", "-journal"].map(of);
        files.into_iter().filter(|file| file.exists()).collect()
    }

    /// Whether somebody between here and the server could read and change all that is sent: the
    /// server is on another machine, and its certificate is not verified.
    #[must_use]
    pub fn is_unverified(&self) -> bool {
        // What the driver makes of it: the environment counts too, e.g. PGSSLMODE.
        if let Some(options) = self.mysql_elsewhere() {
            let mode = options.get_ssl_mode();
            return !matches!(mode, MySqlSslMode::VerifyCa | MySqlSslMode::VerifyIdentity);
        }
        if self.is_mysql() || self.expose().starts_with("sqlite:") {
            return false;
        }
        let Ok(options) = self.expose().parse::<PgConnectOptions>() else {
            return false;
        };
        let mode = options.get_ssl_mode();
        !matches!(mode, PgSslMode::VerifyCa | PgSslMode::VerifyFull)
            && !is_here(options.get_host(), options.get_socket())
    }

    /// Whether the driver speaks without TLS to a MySQL server on another machine where that offers
    /// none, although the URL does not say so.
    pub(super) fn may_fall_back_to_plain(&self) -> bool {
        let options = self.mysql_elsewhere();
        options.is_some_and(|options| matches!(options.get_ssl_mode(), MySqlSslMode::Preferred))
    }

    fn mysql_elsewhere(&self) -> Option<MySqlConnectOptions> {
        let options = self
            .is_mysql()
            .then(|| self.expose().parse::<MySqlConnectOptions>())?;
        let options = options.ok()?;
        (!is_here(options.get_host(), options.get_socket())).then_some(options)
    }

    /// Whether it names a SQLite file that is not there.
    #[must_use]
    pub fn is_missing_file(&self) -> bool {
        let options = self.expose().parse::<SqliteConnectOptions>();
        let is_file = self.expose().starts_with("sqlite:") && !self.is_private_memory();
        is_file && options.is_ok_and(|options| !options.get_filename().exists())
    }

    /// Demands that the certificates and the key that its parameters name can be read.
    ///
    /// # Errors
    /// With the parameter and the file. The driver would read them with each connection, and fail
    /// without a name.
    pub(super) fn demand_tls_files(&self) -> Result<(), StoreError> {
        let Ok(url) = url::Url::parse(self.expose()) else {
            return Ok(());
        };
        for (name, file) in url.query_pairs() {
            if !TLS_FILES.contains(&name.as_ref()) || file.trim_start().starts_with("-----BEGIN") {
                continue;
            }
            std::fs::File::open(file.as_ref()).map_err(|error| {
                StoreError::BadUrl(format!(
                    "database.url: {name}: {file} cannot be read: {error}"
                ))
            })?;
        }
        Ok(())
    }

    /// Host and port of the server; `None` for SQLite.
    pub(super) fn address(&self) -> Option<(String, u16)> {
        let url = url::Url::parse(self.expose()).ok()?;
        let default_port = match url.scheme() {
            "mysql" => 3306,
            "postgres" | "postgresql" => 5432,
            _ => return None,
        };
        let host = url
            .host_str()?
            .trim_start_matches('[')
            .trim_end_matches(']');
        Some((host.to_owned(), url.port().unwrap_or(default_port)))
    }

    /// Whether each connection would see a database of its own.
    pub(super) fn is_private_memory(&self) -> bool {
        let is_in_memory =
            self.expose().contains(":memory:") || self.expose().contains("mode=memory");
        self.expose().starts_with("sqlite:") && is_in_memory
    }
}

/// Whether a server is on this machine.
fn is_here(host: &str, socket: Option<&PathBuf>) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let address = host.parse::<std::net::IpAddr>();
    socket.is_some()
        || host.starts_with('/')
        || host.eq_ignore_ascii_case("localhost")
        || address.is_ok_and(|address| address.to_canonical().is_loopback())
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ok(mut url) = url::Url::parse(self.expose()) else {
            return f.write_str("(database)");
        };
        if url.password().is_some() && url.set_password(Some("***")).is_err() {
            return f.write_str("(database)");
        }
        // Drivers take credentials as parameters too.
        if !self.expose().starts_with("sqlite:") {
            url.set_query(None);
        }
        f.write_str(url.as_str())
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_for_tls_must_be_there() {
        for (text, missing) in [
            (
                "mysql://u@db/ts?ssl-ca=/none/ca.pem",
                Some("ssl-ca: /none/ca.pem"),
            ),
            (
                "mysql://u@db/ts?sslca=%2Fnone%2Fa%20b",
                Some("sslca: /none/a b"),
            ),
            (
                "postgres://u@db/ts?sslmode=verify-ca&sslrootcert=/none/ca",
                Some("sslrootcert: /none/ca"),
            ),
            (
                "postgres://u@db/ts?sslkey=/none/key",
                Some("sslkey: /none/key"),
            ),
            (
                "postgres://u@db/ts?sslcert=-----BEGIN%20CERTIFICATE-----",
                None,
            ),
            ("mysql://u@db/ts?ssl-ca=Cargo.toml&socket=/none", None),
            ("sqlite:ts.db", None),
        ] {
            let outcome = DatabaseUrl::read(text).unwrap().demand_tls_files();
            let told = outcome.err().map(|error| error.to_string());
            let expected = missing.map(|missing| {
                format!(
                    "database.url: {missing} cannot be read: No such file or directory (os error 2)"
                )
            });
            assert_eq!(told, expected, "{text}");
        }
    }

    #[test]
    fn a_server_elsewhere_must_show_its_certificate() {
        for (text, is_unverified) in [
            ("sqlite:ts.db", false),
            ("mysql://u:p@db/ts", true),
            ("mysql://u:p@db/ts?ssl-mode=disabled", true),
            ("mysql://u:p@db/ts?ssl-mode=REQUIRED", true),
            ("mysql://u:p@db/ts?sslmode=verify_ca", false),
            ("mysql://u:p@db/ts?ssl-mode=VERIFY_IDENTITY", false),
            (
                "mysql://u:p@db/ts?ssl-mode=verify_ca&ssl-mode=disabled",
                true,
            ),
            ("mariadb://u:p@10.0.0.7:3307/ts", true),
            ("mysql://u:p@127.0.0.1/ts", false),
            ("mysql://u:p@[::1]/ts", false),
            ("mysql://u:p@localhost/ts", false),
            ("mysql://u:p@db/ts?socket=/run/mysqld.sock", false),
            ("postgres://u:p@db/ts", true),
            ("postgres://u:p@db/ts?sslmode=require", true),
            ("postgresql://u:p@db/ts?sslmode=verify-ca", false),
            ("postgres://u:p@db/ts?ssl-mode=verify-full", false),
            ("postgres://u:p@localhost/ts", false),
            ("postgres://u:p@%2Frun%2Fpostgresql/ts", false),
            ("postgres://u:p@localhost/ts?host=/run/postgresql", false),
            ("postgres://u:p@localhost/ts?host=db", true),
        ] {
            let url = DatabaseUrl::read(text).unwrap();
            assert_eq!(url.is_unverified(), is_unverified, "{text}");
        }
    }

    #[test]
    fn only_an_unsaid_mode_falls_back_to_plain() {
        for (text, expected) in [
            ("mysql://u:p@db/ts", true),
            ("mariadb://u:p@db/ts?ssl-mode=preferred", true),
            ("mysql://u:p@db/ts?ssl-mode=disabled", false),
            ("mysql://u:p@db/ts?ssl-mode=required", false),
            ("mysql://u:p@127.0.0.1/ts", false),
            ("postgres://u:p@db/ts", false),
            ("sqlite:ts.db", false),
        ] {
            let url = DatabaseUrl::read(text).unwrap();
            assert_eq!(url.may_fall_back_to_plain(), expected, "{text}");
        }
    }

    #[test]
    fn urls_are_checked_and_redacted() {
        for (text, shown) in [
            ("sqlite:data.db", Some("sqlite:data.db")),
            (
                "mysql://u:hush@db:3306/ts",
                Some("mysql://u:***@db:3306/ts"),
            ),
            (
                "postgres://u@db/ts?password=hush",
                Some("postgres://u@db/ts"),
            ),
            ("mariadb://u:hush@db/ts", Some("mysql://u:***@db/ts")),
            ("mysql://db", None),
            ("sqlite:", None),
            ("redis://x/0", None),
            ("data.db", None),
        ] {
            let read = DatabaseUrl::read(text).map(|url| url.to_string());
            assert_eq!(read.ok().as_deref(), shown, "{text}");
        }
    }
}
