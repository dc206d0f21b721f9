//! What stands in the columns, read and spoilt past the store.

use sea_orm::sea_query::{Expr, ExprTrait as _, Query};
use sea_orm::{ConnectionTrait as _, DatabaseConnection};
use token_server::secret::SecretId;
use token_server::store::{
    CallFilter, CallRow, CallStore as _, ChangeStore as _, Commit, DueWindow, Grant,
    GrantStore as _, Intent, LeaseStore as _, NextCredentials, SecretFilter, SecretRow,
    SecretStore as _, SqlStore, StoreError, StoreResult, TokenStore as _, UsageOf,
};
use token_server::token::TokenText;

use crate::calls::call;
use crate::databases::Scratch;
use crate::rows::{ALL, at, commit, refusal, secret};

crate::on_every_database!(
    every_sealed_column_begins_with_its_format_and_is_named_when_it_cannot_be_read,
    what_only_names_and_versions_need_is_read_past_sealed_columns,
    contents_and_tokens_begin_with_the_byte_of_their_format,
    a_content_that_cannot_be_read_is_named_without_its_value,
    a_token_that_cannot_be_read_is_named_without_its_value,
    a_token_that_cannot_be_read_is_replaced_by_the_next,
    the_previous_token_is_stored_when_it_is_given_and_goes_with_the_retired_one,
);

fn id() -> SecretId {
    SecretId::new("r", "k")
}

/// One column of the one row of a table.
async fn stored(
    db: &DatabaseConnection,
    table: &'static str,
    column: &'static str,
) -> Option<Vec<u8>> {
    let select = Query::select().column(column).from(table).to_owned();
    db.query_one(&select)
        .await
        .unwrap()
        .unwrap()
        .try_get("", column)
        .unwrap()
}

/// Writes bytes into that column.
async fn spoil(db: &DatabaseConnection, table: &'static str, column: &'static str, bytes: &[u8]) {
    let update = Query::update()
        .table(table)
        .value(column, bytes.to_vec())
        .and_where(Expr::col("realm").eq("r"))
        .to_owned();
    assert_eq!(db.execute(&update).await.unwrap().rows_affected(), 1);
}

/// The same in whatever row there is.
async fn spoil_all(
    db: &DatabaseConnection,
    table: &'static str,
    column: &'static str,
    bytes: &[u8],
) {
    let update = Query::update()
        .table(table)
        .value(column, bytes.to_vec())
        .to_owned();
    assert_eq!(db.execute(&update).await.unwrap().rows_affected(), 1);
}

fn assert_names_the_place<T>(outcome: StoreResult<T>, place: (&str, &str)) {
    let Err(error) = outcome else {
        panic!("a spoilt value was read")
    };
    for text in [error.to_string(), format!("{error:?}")] {
        assert!(
            !text.contains("hush") && !text.contains("104, 117"),
            "{text}"
        );
    }
    let StoreError::Corrupt {
        table, column, key, ..
    } = error
    else {
        panic!("{error}")
    };
    assert_eq!((table, column, key.as_str()), (place.0, place.1, "r/k"));
}

/// Unknown formats, nothing at all, and what format 0 cannot be.
const SPOILT: [&[u8]; 5] = [b"\x01hush", b"\xffhush", b"hush", b"", b"\x00\xff\xfehush"];

/// All sealed columns.
const SEALED: [(&str, &str); 9] = [
    ("ts_secret", "content"),
    ("ts_secret", "next_content"),
    ("ts_secret", "pushed"),
    ("ts_token", "token"),
    ("ts_token", "outputs"),
    ("ts_token", "previous_token"),
    ("ts_token", "grant_content"),
    ("ts_token", "failure"),
    ("ts_call", "provider_message"),
];

