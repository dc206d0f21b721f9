//! Names that cannot be there: no answer to a caller's question may be an error, or another one's
//! row.

use token_server::secret::SecretId;
use token_server::store::{CallFilter, CallRow, SecretFilter};

use crate::calls::call;
use crate::databases::Instances;
use crate::rows::{ALL, at, commit, realm, secret};

crate::on_every_store!(
    a_nul_is_found_nowhere_and_is_no_failure,
    a_name_with_a_blank_after_it_is_not_the_name_without,
);

/// Realm `wxgzh` and secret `app` with a token and its call.
async fn insert(store: &Instances) {
    assert!(store.insert_realm(&realm("wxgzh")).await.unwrap());
    let row = secret("wxgzh", "app");
    assert!(store.insert_secret(&row).await.unwrap());
    let lease = store
        .claim_lease(&row.id, "one", at(1), at(2))
        .await
        .unwrap()
        .unwrap();
    assert!(store.commit_token(&lease, &commit("t", 1)).await.unwrap());
    store
        .insert_call(&CallRow {
            secret: row.id,
            ..call(1, "", 1)
        })
        .await
        .unwrap();
}

/// Asks for a secret by a name that nothing has, and tries to delete it; the one that is there
/// stays as it is.
async fn assert_is_nowhere(store: &Instances, realm: &str, key: &str) {
    let id = SecretId::new(realm, key);
    assert_eq!(store.find_secret(&id).await.unwrap(), None, "{id:?}");
    assert_eq!(store.find_token(&id).await.unwrap(), None, "{id:?}");
    let filter = SecretFilter {
        realm: Some(realm.to_owned()),
        key: Some(key.to_owned()),
        ..SecretFilter::default()
    };
    let listed = store.list_secrets(&filter, ALL).await.unwrap();
    assert_eq!((listed.total, listed.items.len()), (0, 0), "{id:?}");
    let filter = CallFilter {
        realm: filter.realm,
        key: filter.key,
        ..CallFilter::default()
    };
    assert_eq!(
        store.list_calls(&filter, ALL).await.unwrap().total,
        0,
        "{id:?}"
    );
    store.retire_tokens(realm, Some(key), at(3)).await.unwrap();
    assert_eq!(
        store.delete_secrets(realm, Some(key), at(3)).await.unwrap(),
        0,
        "{id:?}"
    );
    if realm != "wxgzh" {
        assert_eq!(store.find_realm(realm).await.unwrap(), None, "{id:?}");
        store.retire_tokens(realm, None, at(3)).await.unwrap();
        assert_eq!(
            store.delete_secrets(realm, None, at(3)).await.unwrap(),
            0,
            "{id:?}"
        );
    }
    let there = secret("wxgzh", "app");
    assert_eq!(
        store.find_secret(&there.id).await.unwrap().as_ref(),
        Some(&there),
        "{id:?}"
    );
    assert!(
        store
            .find_token(&there.id)
            .await
            .unwrap()
            .unwrap()
            .token
            .is_some(),
        "{id:?}"
    );
}

/// PostgreSQL refuses the sign in any text.
async fn a_nul_is_found_nowhere_and_is_no_failure(store: Instances) {
    insert(&store).await;
    for (realm, key) in [
        ("wxgzh\0", "app"),
        ("wxgzh", "app\0"),
        ("wxgzh\0app", "app"),
        ("\0", "\0"),
    ] {
        assert_is_nowhere(&store, realm, key).await;
    }
}

/// To MySQL it is.
async fn a_name_with_a_blank_after_it_is_not_the_name_without(store: Instances) {
    insert(&store).await;
    for (realm, key) in [
        ("wxgzh ", "app"),
        ("wxgzh", "app "),
        ("wxgzh  ", "app  "),
        (" wxgzh", " app"),
    ] {
        assert_is_nowhere(&store, realm, key).await;
    }
}
