//! The settings, and the only reader of the environment.
//!
//! Layers, each over the one before: defaults, a TOML file, the environment
//! (`TOKEN_SERVER__SECTION__KEY`, and the inherited `MYSQL_*`), flags. A setting whose name ends in
//! `_FILE` in the environment is read from that file, unless the setting is itself a path: its own
//! name ends in `file`.

mod auth;
mod database;
mod environment;
mod inputs;
mod log;
mod metrics;
mod renewal;
mod server;
mod tls;
mod upstream;
mod warnings;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use auth::{Anonymous, AnonymousSettings, AuthSettings};
pub use database::DatabaseSettings;
pub use environment::Environment;
pub use inputs::InputSettings;
pub use log::{LogFormat, LogSettings};
pub use metrics::MetricsSettings;
pub use renewal::RenewalSettings;
pub use server::ServerSettings;
pub use tls::TlsSettings;
pub use upstream::UpstreamSettings;
pub use warnings::ConfigWarning;

/// All settings.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where and how to listen.
    pub server: ServerSettings,
    /// Who may come in.
    pub auth: AuthSettings,
    /// Where everything is kept.
    pub database: DatabaseSettings,
    /// What a provider may cost.
    pub upstream: UpstreamSettings,
    /// Inputs of realms that are files.
    pub inputs: InputSettings,
    /// Waiting for and following other instances.
    pub renewal: RenewalSettings,
    /// Where metrics are read.
    pub metrics: MetricsSettings,
    /// What is logged, and how.
    pub log: LogSettings,
    /// The file that was read, if it contains a password.
    #[serde(skip)]
    pub confidential_file: Option<PathBuf>,
}

/// A setting that cannot be used. Names it, says what was expected; never holds a secret.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0}")]
pub struct ConfigError(pub String);

/// One flag that overrides a setting: `("server.listen", "0.0.0.0:80")`.
pub type Override = (&'static str, String);

/// The file read when none is named, if it exists.
const DEFAULT_FILE: &str = "token-server.toml";

impl Config {
    /// Puts the layers together and checks the result.
    ///
    /// # Errors
    /// The first setting that cannot be used.
    pub fn load(
        file: Option<&Path>,
        environment: &Environment,
        flags: &[Override],
    ) -> Result<Self, ConfigError> {
        Self::merge(existing(file)?, environment, flags)
    }

    /// The same without any file, for `dev`.
    ///
    /// # Errors
    /// The first setting that cannot be used.
    pub fn load_without_file(
        environment: &Environment,
        flags: &[Override],
    ) -> Result<Self, ConfigError> {
        Self::merge(None, environment, flags)
    }

    fn merge(
        file: Option<PathBuf>,
        environment: &Environment,
        flags: &[Override],
    ) -> Result<Self, ConfigError> {
        let mut builder = config::Config::builder();
        let mut given = Vec::new();
        let mut confidential_file = None;
        if let Some(file) = file {
            let text = read_toml(&file)?;
            confidential_file = warnings::has_password(&text).then(|| file.clone());
            given.extend(
                text.lines()
                    .filter_map(|line| line.split_once('='))
                    .map(|(_, value)| unquoted(value)),
            );
            builder = builder.add_source(config::File::from_str(&text, config::FileFormat::Toml));
        }
        let flags = flags
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()));
        for (name, value) in environment.overrides()?.into_iter().chain(flags) {
            given.push(value.clone());
            builder = builder
                .set_override(name, value)
                .map_err(|error| wrong(&error, &given))?;
        }
        let merged = builder.build().map_err(|error| wrong(&error, &given))?;
        let config = Self {
            confidential_file,
            ..merged
                .try_deserialize()
                .map_err(|error| wrong(&error, &given))?
        };
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), ConfigError> {
        self.server.check()?;
        self.auth.check()?;
        self.database.parsed()?;
        self.upstream.check()?;
        self.renewal.check()?;
        self.metrics.check()?;
        self.log.check()
    }

    /// The settings that have no value, by section and name, with what that means.
    #[must_use]
    pub fn unset(&self) -> Vec<(&'static str, &'static str, &'static str)> {
        let optional = [
            (
                self.server.unix.is_none(),
                "server",
                "unix",
                "no Unix socket",
            ),
            (
                self.auth.admin_key_file.is_none(),
                "auth",
                "admin_key_file",
                "API keys are in the database alone",
            ),
            (
                self.upstream.proxy_url.is_none(),
                "upstream",
                "proxy_url",
                "providers are called without a proxy",
            ),
            (
                self.upstream.ca_file.is_none(),
                "upstream",
                "ca_file",
                "the public certificate authorities and the machine's are trusted",
            ),
            (
                self.inputs.file_root.is_none(),
                "inputs",
                "file_root",
                "no input is read from a file",
            ),
            (
                self.metrics.listen.is_none(),
                "metrics",
                "listen",
                "127.0.0.1:9464, if that port is free",
            ),
        ];
        let unset = optional.into_iter().filter(|(is_unset, ..)| *is_unset);
        unset
            .map(|(_, section, name, meaning)| (section, name, meaning))
            .collect()
    }

    /// The effective settings, secrets redacted.
    ///
    /// # Errors
    /// Never in practice: every setting has a TOML form.
    pub fn redacted(&self) -> Result<Self, ConfigError> {
        let database = DatabaseSettings {
            url: self.database.parsed()?.to_string(),
            ..self.database.clone()
        };
        Ok(Self {
            database,
            upstream: self.upstream.redacted(),
            ..self.clone()
        })
    }
}

