//! Realm rows: written once, changed by revision, deleted into tombstones, listed.

use token_server::store::{Page, RealmFilter, RealmRow};

use crate::databases::Instances;
use crate::rows::{ALL, at, realm};

crate::on_every_store!(
    a_realm_reads_back_as_it_was_written,
    a_config_of_200_kib_keeps_its_members_in_the_authors_order,
    an_insert_of_a_taken_id_answers_false_and_changes_nothing,
    an_update_writes_every_field,
    an_update_under_a_stale_revision_changes_nothing,
    an_update_that_changes_nothing_still_counts_as_written,
    an_update_of_a_realm_that_is_not_there_answers_false,
    a_deleted_realm_is_found_but_not_listed_and_keeps_its_id,
    realms_are_listed_newest_first_and_by_id_where_that_is_the_same,
    realms_are_paged_with_the_total_of_all_pages,
    ids_that_differ_in_case_or_accent_only_are_two_realms,
    only_realms_of_its_scopes_are_listed,
);

fn full(id: &str) -> RealmRow {
    RealmRow {
        config: Some(r#"{"mode":"same","url":"https://api.example.com/cgi-bin/token"}"#.to_owned()),
        logic_code: Some("https://function.example.com/a?b=c".to_owned()),
        comment: Some("公众号 'quoted' \"too\"\nsecond line\t\\ 🙂".to_owned()),
        version: 7,
        revision: 9,
        created_at: at(1_700_000_000_001),
        updated_at: at(1_700_000_000_002),
        changed_at: at(1_700_000_000_003),
        deleted_at: None,
        ..realm(id)
    }
}

async fn a_realm_reads_back_as_it_was_written(store: Instances) {
    let bare = realm("bare");
    let empty = RealmRow {
        comment: Some(String::new()),
        ..realm("empty")
    };
    for row in [&full("full"), &bare, &empty] {
        assert!(store.insert_realm(row).await.unwrap());
        assert_eq!(store.find_realm(&row.id).await.unwrap().as_ref(), Some(row));
    }
    assert_eq!(store.find_realm("other").await.unwrap(), None);
}

async fn a_config_of_200_kib_keeps_its_members_in_the_authors_order(store: Instances) {
    let members: Vec<String> = (0..2000)
        .rev()
        .map(|n| format!("\"z{n}\":\"{}\"", "é".repeat(50)))
        .collect();
    let config = format!("{{ \"b\":1,  \"a\":2, {} }}", members.join(","));
    assert!(config.len() > 200 * 1024);
    let row = RealmRow {
        config: Some(config),
        ..realm("large")
    };
    assert!(store.insert_realm(&row).await.unwrap());
    assert_eq!(store.find_realm("large").await.unwrap(), Some(row));
}

async fn an_insert_of_a_taken_id_answers_false_and_changes_nothing(store: Instances) {
    let live = realm("live");
    let dead = RealmRow {
        deleted_at: Some(at(1000)),
        ..realm("dead")
    };
    for row in [live, dead] {
        assert!(store.insert_realm(&row).await.unwrap());
        assert!(!store.insert_realm(&full(&row.id)).await.unwrap());
        assert_eq!(store.find_realm(&row.id).await.unwrap(), Some(row));
    }
}

async fn an_update_writes_every_field(store: Instances) {
    store.insert_realm(&full("other")).await.unwrap();
    store
        .insert_realm(&RealmRow {
            revision: 8,
            ..realm("x")
        })
        .await
        .unwrap();
    let deleted = RealmRow {
        deleted_at: Some(at(5000)),
        ..full("x")
    };
    assert!(store.update_realm(&deleted, 8).await.unwrap());
    assert_eq!(store.find_realm("x").await.unwrap(), Some(deleted));
    let cleared = RealmRow {
        revision: 10,
        ..realm("x")
    };
    assert!(store.update_realm(&cleared, 9).await.unwrap());
    assert_eq!(store.find_realm("x").await.unwrap(), Some(cleared));
    assert_eq!(
        store.find_realm("other").await.unwrap(),
        Some(full("other"))
    );
}

async fn an_update_under_a_stale_revision_changes_nothing(store: Instances) {
    let row = RealmRow {
        revision: 5,
        ..realm("x")
    };
    store.insert_realm(&row).await.unwrap();
    for stale in [4, 6] {
        assert!(!store.update_realm(&full("x"), stale).await.unwrap());
    }
    assert_eq!(store.find_realm("x").await.unwrap(), Some(row));
}

async fn an_update_that_changes_nothing_still_counts_as_written(store: Instances) {
    store.insert_realm(&full("x")).await.unwrap();
    assert!(store.update_realm(&full("x"), 9).await.unwrap());
}

async fn an_update_of_a_realm_that_is_not_there_answers_false(store: Instances) {
    assert!(!store.update_realm(&full("x"), 9).await.unwrap());
    assert_eq!(store.find_realm("x").await.unwrap(), None);
}

async fn a_deleted_realm_is_found_but_not_listed_and_keeps_its_id(store: Instances) {
    store.insert_realm(&realm("kept")).await.unwrap();
    store.insert_realm(&full("gone")).await.unwrap();
    let gone = RealmRow {
        revision: 10,
        deleted_at: Some(at(2000)),
        ..full("gone")
    };
    assert!(store.update_realm(&gone, 9).await.unwrap());
    assert_eq!(store.find_realm("gone").await.unwrap(), Some(gone));
    for keyword in [None, Some("gone"), Some("公众号")] {
        let listed = store.list_realms(&about(keyword), ALL).await.unwrap();
        assert!(
            listed.items.iter().all(|row| row.id == "kept"),
            "{keyword:?}"
        );
        assert_eq!(listed.total, listed.items.len() as u64, "{keyword:?}");
    }
    assert!(!store.insert_realm(&realm("gone")).await.unwrap());
}

fn about(keyword: Option<&str>) -> RealmFilter {
    RealmFilter {
        keyword: keyword.map(str::to_owned),
        ..RealmFilter::default()
    }
}

async fn only_realms_of_its_scopes_are_listed(store: Instances) {
    for id in ["wxgzh", "Wxgzh", "wecom"] {
        assert!(store.insert_realm(&realm(id)).await.unwrap());
    }
    for (scopes, expected) in [
        (&["wx*:any"][..], &["wxgzh"][..]),
        (&["we*:a", "W*:*"], &["Wxgzh", "wecom"]),
        (&["w_gzh:*"], &[]),
        (&[], &[]),
    ] {
        let filter = RealmFilter {
            scopes: crate::scopes(scopes),
            ..RealmFilter::default()
        };
        let listed = store.list_realms(&filter, ALL).await.unwrap();
        let mut ids: Vec<_> = listed.items.into_iter().map(|row| row.id).collect();
        ids.sort();
        assert_eq!(ids, expected, "{scopes:?}");
        assert_eq!(listed.total, expected.len() as u64, "{scopes:?}");
    }
}

/// The ids of a page.
async fn ids(store: &Instances, page: Page) -> (Vec<String>, u64) {
    let listed = store.list_realms(&about(None), page).await.unwrap();
    (
        listed.items.into_iter().map(|row| row.id).collect(),
        listed.total,
    )
}

async fn realms_are_listed_newest_first_and_by_id_where_that_is_the_same(store: Instances) {
    for (id, updated_at) in [
        ("b", 2000),
        ("a", 2000),
        ("B", 2000),
        ("中", 2000),
        ("ä", 2000),
        ("z-1", 2000),
        ("z", 2000),
    ] {
        store
            .insert_realm(&RealmRow {
                updated_at: at(updated_at),
                ..realm(id)
            })
            .await
            .unwrap();
    }
    for (id, updated_at) in [("old", 1000), ("new", 3000)] {
        store
            .insert_realm(&RealmRow {
                updated_at: at(updated_at),
                ..realm(id)
            })
            .await
            .unwrap();
    }
    let expected = ["new", "B", "a", "b", "z", "z-1", "ä", "中", "old"];
    assert_eq!(
        ids(&store, ALL).await,
        (expected.map(str::to_owned).to_vec(), 9)
    );
}

async fn realms_are_paged_with_the_total_of_all_pages(store: Instances) {
    for number in 0..7 {
        store
            .insert_realm(&realm(&format!("r{number}")))
            .await
            .unwrap();
    }
    for (offset, limit, expected) in [
        (0, 3, &["r0", "r1", "r2"][..]),
        (3, 3, &["r3", "r4", "r5"]),
        (6, 3, &["r6"]),
        (7, 3, &[]),
        (1000, 3, &[]),
        (2, 0, &[]),
    ] {
        let expected = expected.iter().map(|&id| id.to_owned()).collect();
        assert_eq!(
            ids(&store, Page { offset, limit }).await,
            (expected, 7),
            "from {offset}"
        );
    }
}

async fn ids_that_differ_in_case_or_accent_only_are_two_realms(store: Instances) {
    // The last two look alike: one code point, and a letter with a combining accent.
    let all = [
        "WeChat", "wechat", "Ä", "ä", "a", "ß", "ss", "é", "e\u{301}",
    ];
    for (number, id) in (1..).zip(all) {
        assert!(
            store
                .insert_realm(&RealmRow {
                    version: number,
                    ..realm(id)
                })
                .await
                .unwrap(),
            "{id}"
        );
    }
    for (number, id) in (1..).zip(all) {
        assert_eq!(
            store.find_realm(id).await.unwrap().unwrap().version,
            number,
            "{id}"
        );
    }
    assert_eq!(store.find_realm("WECHAT").await.unwrap(), None);
}
