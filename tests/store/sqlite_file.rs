//! What is peculiar to SQLite: its file.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use futures_util::future::join_all;
use sea_orm::{ConnectOptions, ConnectionTrait as _, Database};
use tempfile::TempDir;
use token_server::store::{DatabaseUrl, RealmStore as _, SqlStore, StoreError, StoreResult};

use crate::rows::realm;

const PATIENCE: Duration = Duration::from_millis(500);

/// Opens a SQLite file in a folder.
async fn open(folder: &TempDir, file: &str) -> StoreResult<SqlStore> {
    let url = DatabaseUrl::read(&format!("sqlite:{}/{file}", folder.path().display())).unwrap();
    SqlStore::open(&url, 4, PATIENCE).await
}

#[tokio::test]
async fn a_new_sqlite_file_is_its_owners_alone_whatever_its_name() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder, "a%20b%23c.db?mode=rwc").await.unwrap();
    store.migrate().await.unwrap();
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        files.push((entry.file_name().into_string().unwrap(), mode));
    }
    files.sort();
    let expected =
        ["a b#c.db", "a b#c.db-shm", "a b#c.db-wal"].map(|name| (name.to_owned(), 0o600));
    assert_eq!(files, expected);
}

#[tokio::test]
async fn a_sqlite_file_that_cannot_be_used_is_named_with_the_reason() {
    let folder = TempDir::new().unwrap();
    std::fs::write(
        folder.path().join("other"),
        "no database, but the file of somebody else",
    )
    .unwrap();
    for (file, reason) in [
        ("missing/store.db", "No such file"),
        ("other", "not a database"),
    ] {
        let Err(StoreError::BadUrl(text)) = open(&folder, file).await else {
            panic!("{file} was opened")
        };
        let path = folder.path().join(file);
        assert!(
            text.contains(reason) && text.contains(path.to_str().unwrap()),
            "{text}"
        );
    }
    assert!(!folder.path().join("missing").exists());
}

#[tokio::test]
async fn a_sqlite_file_that_another_holds_is_unavailable_and_no_wrong_url() {
    let folder = TempDir::new().unwrap();
    let url = format!("sqlite:{}?mode=rwc", folder.path().join("held").display());
    let mut options = ConnectOptions::new(url);
    let other = Database::connect(options.max_connections(1).to_owned())
        .await
        .unwrap();
    other.execute_unprepared("BEGIN EXCLUSIVE").await.unwrap();
    let outcome = open(&folder, "held").await;
    assert!(
        matches!(
            outcome,
            Err(StoreError::Unavailable(_) | StoreError::Conflict(_))
        ),
        "{outcome:?}"
    );
    other.execute_unprepared("ROLLBACK").await.unwrap();
    open(&folder, "held")
        .await
        .unwrap()
        .migrate()
        .await
        .unwrap();
}

#[tokio::test]
async fn a_sqlite_database_in_memory_is_one_for_all_callers() {
    let url = DatabaseUrl::read("sqlite::memory:").unwrap();
    let store = SqlStore::open(&url, 8, Duration::from_secs(20))
        .await
        .unwrap();
    store.migrate().await.unwrap();
    let rows: Vec<_> = (0..20).map(|number| realm(&format!("r{number}"))).collect();
    let inserted = join_all(rows.iter().map(|row| store.insert_realm(row))).await;
    assert_eq!(inserted, vec![Ok(true); 20]);
    let found = join_all(rows.iter().map(|row| store.find_realm(&row.id))).await;
    assert_eq!(
        found,
        rows.into_iter()
            .map(|row| Ok(Some(row)))
            .collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn a_named_database_in_memory_makes_no_file() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder, "named?mode=memory").await.unwrap();
    store.migrate().await.unwrap();
    assert!(store.insert_realm(&realm("r")).await.unwrap());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
