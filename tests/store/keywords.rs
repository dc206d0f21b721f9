//! The keyword of the realm list: anywhere in comment or id, whatever its case, no pattern.

use token_server::store::{RealmFilter, RealmRow};

use crate::databases::Instances;
use crate::rows::{ALL, realm};

crate::on_every_store!(
    a_keyword_is_looked_for_in_comment_and_id_whatever_its_case,
    signs_with_a_meaning_in_sql_are_taken_as_they_are,
    a_text_in_any_script_is_found_by_itself,
    a_nul_is_found_nowhere_and_is_no_failure,
    an_empty_keyword_finds_every_realm,
);

/// Realms by id and comment.
async fn insert(store: &Instances, realms: &[(&str, &str)]) {
    for &(id, comment) in realms {
        let row = RealmRow {
            comment: Some(comment.to_owned()),
            ..realm(id)
        };
        assert!(store.insert_realm(&row).await.unwrap(), "{id}");
    }
}

/// The ids found, in order; the total is theirs.
async fn found(store: &Instances, keyword: &str) -> Vec<String> {
    let filter = RealmFilter {
        keyword: Some(keyword.to_owned()),
        ..RealmFilter::default()
    };
    let listed = store.list_realms(&filter, ALL).await.unwrap();
    assert_eq!(listed.total, listed.items.len() as u64, "{keyword}");
    listed.items.into_iter().map(|row| row.id).collect()
}

async fn a_keyword_is_looked_for_in_comment_and_id_whatever_its_case(store: Instances) {
    store.insert_realm(&realm("no-comment")).await.unwrap();
    insert(
        &store,
        &[
            ("WxGzh", "Official Account"),
            ("wxqy", "WeCom"),
            ("oauth", "for WXGZH too"),
        ],
    )
    .await;
    for (keyword, expected) in [
        ("wxgzh", &["WxGzh", "oauth"][..]),
        ("WXGZH", &["WxGzh", "oauth"]),
        ("xq", &["wxqy"]),
        ("official acc", &["WxGzh"]),
        ("WECOM", &["wxqy"]),
        ("No-Comm", &["no-comment"]),
        ("nowhere", &[]),
        // Not over the border from one to the other.
        ("wecomwxqy", &[]),
    ] {
        assert_eq!(found(&store, keyword).await, expected, "{keyword}");
    }
}

async fn signs_with_a_meaning_in_sql_are_taken_as_they_are(store: Instances) {
    let signs = [
        "%", "_", "!", "'", "\"", "\\", "?", "$1", "--", ";", "`", "[a]", "*", "!%", "\\%", "''",
    ];
    insert(&store, &[("plain", "nothing of that")]).await;
    for (number, sign) in signs.iter().enumerate() {
        insert(
            &store,
            &[
                (&format!("{sign} id"), "a"),
                (&format!("c{number}"), &format!("a{sign}b")),
            ],
        )
        .await;
    }
    for sign in signs {
        let mut expected = Vec::new();
        for (number, other) in signs
            .iter()
            .enumerate()
            .filter(|(_, other)| other.contains(sign))
        {
            expected.extend([format!("{other} id"), format!("c{number}")]);
        }
        expected.sort();
        assert_eq!(found(&store, sign).await, expected, "{sign}");
    }
    assert_eq!(found(&store, "a%b").await, ["c0"]);
    assert_eq!(found(&store, "a_b").await, ["c1"]);
}

/// PostgreSQL refuses the sign in any text, SQLite ends a pattern with it.
async fn a_nul_is_found_nowhere_and_is_no_failure(store: Instances) {
    insert(&store, &[("wxgzh", "a")]).await;
    for keyword in ["\0", "wxgzh\0", "wx\0gzh", "\0wxgzh"] {
        assert_eq!(found(&store, keyword).await, [""; 0], "{keyword:?}");
    }
}

async fn a_text_in_any_script_is_found_by_itself(store: Instances) {
    let texts = [
        "公众号测试",
        "Äpfel",
        "ÉCOLE",
        "Straße",
        "İstanbul",
        "ΟΔΟΣ",
        "🙂 OK",
        "e\u{301}",
    ];
    for (number, text) in texts.into_iter().enumerate() {
        insert(
            &store,
            &[(text, "-"), (&format!("in-comment-{number}"), text)],
        )
        .await;
    }
    for (number, text) in texts.into_iter().enumerate() {
        let mut expected = vec![text.to_owned(), format!("in-comment-{number}")];
        expected.sort();
        assert_eq!(found(&store, text).await, expected, "{text}");
    }
    assert_eq!(found(&store, "众号").await, ["in-comment-0", "公众号测试"]);
    assert_eq!(found(&store, "🙂 ok").await, ["in-comment-6", "🙂 OK"]);
    assert_eq!(found(&store, "🙃").await, [""; 0]);
}

async fn an_empty_keyword_finds_every_realm(store: Instances) {
    store.insert_realm(&realm("no-comment")).await.unwrap();
    insert(&store, &[("x", "a")]).await;
    assert_eq!(found(&store, "").await, ["no-comment", "x"]);
}
