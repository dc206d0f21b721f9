//! What is in a secret and in a token comes back as it was.

use token_server::clock::Timestamp;
use token_server::secret::{FixedToken, SecretContent};
use token_server::store::SecretRow;
use token_server::token::TokenText;

use crate::databases::Instances;
use crate::rows::{at, commit, credentials, secret};

crate::on_every_store!(
    credentials_come_back_as_they_were,
    a_fixed_token_comes_back_with_and_without_an_expiry,
    a_token_of_64_kib_comes_back,
);

async fn assert_comes_back(store: &Instances, name: &str, content: SecretContent) {
    let row = SecretRow {
        content,
        ..secret("r", name)
    };
    assert!(store.insert_secret(&row).await.unwrap(), "{name}");
    assert_eq!(
        store.find_secret(&row.id).await.unwrap(),
        Some(row),
        "{name}"
    );
}

async fn credentials_come_back_as_they_were(store: Instances) {
    let large = "k".repeat(64 * 1024);
    let pem = "-----BEGIN PRIVATE KEY-----\nMIIEvQ+/=\r\n-----END PRIVATE KEY-----\n";
    for (name, values) in [
        ("none", &[][..]),
        ("empty", &[("key_1", "")]),
        (
            "named",
            &[
                ("corpid", "ww1"),
                ("corpsecret", "hush"),
                ("key_10", "x"),
                ("名", "值🙂"),
            ],
        ),
        (
            "signs",
            &[("key_1", "\"'\\\0\u{1}%_!\u{fffd}"), ("key_2", pem)],
        ),
        ("64 KiB", &[("key_1", &large)]),
    ] {
        assert_comes_back(&store, name, credentials(values)).await;
    }
}

async fn a_fixed_token_comes_back_with_and_without_an_expiry(store: Instances) {
    let fixed = |expires_at: Option<Timestamp>| {
        Some(FixedToken {
            token: TokenText::from("gh🙂p_hush"),
            expires_at,
        })
    };
    let pair = credentials(&[("key_1", "a")]).credentials;
    for (name, content) in [
        (
            "never",
            SecretContent {
                credentials: pair.clone(),
                fixed: fixed(None),
            },
        ),
        (
            "expires",
            SecretContent {
                credentials: pair,
                fixed: fixed(Some(at(1_900_000_000_007))),
            },
        ),
        (
            "alone",
            SecretContent {
                fixed: fixed(Some(at(0))),
                ..SecretContent::default()
            },
        ),
    ] {
        assert_comes_back(&store, name, content).await;
    }
}

async fn a_token_of_64_kib_comes_back(store: Instances) {
    let id = secret("r", "k").id;
    let lease = store
        .claim_lease(&id, "one", at(1000), at(2000))
        .await
        .unwrap()
        .unwrap();
    let commit = commit(&"é🙂t".repeat(64 * 1024 / 7 + 1), 1);
    assert!(store.commit_token(&lease, &commit).await.unwrap());
    assert_eq!(
        store.find_token(&id).await.unwrap().unwrap().token,
        Some(commit.token)
    );
}
