//! Settings that work and should be changed: a database whose server is not verified, files that
//! other users of the machine may read or write, callers without an API key, tokens in plain text.

use std::fmt;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::Config;
use crate::store::DatabaseUrl;

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigWarning {
    /// Stable, for monitoring.
    pub code: &'static str,
    /// What is the matter and what to do, without a path.
    pub detail: &'static str,
    /// The file or folder, if it is about one.
    pub file: Option<PathBuf>,
}

impl fmt::Display for ConfigWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.detail)?;
        match &self.file {
            Some(file) => write!(f, ": {}", file.display()),
            None => Ok(()),
        }
    }
}

/// Reading and writing, of group and others.
const SHARED: u32 = 0o066;
/// Passing through a folder, for group or others.
const PASSABLE: u32 = 0o011;

impl Config {
    /// What should be changed. Looks at the files that are there.
    #[must_use]
    pub fn warnings(&self) -> Vec<ConfigWarning> {
        let database = self.database.parsed().ok();
        let is_unverified = database.as_ref().is_some_and(DatabaseUrl::is_unverified);
        let unverified = is_unverified.then_some(ConfigWarning {
            code: "database_tls_unverified",
            detail: "database.url: the certificate of the database server is not verified, so whoever is in between \
                     can read the password and change what is stored; use ssl-mode=VERIFY_IDENTITY (MySQL, MariaDB) \
                     or sslmode=verify-full (PostgreSQL)",
            file: None,
        });
        let shared = |code, detail, files: Vec<PathBuf>| {
            let files = files.into_iter().filter(|file| is_shared(file));
            files.map(move |file| ConfigWarning {
                code,
                detail,
                file: Some(file),
            })
        };
        let database = shared(
            "database_file_shared",
            "database.url: other users of this machine can read or write a file of the SQLite database; remove \
             their permissions with chmod 600",
            database.map(|url| url.files()).unwrap_or_default(),
        );
        let configuration = shared(
            "configuration_file_shared",
            "the configuration file contains a password, and other users of this machine can read or write it; \
             remove their permissions with chmod 600",
            self.confidential_file.iter().cloned().collect(),
        );
        let inputs = shared(
            "input_files_shared",
            "inputs.file_root: other users of this machine can read or write this folder; remove their permissions \
             with chmod 700",
            self.inputs.file_root.iter().cloned().collect(),
        );
        let key = shared(
            "key_file_shared",
            "auth.admin_key_file or server.tls.key_file: other users of this machine can read or write this key; \
             remove their permissions with chmod 600",
            self.auth
                .admin_key_file
                .iter()
                .chain(&self.server.tls.key_file)
                .cloned()
                .collect(),
        );
        let all = unverified.into_iter().chain(database).chain(configuration);
        all.chain(inputs)
            .chain(key)
            .chain(self.openings())
            .collect()
    }

    /// What lets more people in, or lets them listen.
    fn openings(&self) -> impl Iterator<Item = ConfigWarning> {
        let plain = self.server.plain_http.then_some((
            "plain_http",
            "server.plain_http is set: API keys and tokens cross the network in plain text unless something before \
             this server ends TLS",
        ));
        let anonymous = (!self.auth.anonymous.networks.is_empty()).then_some((
            "anonymous_callers",
            "auth.anonymous is set: callers in its networks read the tokens of its scopes without an API key",
        ));
        let all = plain.into_iter().chain(anonymous);
        all.map(|(code, detail)| ConfigWarning {
            code,
            detail,
            file: None,
        })
    }
}

/// Whether others than the owner may read or write a file or folder, and get to it.
fn is_shared(file: &Path) -> bool {
    let mode = |path: &Path| Some(std::fs::metadata(path).ok()?.permissions().mode());
    let Ok(file) = file.canonicalize() else {
        return false;
    };
    let is_open = |path: &Path, bits: u32| mode(path).is_some_and(|mode| mode & bits != 0);
    let mut folders = file.ancestors().skip(1);
    is_open(&file, SHARED) && folders.all(|folder| is_open(folder, PASSABLE))
}