/// One row in each table, with a value in every sealed column.
async fn fill(store: &SqlStore) {
    let row = SecretRow {
        next: Some(NextCredentials {
            credentials: [("key_2", "hush")].into_iter().collect(),
            since: at(1),
            due_at: at(2),
            failure: Some(refusal()),
            failed_attempts: 1,
        }),
        pushed: [("key_3", "hush")].into_iter().collect(),
        ..secret("r", "k")
    };
    assert!(store.insert_secret(&row).await.unwrap());
    assert_eq!(store.find_secret(&id()).await.unwrap(), Some(row));
    let lease = store.claim_lease(&id(), "one", at(1), at(2)).await;
    let mut first = commit("hush", 1);
    first.token.outputs = [("id".to_owned(), "hush".into())].into_iter().collect();
    first.previous = Some((TokenText::from("hush"), None));
    let lease = lease.unwrap().unwrap();
    assert!(store.commit_token(&lease, &first).await.unwrap());
    let intent = Intent {
        id: "i".to_owned(),
        generation: 0,
        at: at(3),
        seed: "s".to_owned(),
        instance: "one".to_owned(),
    };
    assert!(store.begin_spend(&id(), None, &intent).await.unwrap());
    let grant = Grant {
        values: [("refresh_token", "hush")].into_iter().collect(),
        seed: "s".to_owned(),
        ..Grant::default()
    };
    let stored = store.end_spend(&id(), &intent, Some(&grant)).await;
    assert!(stored.unwrap());
    let lease = store.claim_lease(&id(), "one", at(3), at(4)).await;
    let lease = lease.unwrap().unwrap();
    let failure = refusal();
    assert!(store.release_lease(&lease, Some(&failure)).await.unwrap());
    let row = CallRow {
        provider_message: Some("hush".to_owned()),
        ..call(1, "k", 1000)
    };
    store.insert_call(&row).await.unwrap();
    assert_eq!(
        store
            .list_calls(&CallFilter::default(), ALL)
            .await
            .unwrap()
            .items,
        [row]
    );
}

async fn every_sealed_column_begins_with_its_format_and_is_named_when_it_cannot_be_read(
    scratch: &Scratch,
) {
    let (store, db) = (scratch.migrated().await, scratch.connect().await);
    fill(&store).await;
    for (table, column) in SEALED {
        let bytes = stored(&db, table, column).await.unwrap();
        assert_eq!(bytes.first(), Some(&0), "{table}.{column}");
        if column == "previous_token" {
            continue;
        }
        let mut other = bytes.clone();
        other[0] = 1;
        spoil_all(&db, table, column, &other).await;
        let errors = [
            store.find_secret(&id()).await.err(),
            store.find_token(&id()).await.err(),
            store.list_calls(&CallFilter::default(), ALL).await.err(),
        ];
        let [error] = errors
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .try_into()
            .unwrap();
        let StoreError::Corrupt {
            table: t,
            column: c,
            key,
            ..
        } = &error
        else {
            panic!("{error}")
        };
        assert_eq!((*t, *c), (table, column));
        let expected = if table == "ts_call" {
            call(1, "k", 1).id
        } else {
            "r/k".to_owned()
        };
        assert_eq!(*key, expected);
        spoil_all(&db, table, column, &bytes).await;
    }
}

async fn what_only_names_and_versions_need_is_read_past_sealed_columns(scratch: &Scratch) {
    let (store, db) = (scratch.migrated().await, scratch.connect().await);
    fill(&store).await;
    for (table, column) in SEALED {
        spoil_all(&db, table, column, b"\xffhush").await;
    }
    let heads = store.list_secrets(&SecretFilter::default(), ALL).await;
    assert_eq!(heads.unwrap().items[0].id, id());
    assert_eq!(store.list_next_due(at(9), 9).await.unwrap(), [id()]);
    let window = DueWindow {
        by: at(9000),
        asked_since: at(0),
        grants_by: at(0),
    };
    assert_eq!(store.list_due(&window, None, 9).await.unwrap().len(), 1);
    assert_eq!(
        store.list_changes(at(0)).await.unwrap().tokens,
        [(id(), Some(1))]
    );
    let current = store.list_current(&[id()]).await.unwrap();
    assert_eq!(current.secrets, [(id(), Some(1))]);
    let usage = store.call_usage(UsageOf::realm("r", at(0), at(0))).await;
    assert_eq!(usage.unwrap().made, 1);
    assert!(
        store
            .claim_lease(&id(), "one", at(5), at(6))
            .await
            .unwrap()
            .is_some()
    );
}

async fn contents_and_tokens_begin_with_the_byte_of_their_format(scratch: &Scratch) {
    let (store, db) = (scratch.migrated().await, scratch.connect().await);
    assert!(store.insert_secret(&secret("r", "k")).await.unwrap());
    let lease = store
        .claim_lease(&id(), "one", at(1), at(2))
        .await
        .unwrap()
        .unwrap();
    assert!(
        store
            .commit_token(&lease, &commit("hush", 1))
            .await
            .unwrap()
    );
    assert_eq!(
        stored(&db, "ts_secret", "content").await.unwrap().first(),
        Some(&0)
    );
    assert_eq!(stored(&db, "ts_token", "token").await.unwrap(), b"\x00hush");
}