fn existing(file: Option<&Path>) -> Result<Option<PathBuf>, ConfigError> {
    match file {
        Some(file) if file.exists() => Ok(Some(file.to_owned())),
        Some(file) => Err(ConfigError(format!(
            "the configuration file {} does not exist",
            file.display()
        ))),
        None => Ok(Some(PathBuf::from(DEFAULT_FILE)).filter(|file| file.exists())),
    }
}

/// The setting and what was expected there; never a value that was given, which may be a secret in
/// the wrong place.
fn wrong(error: &config::ConfigError, given: &[String]) -> ConfigError {
    if let config::ConfigError::Type { expected, key, .. } = error {
        let name = key.as_deref().unwrap_or("a setting");
        return ConfigError(format!("{name}: expected {expected}"));
    }
    let mut given: Vec<_> = given
        .iter()
        .filter(|value| value.len() >= SHORTEST_HIDDEN)
        .collect();
    given.sort_by_key(|value| std::cmp::Reverse(value.len()));
    let words = error.to_string();
    ConfigError(given.into_iter().fold(words, |words, value| {
        words.replace(value.as_str(), "(what was given)")
    }))
}

/// Shorter values are no secrets, and may be part of any word.
const SHORTEST_HIDDEN: usize = 4;

fn unquoted(value: &str) -> String {
    value.trim().trim_matches(['"', '\'']).to_owned()
}

/// The file's text, if it is TOML; else where it is not, without the line itself.
fn read_toml(file: &Path) -> Result<String, ConfigError> {
    let name = file.display();
    let text =
        std::fs::read_to_string(file).map_err(|error| ConfigError(format!("{name}: {error}")))?;
    let Err(error) = toml::from_str::<toml::Table>(&text) else {
        return Ok(text);
    };
    let line = error.span().map_or(0, |span| {
        text.bytes()
            .take(span.start)
            .filter(|byte| *byte == b'\n')
            .count()
    }) + 1;
    Err(ConfigError(format!(
        "{name}, line {line}: {}",
        error.message()
    )))
}