/// Whether the text of a configuration file has a password in it.
pub(super) fn has_password(toml: &str) -> bool {
    let Ok(table) = toml::from_str::<toml::Table>(toml) else {
        return false;
    };
    let urls = [("database", "url"), ("upstream", "proxy_url")];
    urls.iter().any(|(section, name)| {
        let text = table.get(*section).and_then(|section| section.get(*name));
        let url = text
            .and_then(toml::Value::as_str)
            .and_then(|text| url::Url::parse(text).ok());
        url.is_some_and(|url| {
            let is_password = |name: &str| name.eq_ignore_ascii_case("password");
            url.password().is_some() || url.query_pairs().any(|(name, _)| is_password(&name))
        })
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::super::Environment;
    use super::*;

    fn set_mode(path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    fn codes(config: &Config) -> Vec<&'static str> {
        config
            .warnings()
            .iter()
            .map(|warning| warning.code)
            .collect()
    }

    #[test]
    fn files_that_others_may_read_are_warned_of() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        set_mode(folder.path(), 0o755);
        let text = format!(
            "[database]\nurl = 'sqlite:{}'\n[upstream]\nproxy_url = 'http://u:hush@p:1'\n[inputs]\nfile_root = '{}'\n",
            at("ts.db").display(),
            at("inputs").display()
        );
        std::fs::create_dir(at("inputs")).unwrap();
        for (name, text) in [
            ("t.toml", text.as_str()),
            ("ts.db", ""),
            ("ts.db-wal", ""),
            ("ts.db-shm", ""),
        ] {
            std::fs::write(at(name), text).unwrap();
        }
        symlink(at("t.toml"), at("link.toml")).unwrap();
        let load = || Config::load(Some(&at("link.toml")), &Environment::of(&[]), &[]).unwrap();
        let modes = |file: u32, inputs: u32| {
            for name in ["t.toml", "ts.db", "ts.db-wal", "ts.db-shm"] {
                set_mode(&at(name), file);
            }
            set_mode(&at("inputs"), inputs);
        };
        modes(0o600, 0o700);
        assert_eq!(codes(&load()), Vec::<&str>::new());
        modes(0o600, 0o711);
        assert_eq!(codes(&load()), Vec::<&str>::new(), "names must be known");
        let database = "database_file_shared";
        let all = [
            database,
            database,
            database,
            "configuration_file_shared",
            "input_files_shared",
        ];
        for (file, inputs) in [
            (0o640, 0o750),
            (0o604, 0o705),
            (0o620, 0o720),
            (0o602, 0o702),
        ] {
            modes(file, inputs);
            assert_eq!(codes(&load()), all, "{file:o} {inputs:o}");
        }
        let told: String = load().warnings().iter().map(ToString::to_string).collect();
        assert!(
            told.contains("ts.db-wal") && !told.contains("hush"),
            "{told}"
        );
        set_mode(folder.path(), 0o700);
        assert_eq!(codes(&load()), Vec::<&str>::new(), "nobody gets there");
    }

    #[test]
    fn only_a_file_with_a_password_is_confidential() {
        for (text, expected) in [
            ("[database]\nurl = 'mysql://u:hush@db/ts'", true),
            ("[database]\nurl = 'postgres://u@db/ts?password=hush'", true),
            ("[upstream]\nproxy_url = 'http://u:hush@p:1'", true),
            ("[database]\nurl = 'mysql://u@db/ts'", false),
            ("[server]\nlisten = '127.0.0.1:1'", false),
            ("not toml", false),
        ] {
            assert_eq!(has_password(text), expected, "{text}");
        }
    }

    #[test]
    fn a_database_elsewhere_without_a_verified_certificate_is_warned_of() {
        let with = |url: &str| {
            let flags = [("database.url", url.to_owned())];
            codes(&Config::load_without_file(&Environment::of(&[]), &flags).unwrap())
        };
        assert_eq!(with("mysql://u:p@db/ts"), ["database_tls_unverified"]);
        assert!(with("mysql://u:p@db/ts?ssl-mode=verify_identity").is_empty());
    }
}
