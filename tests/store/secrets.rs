//! Secret rows: written once, changed by revision, deleted into tombstones, listed by realm and
//! key.

use token_server::clock::Timestamp;
use token_server::secret::{Credentials, SecretContent, SecretId};
use token_server::store::{NextCredentials, Page, SecretFilter, SecretOutline, SecretRow};

use crate::databases::Instances;
use crate::rows::{ALL, at, credentials, refusal, secret};

crate::on_every_store!(
    a_name_with_a_blank_behind_it_finds_nothing,
    a_secret_reads_back_as_it_was_written,
    an_insert_of_a_taken_name_answers_false_and_changes_nothing,
    an_update_writes_every_field_of_this_secret_alone,
    an_update_under_a_stale_revision_changes_nothing,
    an_update_that_changes_nothing_still_counts_as_written,
    an_update_of_a_secret_that_is_not_there_answers_false,
    a_deleted_secret_is_found_but_not_listed_and_keeps_its_name,
    secrets_are_deleted_by_name_or_by_realm_and_their_content_goes,
    secrets_are_listed_newest_first_and_by_name_where_that_is_the_same,
    secrets_are_paged_with_the_total_of_all_pages,
    secrets_are_listed_by_realm_and_key_to_the_letter,
    names_that_differ_in_case_or_accent_only_are_two_secrets,
    names_as_long_as_they_may_be_are_kept_whole,
    next_credentials_are_listed_when_they_are_due_and_go_with_their_secret,
);

/// Another content, later.
fn edited(row: &SecretRow, revision: i64, deleted_at: Option<Timestamp>) -> SecretRow {
    SecretRow {
        id: row.id.clone(),
        content: credentials(&[("corpid", "ww1"), ("corpsecret", "more hush")]),
        next: Some(NextCredentials {
            credentials: [("corpsecret", "the next hush")].into_iter().collect(),
            since: at(1_700_000_000_004),
            due_at: at(1_700_000_000_005),
            failure: Some(refusal()),
            failed_attempts: 2,
        }),
        pushed: Credentials::default(),
        pushed_version: 0,
        version: 2,
        revision,
        created_at: at(1_700_000_000_001),
        updated_at: at(1_700_000_000_002),
        changed_at: at(1_700_000_000_003),
        deleted_at,
    }
}