/// Checks that a number of seconds is within bounds.
fn within(name: &str, seconds: f64, lowest: f64, highest: f64) -> Result<(), ConfigError> {
    if (lowest..=highest).contains(&seconds) {
        return Ok(());
    }
    Err(ConfigError(format!(
        "{name}: expected {lowest} to {highest} seconds, found {seconds}"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(environment: &[(&str, &str)], flags: &[Override]) -> Result<Config, ConfigError> {
        Config::load(None, &Environment::of(environment), flags)
    }

    #[test]
    fn later_layers_win() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("t.toml");
        std::fs::write(
            &file,
            "[server]\nlisten = '127.0.0.1:1'\n[renewal]\nwait_seconds = 3\n",
        )
        .unwrap();
        let environment = Environment::of(&[("TOKEN_SERVER__SERVER__LISTEN", "127.0.0.1:2")]);
        let config = Config::load(Some(&file), &environment, &[]).unwrap();
        assert_eq!(
            (config.server.listen.as_str(), config.renewal.wait_seconds),
            ("127.0.0.1:2", 3.0)
        );
        let config = Config::load(
            Some(&file),
            &environment,
            &[("server.listen", "127.0.0.1:3".into())],
        )
        .unwrap();
        assert_eq!(config.server.listen, "127.0.0.1:3");
    }

    #[test]
    fn the_inherited_variables_make_a_url() {
        let inherited = [
            ("MYSQL_HOST", "db"),
            ("MYSQL_PORT", "3307"),
            ("MYSQL_USERNAME", "u"),
            ("MYSQL_PASSWORD", "p@ss/word"),
            ("MYSQL_DATABASE", "tokens"),
        ];
        let config = load(&inherited, &[]).unwrap();
        assert_eq!(
            config.database.url,
            "mysql://u:p%40ss%2Fword@db:3307/tokens"
        );
        assert_eq!(
            config.redacted().unwrap().database.url,
            "mysql://u:***@db:3307/tokens"
        );
        let flags = [("database.url", "sqlite:x.db".to_owned())];
        assert_eq!(
            load(&inherited, &flags).unwrap().database.url,
            "sqlite:x.db"
        );
    }

    #[test]
    fn an_empty_inherited_host_counts_as_unset_and_a_wrong_port_is_named() {
        assert_eq!(
            load(&[("MYSQL_HOST", "")], &[]).unwrap().database.url,
            "sqlite:token-server.db"
        );
        let error = load(&[("MYSQL_HOST", "db"), ("MYSQL_PORT", "abc")], &[]).unwrap_err();
        assert!(error.0.contains("MYSQL_PORT"), "{error}");
    }

    #[test]
    fn what_was_found_is_never_repeated() {
        let url = "mysql://u:TOPSECRET@h/db";
        for name in [
            "TOKEN_SERVER__DATABASE",
            "TOKEN_SERVER__DATABASE__MAX_CONNECTIONS",
            "TOKEN_SERVER__LOG__FORMAT",
        ] {
            let error = load(&[(name, url)], &[]).unwrap_err();
            assert!(!error.0.contains("TOPSECRET"), "{name}: {error}");
        }
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("t.toml");
        for text in [
            "[database]\nurl = \"mysql://u:TOPSECRET@h/db\n",
            "[database]\nmax_connections = \"TOPSECRET\"\n",
        ] {
            std::fs::write(&file, text).unwrap();
            let error = Config::load(Some(&file), &Environment::of(&[]), &[]).unwrap_err();
            assert!(!error.0.contains("TOPSECRET"), "{error}");
        }
    }

    #[test]
    fn localhost_is_an_address() {
        let config = load(&[("TOKEN_SERVER__SERVER__LISTEN", "localhost:80")], &[]).unwrap();
        assert_eq!(config.server.address().unwrap().to_string(), "127.0.0.1:80");
    }

    #[test]
    fn a_secret_may_be_in_a_file() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("url");
        std::fs::write(&file, "sqlite:from-file.db\n").unwrap();
        let config = load(
            &[("TOKEN_SERVER__DATABASE__URL_FILE", file.to_str().unwrap())],
            &[],
        )
        .unwrap();
        assert_eq!(config.database.url, "sqlite:from-file.db");
    }

    #[test]
    fn wrong_settings_are_named() {
        for (name, value, named) in [
            ("TOKEN_SERVER__SERVER__LISTEN", "nowhere", "server.listen"),
            ("TOKEN_SERVER__SERVER__LISTNE", "127.0.0.1:1", "listne"),
            (
                "TOKEN_SERVER__UPSTREAM__TIMEOUT_SECONDS",
                "-1",
                "upstream.timeout_seconds",
            ),
            (
                "TOKEN_SERVER__RENEWAL__WAIT_SECONDS",
                "soon",
                "wait_seconds",
            ),
            ("TOKEN_SERVER__DATABASE__URL", "redis://x", "database.url"),
            ("TOKEN_SERVER__LOG__FILTER", "[[", "log.filter"),
            (
                "TOKEN_SERVER__UPSTREAM__PROXY_URL",
                "nonsense",
                "upstream.proxy_url",
            ),
            (
                "TOKEN_SERVER__UPSTREAM__MAX_RESPONSE_BYTES",
                "0",
                "upstream.max_response_bytes",
            ),
            (
                "TOKEN_SERVER__DATABASE__URL_FILE",
                "/nonexistent",
                "TOKEN_SERVER__DATABASE__URL_FILE",
            ),
        ] {
            let error = load(&[(name, value)], &[]).unwrap_err();
            assert!(error.0.contains(named), "{name}: {error}");
        }
    }

    #[test]
    fn a_file_of_authorities_is_read_at_the_start() {
        let directory = tempfile::tempdir().unwrap();
        let made = |name: &str, text: &str| {
            let file = directory.path().join(name);
            std::fs::write(&file, text).unwrap();
            file.to_str().unwrap().to_owned()
        };
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::default();
        let good = params.self_signed(&key).unwrap().pem();
        let rubbish = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for (file, wrong) in [
            (made("good", &format!("{good}{good}")), None),
            (made("empty", ""), Some("holds no certificate")),
            (
                made("key", &key.serialize_pem()),
                Some("holds no certificate"),
            ),
            (
                made("rubbish", &format!("{good}{rubbish}")),
                Some("certificate 2"),
            ),
            (
                directory.path().join("absent").display().to_string(),
                Some("No such file"),
            ),
        ] {
            let loaded = load(&[("TOKEN_SERVER__UPSTREAM__CA_FILE", &file)], &[]);
            let error = loaded.err().map(|error| error.0);
            assert_eq!(error.is_some(), wrong.is_some(), "{file}: {error:?}");
            assert!(
                error.is_none_or(|error| error.contains("upstream.ca_file")
                    && error.contains(&file)
                    && error.contains(wrong.unwrap_or_default())),
                "{file}"
            );
        }
    }
}
