//! The process's environment, read once.

use std::collections::BTreeMap;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::ConfigError;

/// A copy of the environment's variables.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Environment")
    }
}

const PREFIX: &str = "TOKEN_SERVER__";
const FILE_SUFFIX: &str = "_FILE";

impl Environment {
    /// Of this process; variables that are not UTF-8 are left out.
    #[must_use]
    pub fn of_process() -> Self {
        let texts = std::env::vars_os()
            .filter_map(|(name, value)| name.into_string().ok().zip(value.into_string().ok()));
        Self(texts.collect())
    }

    /// Of given variables, for tests.
    #[must_use]
    pub fn of(variables: &[(&str, &str)]) -> Self {
        Self(
            variables
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        )
    }

    /// Only the variables that begin with one of these prefixes.
    #[must_use]
    pub fn only(self, prefixes: &[&str]) -> Self {
        let wanted = |name: &String| prefixes.iter().any(|prefix| name.starts_with(prefix));
        Self(
            self.0
                .into_iter()
                .filter(|(name, _)| wanted(name))
                .collect(),
        )
    }

    /// The API key that commands show: `TOKEN_SERVER_API_KEY`, or out of the file that
    /// `TOKEN_SERVER_API_KEY_FILE` names.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn api_key(&self) -> Result<Option<String>, ConfigError> {
        const NAME: &str = "TOKEN_SERVER_API_KEY_FILE";
        let is_given = |text: &&String| !text.is_empty();
        if let Some(key) = self.0.get("TOKEN_SERVER_API_KEY").filter(is_given) {
            return Ok(Some(key.clone()));
        }
        let file = self.0.get(NAME).filter(is_given);
        file.map(|file| contents(NAME, file)).transpose()
    }

    /// The settings it gives, as `(section.key, value)`, weakest first.
    pub(super) fn overrides(&self) -> Result<Vec<(String, String)>, ConfigError> {
        let mut overrides: Vec<_> = self
            .inherited_url()?
            .map(|url| ("database.url".to_owned(), url))
            .into_iter()
            .collect();
        for (name, value) in &self.0 {
            let Some(setting) = name.strip_prefix(PREFIX) else {
                continue;
            };
            let (setting, value) = match setting.strip_suffix(FILE_SUFFIX) {
                Some(outer) if !is_path(setting) => (outer, contents(name, value)?),
                Some(_) | None => (setting, value.clone()),
            };
            overrides.push((setting.to_lowercase().replace("__", "."), value));
        }
        Ok(overrides)
    }

    /// The inherited service's variables as a URL.
    fn inherited_url(&self) -> Result<Option<String>, ConfigError> {
        let Some(host) = self.0.get("MYSQL_HOST").filter(|host| !host.is_empty()) else {
            return Ok(None);
        };
        let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let value = |name: &str, default: &str| {
            self.0
                .get(name)
                .cloned()
                .unwrap_or_else(|| default.to_owned())
        };
        let password = match self.0.get("MYSQL_PASSWORD_FILE") {
            Some(file) => contents("MYSQL_PASSWORD_FILE", file)?,
            None => value("MYSQL_PASSWORD", ""),
        };
        let user = encode(&value("MYSQL_USERNAME", "root"));
        let credentials = if password.is_empty() {
            user
        } else {
            format!("{user}:{}", encode(&password))
        };
        let port = value("MYSQL_PORT", "3306");
        if port.parse::<u16>().is_err() {
            return Err(ConfigError(format!(
                "MYSQL_PORT: expected a port number, found {port:?}"
            )));
        }
        let database = encode(&value("MYSQL_DATABASE", "token_server"));
        Ok(Some(
            format!("mysql://{credentials}@{host}:{port}/{database}")
                .replace("%5F", "_")
                .replace("%2D", "-"),
        ))
    }
}

/// Whether a setting of this name is a path itself, and so is not read out of a file.
fn is_path(setting: &str) -> bool {
    let own = setting.rsplit("__").next().unwrap_or(setting);
    PATHS.iter().any(|path| path.eq_ignore_ascii_case(own))
}

/// The settings whose own name ends in `file`.
const PATHS: [&str; 4] = ["admin_key_file", "certificate_file", "key_file", "ca_file"];

fn contents(name: &str, file: &str) -> Result<String, ConfigError> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| ConfigError(format!("{name}: {file}: {error}")))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}
