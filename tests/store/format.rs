//! What stands in the columns, read and spoilt past the store.

use sea_orm::sea_query::{Expr, ExprTrait as _, Query};
use sea_orm::{ConnectionTrait as _, DatabaseConnection};
use token_server::secret::SecretId;
use token_server::store::{
    ChangeStore as _, Commit, LeaseStore as _, SecretFilter, SecretStore as _, StoreError,
    StoreResult, TokenStore as _,
};
use token_server::token::TokenText;

use crate::databases::Scratch;
use crate::rows::{ALL, at, commit, secret};

crate::on_every_database!(
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
        assert_names_the_place(
            store.list_secrets(&SecretFilter::default(), ALL).await,
            place,
        );
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
