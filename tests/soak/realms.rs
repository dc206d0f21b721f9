//! The realms of the soak, the times that all of it goes by, and its secrets.

use std::time::Duration;

use serde_json::{Value, json};

/// What a provider does when it is asked again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reissue {
    /// The old token dies this long after the new one was issued.
    Replaces(Duration),
    /// The same token until this long before its expiry.
    Same(Duration),
    /// All tokens live to their expiry.
    Coexists,
}

/// A kind of token.
#[derive(Clone, Copy)]
pub(crate) struct Realm {
    pub(crate) id: &'static str,
    pub(crate) life: Duration,
    /// In percent of the life; what `refresh_ahead` says.
    ahead: u32,
    pub(crate) reissue: Reissue,
}

/// Lives of seconds, so that there are many expiries; one that is long enough for reports to be
/// followed.
pub(crate) const REALMS: [Realm; 4] = [
    Realm {
        id: "replaces",
        life: Duration::from_secs(9),
        ahead: 30,
        reissue: Reissue::Replaces(Duration::from_secs(5)),
    },
    Realm {
        id: "same",
        life: Duration::from_secs(12),
        ahead: 25,
        reissue: Reissue::Same(Duration::from_secs(3)),
    },
    Realm {
        id: "coexists",
        life: Duration::from_secs(6),
        ahead: 20,
        reissue: Reissue::Coexists,
    },
    Realm {
        id: "long",
        life: Duration::from_secs(50),
        ahead: 10,
        reissue: Reissue::Coexists,
    },
];

/// Secrets of each realm.
const KEYS: [&str; 3] = ["a", "b", "c"];

/// How long a fetch may take: `upstream.timeout_seconds`.
pub(crate) const FETCH_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a lease holds: a fetch and two seconds more.
pub(crate) const LEASE: Duration = Duration::from_secs(4);
/// What `renewal.wait_seconds` is set to: how long a caller waits at most. Shorter than the default
/// of 25 s, so that faults of a few seconds come near it.
pub(crate) const WAIT: Duration = Duration::from_secs(12);
/// What `database.timeout_seconds` is set to.
pub(crate) const DATABASE_TIMEOUT: Duration = Duration::from_secs(2);

impl Realm {
    /// How long before expiry a token of this life may be renewed at the earliest (LANGUAGE.md,
    /// "When to renew"; with `same` at most nine tenths of the window).
    pub(crate) fn ahead(&self, life: Duration) -> Duration {
        let ahead = life * self.ahead / 100;
        match self.reissue {
            Reissue::Same(until) => ahead.min(until * 9 / 10),
            Reissue::Replaces(_) | Reissue::Coexists => ahead,
        }
    }

    /// How long an instance answers from memory after its last look at the database: two looks of 1
    /// s, or half the overlap (ARCHITECTURE.md, "trusted").
    pub(crate) fn trusted_for(&self) -> Duration {
        let looks = Duration::from_secs(2);
        match self.reissue {
            Reissue::Replaces(overlap) => looks.max(overlap / 2),
            Reissue::Same(_) | Reissue::Coexists => looks,
        }
    }

    /// As it is posted.
    pub(crate) fn document(&self, url: &str) -> Value {
        let mut policy = json!({"refresh_ahead": format!("{}%", self.ahead), "cool_down": "250ms", "reissue": "coexists"});
        match self.reissue {
            Reissue::Replaces(overlap) => {
                policy["reissue"] = json!("replaces");
                policy["overlap"] = json!(overlap.as_secs());
            }
            Reissue::Same(until) => {
                policy["reissue"] = json!("same");
                policy["same_until"] = json!(until.as_secs());
            }
            Reissue::Coexists => {}
        }
        json!({"id": self.id, "config": {"url": format!("{url}/token"), "method": "GET",
            "token_path": "access_token", "expires_in_path": "expires_in", "policy": policy,
            "arguments": [{"name": "account", "place": "url", "value": "$key_1"},
                          {"name": "credentials", "place": "url", "value": "$key_2"}]}})
    }
}

/// A secret of a cluster, which is an account at the provider.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Secret {
    /// Among all of all clusters.
    pub(crate) account: usize,
    pub(crate) realm: &'static Realm,
    pub(crate) key: &'static str,
}

impl PartialEq for Realm {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Realm {}

/// How many secrets each cluster has.
pub(crate) const SECRETS: usize = REALMS.len() * KEYS.len();

/// The secrets of a cluster.
pub(crate) fn secrets_of(cluster: usize) -> Vec<Secret> {
    let names = REALMS
        .iter()
        .flat_map(|realm| KEYS.iter().map(move |key| (realm, *key)));
    let numbered = names.zip(cluster * SECRETS..);
    numbered
        .map(|((realm, key), account)| Secret {
            account,
            realm,
            key,
        })
        .collect()
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}/{} (account {})",
            self.realm.id, self.key, self.account
        )
    }
}

impl Secret {
    /// As it is posted, with the credentials of this number.
    pub(crate) fn document(&self, credentials: u64) -> Value {
        json!({"realm": self.realm.id, "key": self.key, "key_1": self.account.to_string(),
            "key_2": credentials.to_string()})
    }
}