async fn next_credentials_are_listed_when_they_are_due_and_go_with_their_secret(store: Instances) {
    let waiting = |key, due_at| {
        let next = edited(&secret("r", key), 1, None)
            .next
            .map(|next| NextCredentials {
                due_at: at(due_at),
                ..next
            });
        SecretRow {
            next,
            ..secret("r", key)
        }
    };
    for row in [
        waiting("later", 3000),
        waiting("b", 2000),
        waiting("a", 1000),
        secret("r", "none"),
    ] {
        assert!(store.insert_secret(&row).await.unwrap());
    }
    let due = async |by, most| {
        let due = store.list_next_due(at(by), most).await.unwrap();
        due.into_iter().map(|id| id.key).collect::<Vec<_>>()
    };
    assert_eq!(due(999, 10).await, [""; 0]);
    assert_eq!(due(2000, 10).await, ["a", "b"]);
    assert_eq!(due(9000, 2).await, ["a", "b"]);
    let dropped = SecretRow {
        next: None,
        revision: 2,
        ..secret("r", "a")
    };
    assert!(store.update_secret(&dropped, 1).await.unwrap());
    assert_eq!(due(9000, 10).await, ["b", "later"]);
    assert_eq!(store.delete_secrets("r", None, at(5000)).await.unwrap(), 4);
    assert_eq!(due(9000, 10).await, [""; 0]);
    let deleted = store
        .find_secret(&SecretId::new("r", "b"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(deleted.next, None);
}

async fn a_secret_reads_back_as_it_was_written(store: Instances) {
    let row = edited(&secret("wxgzh", "app"), 3, Some(at(5000)));
    assert!(store.insert_secret(&row).await.unwrap());
    assert_eq!(
        store.find_secret(&row.id).await.unwrap().as_ref(),
        Some(&row)
    );
    for (realm, key) in [("wxgzh", "other"), ("other", "app"), ("app", "wxgzh")] {
        assert_eq!(
            store.find_secret(&SecretId::new(realm, key)).await.unwrap(),
            None
        );
    }
}

async fn an_insert_of_a_taken_name_answers_false_and_changes_nothing(store: Instances) {
    let live = secret("wxgzh", "live");
    let dead = SecretRow {
        deleted_at: Some(at(1000)),
        ..secret("wxgzh", "dead")
    };
    for row in [live, dead] {
        assert!(store.insert_secret(&row).await.unwrap());
        assert!(!store.insert_secret(&edited(&row, 2, None)).await.unwrap());
        assert_eq!(store.find_secret(&row.id).await.unwrap(), Some(row));
    }
}

async fn an_update_writes_every_field_of_this_secret_alone(store: Instances) {
    let [row, same_key, same_realm] = [secret("a", "x"), secret("b", "x"), secret("a", "y")];
    for row in [&row, &same_key, &same_realm] {
        store.insert_secret(row).await.unwrap();
    }
    let deleted = edited(&row, 2, Some(at(5000)));
    assert!(store.update_secret(&deleted, 1).await.unwrap());
    assert_eq!(store.find_secret(&row.id).await.unwrap(), Some(deleted));
    let revived = edited(&row, 3, None);
    assert!(store.update_secret(&revived, 2).await.unwrap());
    assert_eq!(store.find_secret(&row.id).await.unwrap(), Some(revived));
    for row in [same_key, same_realm] {
        assert_eq!(store.find_secret(&row.id).await.unwrap(), Some(row));
    }
}

async fn an_update_under_a_stale_revision_changes_nothing(store: Instances) {
    let row = SecretRow {
        revision: 5,
        ..secret("wxgzh", "app")
    };
    store.insert_secret(&row).await.unwrap();
    for stale in [4, 6] {
        assert!(
            !store
                .update_secret(&edited(&row, 6, None), stale)
                .await
                .unwrap()
        );
    }
    assert_eq!(store.find_secret(&row.id).await.unwrap(), Some(row));
}

async fn an_update_that_changes_nothing_still_counts_as_written(store: Instances) {
    let row = secret("wxgzh", "app");
    store.insert_secret(&row).await.unwrap();
    assert!(store.update_secret(&row, 1).await.unwrap());
}

async fn an_update_of_a_secret_that_is_not_there_answers_false(store: Instances) {
    let row = secret("wxgzh", "app");
    assert!(!store.update_secret(&row, 1).await.unwrap());
    assert_eq!(store.find_secret(&row.id).await.unwrap(), None);
}

async fn a_deleted_secret_is_found_but_not_listed_and_keeps_its_name(store: Instances) {
    let [kept, gone] = [secret("wxgzh", "kept"), secret("wxgzh", "gone")];
    store.insert_secret(&kept).await.unwrap();
    store.insert_secret(&gone).await.unwrap();
    let tombstone = edited(&gone, 2, Some(at(2000)));
    assert!(store.update_secret(&tombstone, 1).await.unwrap());
    assert_eq!(store.find_secret(&gone.id).await.unwrap(), Some(tombstone));
    assert_eq!(
        names(&store, None, None, ALL).await,
        (vec!["wxgzh/kept".to_owned()], 1)
    );
    assert_eq!(
        names(&store, Some("wxgzh"), Some("gone"), ALL).await,
        (Vec::new(), 0)
    );
    assert!(!store.insert_secret(&gone).await.unwrap());
}

async fn secrets_are_deleted_by_name_or_by_realm_and_their_content_goes(store: Instances) {
    for (realm, key) in [("a", "x"), ("a", "y"), ("a", "z"), ("A", "x"), ("b", "x")] {
        assert!(store.insert_secret(&secret(realm, key)).await.unwrap());
    }
    let tombstone = |key| SecretRow {
        content: SecretContent::default(),
        pushed_version: 1,
        version: 2,
        revision: 2,
        updated_at: at(3000),
        changed_at: at(3000),
        deleted_at: Some(at(3000)),
        ..secret("a", key)
    };
    assert_eq!(
        store
            .delete_secrets("a", Some("x"), at(3000))
            .await
            .unwrap(),
        1
    );
    assert_eq!(
        store
            .delete_secrets("a", Some("x"), at(4000))
            .await
            .unwrap(),
        0,
        "it is deleted already"
    );
    assert_eq!(
        store
            .delete_secrets("a", Some("other"), at(3000))
            .await
            .unwrap(),
        0
    );
    assert_eq!(
        store.find_secret(&SecretId::new("a", "y")).await.unwrap(),
        Some(secret("a", "y"))
    );
    assert_eq!(store.delete_secrets("a", None, at(3000)).await.unwrap(), 2);
    for key in ["x", "y", "z"] {
        assert_eq!(
            store.find_secret(&SecretId::new("a", key)).await.unwrap(),
            Some(tombstone(key))
        );
    }
    assert_eq!(
        names(&store, None, None, ALL).await,
        (vec!["A/x".to_owned(), "b/x".to_owned()], 2)
    );
}

/// The names of a page.
async fn names(
    store: &Instances,
    realm: Option<&str>,
    key: Option<&str>,
    page: Page,
) -> (Vec<String>, u64) {
    let filter = SecretFilter {
        realm: realm.map(str::to_owned),
        key: key.map(str::to_owned),
        ..SecretFilter::default()
    };
    let listed = store.list_secrets(&filter, page).await.unwrap();
    for outline in &listed.items {
        let row = store.find_secret(&outline.id).await.unwrap().unwrap();
        assert_eq!(*outline, SecretOutline::from(&row));
    }
    (
        listed.items.iter().map(|row| row.id.to_string()).collect(),
        listed.total,
    )
}

async fn secrets_are_listed_newest_first_and_by_name_where_that_is_the_same(store: Instances) {
    for (realm, key, updated_at) in [
        ("b", "a", 2000),
        ("a", "b", 2000),
        ("a", "ä", 2000),
        ("a", "B", 2000),
        ("a-1", "a", 2000),
        ("B", "z", 2000),
        ("a", "a", 1000),
        ("z", "z", 3000),
    ] {
        let row = SecretRow {
            updated_at: at(updated_at),
            ..secret(realm, key)
        };
        store.insert_secret(&row).await.unwrap();
    }
    let expected = ["z/z", "B/z", "a/B", "a/b", "a/ä", "a-1/a", "b/a", "a/a"];
    assert_eq!(
        names(&store, None, None, ALL).await,
        (expected.map(str::to_owned).to_vec(), 8)
    );
}

async fn secrets_are_paged_with_the_total_of_all_pages(store: Instances) {
    for number in 0..7 {
        store
            .insert_secret(&secret("r", &number.to_string()))
            .await
            .unwrap();
        store
            .insert_secret(&secret("s", &number.to_string()))
            .await
            .unwrap();
    }
    for (offset, limit, expected) in [
        (0, 3, &["r/0", "r/1", "r/2"][..]),
        (3, 3, &["r/3", "r/4", "r/5"]),
        (6, 3, &["r/6"]),
        (7, 3, &[]),
        (2, 0, &[]),
    ] {
        let expected = expected.iter().map(|&name| name.to_owned()).collect();
        let page = names(&store, Some("r"), None, Page { offset, limit }).await;
        assert_eq!(page, (expected, 7), "from {offset}");
    }
}

async fn secrets_are_listed_by_realm_and_key_to_the_letter(store: Instances) {
    for (realm, key) in [
        ("wechat", "app"),
        ("wechat", "App"),
        ("WeChat", "app"),
        ("100%", "a_p"),
        ("r", "'"),
    ] {
        store.insert_secret(&secret(realm, key)).await.unwrap();
    }
    for (realm, key, expected) in [
        (Some("wechat"), None, &["wechat/App", "wechat/app"][..]),
        (Some("WeChat"), None, &["WeChat/app"]),
        (Some("WECHAT"), None, &[]),
        (None, Some("app"), &["WeChat/app", "wechat/app"]),
        (Some("wechat"), Some("app"), &["wechat/app"]),
        (Some("wechat"), Some("APP"), &[]),
        (Some("100%"), None, &["100%/a_p"]),
        (Some("%"), None, &[]),
        (None, Some("a_p"), &["100%/a_p"]),
        (None, Some("'"), &["r/'"]),
        (Some(""), None, &[]),
    ] {
        let expected: Vec<_> = expected.iter().map(|&name| name.to_owned()).collect();
        let total = expected.len() as u64;
        assert_eq!(
            names(&store, realm, key, ALL).await,
            (expected, total),
            "{realm:?} {key:?}"
        );
    }
}

async fn names_that_differ_in_case_or_accent_only_are_two_secrets(store: Instances) {
    let all = [
        "WeChat", "wechat", "Ä", "ä", "A", "a", "ß", "ss", "é", "e\u{301}", "🙂", "🙃", "中",
        "中 中",
    ];
    for (version, key) in (1..).zip(all) {
        let row = SecretRow {
            version,
            ..secret("r", key)
        };
        assert!(store.insert_secret(&row).await.unwrap(), "{key}");
        let lease = store
            .claim_lease(&row.id, "one", at(1000), at(1000 + version))
            .await
            .unwrap();
        assert_eq!(lease.unwrap().epoch, 1, "{key}");
    }
    for (version, key) in (1..).zip(all) {
        let id = SecretId::new("r", key);
        assert_eq!(
            store.find_secret(&id).await.unwrap().unwrap().version,
            version,
            "{key}"
        );
        assert_eq!(
            store.find_token(&id).await.unwrap().unwrap().lease_until,
            at(1000 + version),
            "{key}"
        );
    }
}

async fn names_as_long_as_they_may_be_are_kept_whole(store: Instances) {
    let row = secret(&"🙂".repeat(50), &"中".repeat(200));
    assert!(store.insert_secret(&row).await.unwrap());
    assert_eq!(
        store.find_secret(&row.id).await.unwrap().as_ref(),
        Some(&row)
    );
    assert!(
        store
            .claim_lease(&row.id, &"o".repeat(100), at(1), at(2))
            .await
            .unwrap()
            .is_some()
    );
}

/// MySQL compares names as if blanks behind them were not there.
async fn a_name_with_a_blank_behind_it_finds_nothing(store: Instances) {
    store.insert_realm(&crate::rows::realm("r")).await.unwrap();
    store.insert_secret(&secret("r", "k")).await.unwrap();
    store
        .claim_lease(&SecretId::new("r", "k"), "one", at(1), at(2))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(store.find_realm("r ").await.unwrap(), None);
    for (realm, key) in [("r ", "k"), ("r", "k "), ("r", "k\u{a0}"), (" r", "k")] {
        let id = SecretId::new(realm, key);
        assert_eq!(store.find_secret(&id).await.unwrap(), None, "{id:?}");
        assert_eq!(store.find_token(&id).await.unwrap(), None, "{id:?}");
    }
}