async fn a_content_that_cannot_be_read_is_named_without_its_value(scratch: &Scratch) {
    let (store, db) = (scratch.migrated().await, scratch.connect().await);
    assert!(store.insert_secret(&secret("r", "k")).await.unwrap());
    for bytes in SPOILT
        .into_iter()
        .chain([&b"\x00{\"credentials\":\"hush\"}"[..]])
    {
        spoil(&db, "ts_secret", "content", bytes).await;
        let place = ("ts_secret", "content");
        assert_names_the_place(store.find_secret(&id()).await, place);
        let heads = store.list_secrets(&SecretFilter::default(), ALL).await;
        assert_eq!(heads.unwrap().items[0].id, id());
    }
    assert_eq!(
        store.list_changes(at(0)).await.unwrap().secrets,
        [(id(), Some(1))]
    );
}

async fn a_token_that_cannot_be_read_is_named_without_its_value(scratch: &Scratch) {
    let (store, db) = (scratch.migrated().await, scratch.connect().await);
    let lease = store
        .claim_lease(&id(), "one", at(1), at(2))
        .await
        .unwrap()
        .unwrap();
    assert!(store.commit_token(&lease, &commit("t", 1)).await.unwrap());
    for bytes in SPOILT {
        spoil(&db, "ts_token", "token", bytes).await;
        assert_names_the_place(store.find_token(&id()).await, ("ts_token", "token"));
    }
}

async fn a_token_that_cannot_be_read_is_replaced_by_the_next(scratch: &Scratch) {
    let (store, db) = (scratch.migrated().await, scratch.connect().await);
    let lease = store
        .claim_lease(&id(), "one", at(1), at(2))
        .await
        .unwrap()
        .unwrap();
    assert!(store.commit_token(&lease, &commit("t", 1)).await.unwrap());
    spoil(&db, "ts_token", "token", b"\x09hush").await;
    let lease = store
        .claim_lease(&id(), "one", at(3), at(4))
        .await
        .unwrap()
        .unwrap();
    assert!(
        store
            .commit_token(&lease, &commit("fresh", 2))
            .await
            .unwrap()
    );
    assert_eq!(
        store.find_token(&id()).await.unwrap().unwrap().token,
        Some(commit("fresh", 2).token)
    );
    spoil(&db, "ts_token", "token", b"\x09hush").await;
    store
        .retire_tokens(&id().realm, Some(&id().key), at(5))
        .await
        .unwrap();
    assert_eq!(store.find_token(&id()).await.unwrap().unwrap().token, None);
}

async fn the_previous_token_is_stored_when_it_is_given_and_goes_with_the_retired_one(
    scratch: &Scratch,
) {
    let (store, db) = (scratch.migrated().await, scratch.connect().await);
    let previous_until = async || {
        let select = Query::select()
            .column("previous_valid_until")
            .from("ts_token")
            .to_owned();
        let row = db.query_one(&select).await.unwrap().unwrap();
        row.try_get::<Option<i64>>("", "previous_valid_until")
            .unwrap()
    };
    let previous = |text: &str, until| Some((TokenText::from(text), until));
    for (version, previous, expected) in [
        (1, None, (None, None)),
        (
            2,
            previous("first", Some(at(1300))),
            (Some(&b"\x00first"[..]), Some(1300)),
        ),
        (3, previous("second", None), (Some(b"\x00second"), None)),
    ] {
        let lease = store
            .claim_lease(&id(), "one", at(1), at(2))
            .await
            .unwrap()
            .unwrap();
        assert!(
            store
                .commit_token(
                    &lease,
                    &Commit {
                        previous,
                        ..commit("t", version)
                    }
                )
                .await
                .unwrap()
        );
        let token = stored(&db, "ts_token", "previous_token").await;
        assert_eq!(
            (token.as_deref(), previous_until().await),
            expected,
            "version {version}"
        );
    }
    store
        .retire_tokens(&id().realm, Some(&id().key), at(5))
        .await
        .unwrap();
    assert_eq!(
        (
            stored(&db, "ts_token", "previous_token").await,
            previous_until().await
        ),
        (None, None)
    );
}
