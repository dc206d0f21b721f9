//! What instances see of each other, what is forgotten, and the clock they share.

use token_server::clock::{Clock as _, MachineClock};
use token_server::secret::SecretId;
use token_server::store::{Changes, Commit, RealmFilter, RealmRow, SecretRow};

use crate::databases::Instances;
use crate::rows::{ALL, at, commit, realm, secret};

crate::on_every_store!(
    changes_are_those_at_or_after_the_stamp,
    an_edit_is_seen_by_the_stamp_of_its_last_change,
    a_commit_and_a_retirement_are_seen_and_a_held_lease_is_not,
    how_secrets_stand_is_told_whenever_they_changed,
    only_old_tombstones_are_removed,
    the_counters_of_a_token_outlive_its_tombstone,
    the_stores_clock_is_about_the_machines,
);

async fn changes(store: &Instances, since: i64) -> Changes {
    let mut changes = store.list_changes(at(since)).await.unwrap();
    changes.realms.sort();
    changes.secrets.sort();
    changes.tokens.sort();
    changes
}

fn name(key: &str) -> SecretId {
    SecretId::new("r", key)
}

async fn changes_are_those_at_or_after_the_stamp(store: Instances) {
    let far = at(9000);
    for (text, changed_at, deleted_at) in [
        ("a", 1999, None),
        ("b", 2000, None),
        ("c", 2001, Some(at(1))),
        ("d", 1999, Some(at(9000))),
    ] {
        // The other stamps must not matter.
        let row = RealmRow {
            version: 7,
            changed_at: at(changed_at),
            updated_at: far,
            deleted_at,
            ..realm(text)
        };
        store.insert_realm(&row).await.unwrap();
        let row = secret("r", text);
        let row = SecretRow {
            version: 8,
            changed_at: at(changed_at),
            created_at: far,
            deleted_at,
            ..row
        };
        store.insert_secret(&row).await.unwrap();
        let lease = store
            .claim_lease(&row.id, "one", at(1), at(9000))
            .await
            .unwrap()
            .unwrap();
        let commit = Commit {
            version: 9,
            at: at(changed_at),
            ..commit("t", 9)
        };
        assert!(store.commit_token(&lease, &commit).await.unwrap());
    }
    let expected = Changes {
        realms: vec![("b".to_owned(), Some(7)), ("c".to_owned(), None)],
        secrets: vec![(name("b"), Some(8)), (name("c"), None)],
        tokens: vec![(name("b"), Some(9)), (name("c"), Some(9))],
    };
    assert_eq!(changes(&store, 2000).await, expected);
    assert_eq!(changes(&store, 2002).await, Changes::default());
    assert_eq!(changes(&store, 0).await.realms.len(), 4);
}

async fn an_edit_is_seen_by_the_stamp_of_its_last_change(store: Instances) {
    store.insert_realm(&realm("r")).await.unwrap();
    store.insert_secret(&secret("r", "k")).await.unwrap();
    assert_eq!(changes(&store, 1001).await, Changes::default());
    let edited = RealmRow {
        version: 2,
        revision: 2,
        changed_at: at(3000),
        ..realm("r")
    };
    assert!(store.update_realm(&edited, 1).await.unwrap());
    let deleted = SecretRow {
        revision: 2,
        changed_at: at(3000),
        deleted_at: Some(at(3000)),
        ..secret("r", "k")
    };
    assert!(store.update_secret(&deleted, 1).await.unwrap());
    let expected = Changes {
        realms: vec![("r".to_owned(), Some(2))],
        secrets: vec![(name("k"), None)],
        tokens: Vec::new(),
    };
    assert_eq!(changes(&store, 3000).await, expected);
}

async fn a_commit_and_a_retirement_are_seen_and_a_held_lease_is_not(store: Instances) {
    let id = name("k");
    let tokens = async |since| changes(&store, since).await.tokens;
    let lease = store
        .claim_lease(&id, "one", at(1000), at(2000))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(tokens(1001).await, []);
    assert!(
        store
            .commit_token(
                &lease,
                &Commit {
                    at: at(1500),
                    ..commit("t", 1)
                }
            )
            .await
            .unwrap()
    );
    assert_eq!(tokens(1500).await, [(id.clone(), Some(1))]);
    store
        .claim_lease(&id, "two", at(1600), at(2600))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(tokens(1501).await, []);
    store
        .retire_tokens(&id.realm, Some(&id.key), at(1700))
        .await
        .unwrap();
    assert_eq!(tokens(1700).await, [(id.clone(), None)]);
    assert_eq!(tokens(1701).await, []);
}

