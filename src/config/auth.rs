//! `[auth]`

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::ConfigError;
use crate::api_key::{ApiKey, Scope, Scopes};
use crate::networks::Networks;

/// Who may come in.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuthSettings {
    /// A file with one API key of role `admin`, as `token-server key create --offline` prints it.
    /// It works beside the keys in the database. Default none.
    /// `TOKEN_SERVER__AUTH__ADMIN_KEY_FILE`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin_key_file: Option<PathBuf>,
    /// Callers that send no API key.
    pub anonymous: AnonymousSettings,
}

/// Callers without an API key that count as role `app`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct AnonymousSettings {
    /// Where they are: networks like `10.1.0.0/16`, `loopback`, `private`, separated by commas.
    /// Default none. `TOKEN_SERVER__AUTH__ANONYMOUS__NETWORKS`
    pub networks: String,
    /// Which tokens they may read: `realm:key` patterns, separated by commas. Needed with networks.
    /// Default none. `TOKEN_SERVER__AUTH__ANONYMOUS__SCOPES`
    pub scopes: String,
}

/// Callers without an API key, read.
#[derive(Clone, Debug, PartialEq)]
pub struct Anonymous {
    /// Where they are.
    pub networks: Networks,
    /// What they reach.
    pub scopes: Scopes,
}

impl AuthSettings {
    /// The callers without an API key that are let in; `None`: nobody.
    ///
    /// # Errors
    /// A network or scope that is not one, or one of the two without the other.
    pub fn anonymous(&self) -> Result<Option<Anonymous>, ConfigError> {
        let AnonymousSettings { networks, scopes } = &self.anonymous;
        let networks: Networks = networks
            .parse()
            .map_err(|wrong| ConfigError(format!("auth.anonymous.networks: {wrong}")))?;
        let scopes = scopes.split(',').map(str::trim);
        let scopes = scopes
            .filter(|scope| !scope.is_empty())
            .map(str::parse::<Scope>)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|wrong| ConfigError(format!("auth.anonymous.scopes: {wrong}")))?;
        match (networks.is_empty(), scopes.is_empty()) {
            (true, true) => Ok(None),
            (false, false) => Ok(Some(Anonymous {
                networks,
                scopes: Scopes::Only(scopes),
            })),
            (false, true) => Err(ConfigError(
                "auth.anonymous.scopes: required beside auth.anonymous.networks: which tokens callers without an API \
                 key may read, as wxgzh:* ; *:* is every token"
                    .to_owned(),
            )),
            (true, false) => Err(ConfigError(
                "auth.anonymous.networks: required beside auth.anonymous.scopes: the networks of callers without an \
                 API key, as 10.1.0.0/16"
                    .to_owned(),
            )),
        }
    }

    /// The key of `admin_key_file`.
    ///
    /// # Errors
    /// The file cannot be read, or holds no key; the error never repeats what it holds.
    pub fn admin_key(&self) -> Result<Option<ApiKey>, ConfigError> {
        let Some(file) = &self.admin_key_file else {
            return Ok(None);
        };
        let name = file.display();
        let text = std::fs::read_to_string(file)
            .map_err(|error| ConfigError(format!("auth.admin_key_file: {name}: {error}")))?;
        let key = ApiKey::read(text.trim()).ok_or_else(|| {
            ConfigError(format!(
                "auth.admin_key_file: {name} does not hold an API key alone; token-server key create --role admin \
                 --offline prints one"
            ))
        })?;
        Ok(Some(key))
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        self.anonymous().map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(networks: &str, scopes: &str) -> AuthSettings {
        let (networks, scopes) = (networks.to_owned(), scopes.to_owned());
        AuthSettings {
            anonymous: AnonymousSettings { networks, scopes },
            ..AuthSettings::default()
        }
    }

    #[test]
    fn networks_and_scopes_come_together() {
        assert_eq!(settings("", "").anonymous().unwrap(), None);
        let both = settings("10.0.0.0/8", "wx*:*, r:a").anonymous().unwrap();
        assert_eq!(both.unwrap().scopes.to_texts(), ["wx*:*", "r:a"]);
        for (networks, scopes, named) in [
            ("loopback", "", "auth.anonymous.scopes"),
            ("", "a:b", "auth.anonymous.networks"),
            ("nowhere", "a:b", "auth.anonymous.networks"),
            ("loopback", "ab", "auth.anonymous.scopes"),
        ] {
            let error = settings(networks, scopes).anonymous().unwrap_err();
            assert!(error.0.starts_with(named), "{error}");
        }
    }
}
