//! Rows to write.

use token_server::clock::Timestamp;
use token_server::failure::{Failure, FailureKind, ProviderSays};
use token_server::secret::{Credentials, SecretContent, SecretId};
use token_server::store::{Commit, Page, RealmRow, RecordedFailure, SecretRow, StoredToken};
use token_server::token::{Life, Outputs, TokenText};

/// The whole list.
pub(crate) const ALL: Page = Page {
    offset: 0,
    limit: 1000,
};

pub(crate) fn at(ms: i64) -> Timestamp {
    Timestamp::from_epoch_ms(ms)
}

/// A first version, written at 1000.
pub(crate) fn realm(id: &str) -> RealmRow {
    RealmRow {
        id: id.to_owned(),
        config: None,
        logic_code: None,
        comment: None,
        version: 1,
        revision: 1,
        created_at: at(1000),
        updated_at: at(1000),
        changed_at: at(1000),
        deleted_at: None,
    }
}

/// A first version with two credentials, written at 1000.
pub(crate) fn secret(realm: &str, key: &str) -> SecretRow {
    SecretRow {
        id: SecretId::new(realm, key),
        content: credentials(&[("key_1", "wx0123456789"), ("key_2", "hush")]),
        next: None,
        pushed: Credentials::default(),
        pushed_version: 0,
        version: 1,
        revision: 1,
        created_at: at(1000),
        updated_at: at(1000),
        changed_at: at(1000),
        deleted_at: None,
    }
}

pub(crate) fn credentials(values: &[(&str, &str)]) -> SecretContent {
    SecretContent {
        credentials: values.iter().copied().collect(),
        fixed: None,
    }
}

/// A token that lives from 1000 until 8000, committed at 2000.
pub(crate) fn commit(text: &str, version: i64) -> Commit {
    Commit {
        token: StoredToken {
            text: TokenText::from(text),
            life: Life {
                obtained_at: at(1000),
                expires_at: Some(at(8000)),
            },
            realm_version: 3,
            secret_version: 4,
            outputs: Outputs::default(),
        },
        version,
        due_at: Some(at(6000)),
        was_asked: true,
        repeat_count: 0,
        is_foreign: false,
        previous: None,
        at: at(2000),
    }
}

/// A provider's refusal at 1500, to be tried again at 2500.
pub(crate) fn refusal() -> RecordedFailure {
    RecordedFailure {
        at: at(1500),
        urgent_attempt_at: at(0),
        next_attempt_at: at(2500),
        realm_version: 3,
        secret_version: 4,
        settings_fingerprint: 5,
        count: 1,
        failure: Failure {
            is_throttled: false,
            kind: FailureKind::Config,
            detail: "the provider refused".to_owned(),
            provider: ProviderSays {
                code: Some("40164".to_owned()),
                message: Some("invalid ip, hint: [爱] \"'\\".to_owned()),
            },
            retry_after: None,
            is_response: false,
            is_unsent: false,
            is_of_base: false,
        },
    }
}