#[expect(
    clippy::too_many_lines,
    reason = "a table of cases, or one story from its beginning to its end"
)]
async fn how_secrets_stand_is_told_whenever_they_changed(store: Instances) {
    store
        .insert_realm(&RealmRow {
            version: 7,
            changed_at: at(1),
            ..realm("r")
        })
        .await
        .unwrap();
    store
        .insert_realm(&RealmRow {
            deleted_at: Some(at(1)),
            ..realm("gone")
        })
        .await
        .unwrap();
    let fetched = SecretRow {
        version: 5,
        changed_at: at(1),
        ..secret("r", "fetched")
    };
    for row in [
        fetched,
        secret("r", "new"),
        SecretRow {
            deleted_at: Some(at(1)),
            ..secret("r", "gone")
        },
    ] {
        store.insert_secret(&row).await.unwrap();
    }
    let lease = store
        .claim_lease(&name("fetched"), "one", at(1000), at(2000))
        .await
        .unwrap()
        .unwrap();
    assert!(
        store
            .commit_token(
                &lease,
                &Commit {
                    at: at(1),
                    ..commit("t", 9)
                }
            )
            .await
            .unwrap()
    );
    let ids = [
        name("fetched"),
        name("new"),
        name("gone"),
        name("never"),
        SecretId::new("gone", "fetched"),
    ];
    let mut current = store.list_current(&ids).await.unwrap();
    current.realms.sort();
    assert_eq!(
        current.realms,
        [("gone".to_owned(), None), ("r".to_owned(), Some(7))]
    );
    let versions = |all: &[(SecretId, Option<i64>)]| {
        ids.iter()
            .map(|id| all.iter().find(|(found, _)| found == id).unwrap().1)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        versions(&current.secrets),
        [Some(5), Some(1), None, None, None]
    );
    assert_eq!(versions(&current.tokens), [Some(9), None, None, None, None]);
    let many: Vec<_> = (0..1000).map(|number| name(&number.to_string())).collect();
    assert_eq!(store.list_current(&many).await.unwrap().secrets.len(), 1000);
    assert_eq!(store.list_current(&[]).await.unwrap(), Changes::default());
}

async fn only_old_tombstones_are_removed(store: Instances) {
    for (text, deleted_at) in [
        ("live", None),
        ("old", Some(at(1999))),
        ("young", Some(at(2000))),
        ("new", Some(at(5000))),
    ] {
        store
            .insert_realm(&RealmRow {
                deleted_at,
                ..realm(text)
            })
            .await
            .unwrap();
        store
            .insert_secret(&SecretRow {
                deleted_at,
                ..secret("r", text)
            })
            .await
            .unwrap();
    }
    assert_eq!(store.delete_tombstones(at(2000)).await.unwrap(), 2);
    for (text, is_there) in [
        ("live", true),
        ("old", false),
        ("young", true),
        ("new", true),
    ] {
        assert_eq!(
            store.find_realm(text).await.unwrap().is_some(),
            is_there,
            "{text}"
        );
        assert_eq!(
            store.find_secret(&name(text)).await.unwrap().is_some(),
            is_there,
            "{text}"
        );
    }
    assert_eq!(store.delete_tombstones(at(2000)).await.unwrap(), 0);
    assert!(
        store.insert_realm(&realm("old")).await.unwrap(),
        "its id is free again"
    );
    assert_eq!(
        store
            .list_realms(&RealmFilter::default(), ALL)
            .await
            .unwrap()
            .total,
        2
    );
}

async fn the_counters_of_a_token_outlive_its_tombstone(store: Instances) {
    let row = SecretRow {
        deleted_at: Some(at(1000)),
        ..secret("r", "k")
    };
    store.insert_secret(&row).await.unwrap();
    let first = store
        .claim_lease(&row.id, "one", at(1000), at(2000))
        .await
        .unwrap()
        .unwrap();
    assert!(store.commit_token(&first, &commit("t", 1)).await.unwrap());
    store
        .retire_tokens(&row.id.realm, Some(&row.id.key), at(1500))
        .await
        .unwrap();
    assert_eq!(store.delete_tombstones(at(2000)).await.unwrap(), 1);
    assert_eq!(store.find_token(&row.id).await.unwrap().unwrap().version, 1);
    let next = store
        .claim_lease(&row.id, "one", at(3000), at(4000))
        .await
        .unwrap()
        .unwrap();
    assert!(next.epoch > first.epoch);
}

async fn the_stores_clock_is_about_the_machines(store: Instances) {
    let before = MachineClock.now().epoch_ms();
    let shown = store.now().await.unwrap().epoch_ms();
    let after = MachineClock.now().epoch_ms();
    assert!(
        (before - 1000..=after + 1000).contains(&shown),
        "{before} <= {shown} <= {after}"
    );
}
