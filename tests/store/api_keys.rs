//! API key rows: written once, changed by revision, followed by time, listed while they are live.

use std::net::IpAddr;

use token_server::api_key::{ApiKeyId, KeyHash, Role, Scopes};
use token_server::store::{ApiKeyRow, LastUse};

use crate::databases::Instances;
use crate::rows::at;

crate::on_every_store!(
    an_api_key_reads_back_as_it_was_written,
    an_api_key_of_a_taken_id_is_not_inserted,
    an_update_of_an_api_key_under_a_stale_revision_changes_nothing,
    a_revoked_api_key_is_followed_but_not_listed,
    the_last_use_of_an_api_key_goes_forward_and_is_no_change,
);

fn id(digit: char) -> ApiKeyId {
    ApiKeyId::read(&digit.to_string().repeat(11)).unwrap()
}

fn plain(digit: char) -> ApiKeyRow {
    ApiKeyRow {
        id: id(digit),
        hash: KeyHash::of(b"first"),
        previous: None,
        certificate: None,
        role: Role::Admin,
        scopes: Scopes::All,
        note: None,
        rate: None,
        created_at: at(1000),
        expires_at: None,
        disabled_at: None,
        last_used: None,
        revision: 1,
        changed_at: at(1000),
        deleted_at: None,
    }
}

fn full(digit: char) -> ApiKeyRow {
    let scopes = ["wx*:*", "wecom:键:1"].map(|text| text.parse().unwrap());
    ApiKeyRow {
        hash: KeyHash::of(b"second"),
        previous: Some((KeyHash::of(b"first"), at(5000))),
        certificate: Some(KeyHash::of(b"certificate")),
        role: Role::App,
        scopes: Scopes::Only(scopes.into()),
        note: Some("账单 team's".to_owned()),
        rate: Some("100/s".parse().unwrap()),
        expires_at: Some(at(9000)),
        disabled_at: Some(at(3000)),
        revision: 2,
        changed_at: at(2000),
        ..plain(digit)
    }
}

async fn an_api_key_reads_back_as_it_was_written(store: Instances) {
    for row in [plain('a'), full('A'), full('1')] {
        assert_eq!(store.find_api_key(&row.id).await.unwrap(), None);
        assert!(store.insert_api_key(&row).await.unwrap());
        let found = store.find_api_key(&row.id).await.unwrap();
        assert_eq!(found, Some(row));
    }
    // Ids that differ in case only are two.
    assert_eq!(store.list_api_keys().await.unwrap().len(), 3);
}

async fn an_api_key_of_a_taken_id_is_not_inserted(store: Instances) {
    assert!(store.insert_api_key(&plain('a')).await.unwrap());
    assert!(!store.insert_api_key(&full('a')).await.unwrap());
    let found = store.find_api_key(&id('a')).await.unwrap();
    assert_eq!(found, Some(plain('a')));
}

async fn an_update_of_an_api_key_under_a_stale_revision_changes_nothing(store: Instances) {
    for row in [plain('a'), plain('b')] {
        assert!(store.insert_api_key(&row).await.unwrap());
    }
    assert!(!store.update_api_key(&full('a'), 2).await.unwrap());
    assert!(!store.update_api_key(&full('c'), 1).await.unwrap());
    assert!(store.update_api_key(&full('a'), 1).await.unwrap());
    let all = store.list_api_keys().await.unwrap();
    assert_eq!(all, [full('a'), plain('b')]);
    // Back to nothing.
    let back = ApiKeyRow {
        revision: 3,
        ..plain('a')
    };
    assert!(store.update_api_key(&back, 2).await.unwrap());
    assert_eq!(store.find_api_key(&id('a')).await.unwrap(), Some(back));
}

async fn a_revoked_api_key_is_followed_but_not_listed(store: Instances) {
    let old = ApiKeyRow {
        changed_at: at(500),
        ..plain('b')
    };
    for row in [&plain('a'), &old] {
        assert!(store.insert_api_key(row).await.unwrap());
    }
    let revoked = ApiKeyRow {
        deleted_at: Some(at(2000)),
        ..full('a')
    };
    assert!(store.update_api_key(&revoked, 1).await.unwrap());
    assert_eq!(store.list_api_keys().await.unwrap(), [old]);
    let changed = store.list_changed_api_keys(at(2000)).await.unwrap();
    assert_eq!(changed, [revoked]);
    assert_eq!(store.list_changed_api_keys(at(2001)).await.unwrap(), []);
}

async fn the_last_use_of_an_api_key_goes_forward_and_is_no_change(store: Instances) {
    assert!(store.insert_api_key(&plain('a')).await.unwrap());
    let used = |at_ms, from: [u8; 4]| LastUse {
        at: at(at_ms),
        from: Some(IpAddr::from(from)),
    };
    for (one, expected) in [
        (used(2000, [10, 0, 0, 1]), used(2000, [10, 0, 0, 1])),
        (used(1000, [10, 0, 0, 2]), used(2000, [10, 0, 0, 1])),
        (used(3000, [10, 0, 0, 3]), used(3000, [10, 0, 0, 3])),
    ] {
        store.note_api_key_use(&id('a'), one).await.unwrap();
        let found = store.find_api_key(&id('a')).await.unwrap().unwrap();
        assert_eq!(
            found,
            ApiKeyRow {
                last_used: Some(expected),
                ..plain('a')
            }
        );
    }
    // An update that knows of an earlier use does not bring it back.
    assert!(store.update_api_key(&full('a'), 1).await.unwrap());
    let found = store.find_api_key(&id('a')).await.unwrap().unwrap();
    assert_eq!(found.last_used, Some(used(3000, [10, 0, 0, 3])));
}
