//! The schema: brought up to date once, whoever else starts, and beside tables that are not ours.

use std::sync::Arc;

use sea_orm::sea_query::Query;
use sea_orm::{ConnectionTrait as _, DatabaseConnection};
use token_server::store::{
    LeaseStore as _, Migrated, MigrationState, RealmStore as _, SecretStore as _, StoreClock as _,
    StoreError,
};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::databases::Scratch;
use crate::rows::{at, commit, realm, secret};

crate::on_every_database!(
    the_state_tells_what_is_missing_and_changes_nothing,
    migrating_twice_does_nothing_the_second_time,
    ten_instances_that_start_together_migrate_once,
    an_instance_that_died_while_migrating_is_not_waited_for_for_ever,
    a_migration_that_broke_off_is_taken_up_again,
    a_newer_schema_is_refused_and_named,
    a_database_of_a_version_before_the_first_release_is_refused_and_left_alone,
    tables_of_others_stay_as_they_are,
);

fn applied(states: &[MigrationState]) -> usize {
    states.iter().filter(|state| state.applied).count()
}

async fn the_state_tells_what_is_missing_and_changes_nothing(scratch: &Scratch) {
    let store = scratch.open().await;
    for _ in 0..2 {
        let before = store.migration_state().await.unwrap();
        assert!(!before.is_empty() && applied(&before) == 0, "{before:?}");
    }
    let migrated = store.migrate().await.unwrap();
    let after = store.migration_state().await.unwrap();
    assert_eq!(
        (applied(&after), migrated.applied),
        (after.len(), after.len())
    );
    assert_eq!(after[0].name, "m0001_initial");
}

async fn migrating_twice_does_nothing_the_second_time(scratch: &Scratch) {
    let store = scratch.migrated().await;
    assert!(store.insert_realm(&realm("r")).await.unwrap());
    assert_eq!(store.migrate().await.unwrap(), Migrated { applied: 0 });
    assert_eq!(
        scratch.open().await.migrate().await.unwrap(),
        Migrated { applied: 0 }
    );
    assert_eq!(store.find_realm("r").await.unwrap(), Some(realm("r")));
}

async fn ten_instances_that_start_together_migrate_once(scratch: &Scratch) {
    let barrier = Arc::new(Barrier::new(10));
    let mut tasks = JoinSet::new();
    for _ in 0..10 {
        let (scratch, barrier) = (scratch.clone(), barrier.clone());
        tasks.spawn(async move {
            barrier.wait().await;
            let store = scratch.open().await;
            let migrated = store.migrate().await.unwrap();
            // Whoever returns can work at once.
            store.find_realm("r").await.unwrap();
            (migrated.applied, store.migration_state().await.unwrap())
        });
    }
    let outcomes = tasks.join_all().await;
    let mut counts: Vec<usize> = outcomes.iter().map(|(applied, _)| *applied).collect();
    counts.sort_unstable();
    assert_eq!(counts[..9], [0; 9]);
    for (_, states) in outcomes {
        assert_eq!((applied(&states), counts[9]), (states.len(), states.len()));
    }
}

/// Makes the migration's lock be held by one who is gone.
async fn hold_lock(db: &DatabaseConnection, until_ms: i64) {
    let hold = Query::update()
        .table("ts_migration_lock")
        .value("owner", "gone")
        .value("until_ms", until_ms)
        .to_owned();
    assert_eq!(db.execute(&hold).await.unwrap().rows_affected(), 1);
}

/// Forgets all migrations; answers what the next run does.
async fn forget_migrations(db: &DatabaseConnection) -> Migrated {
    let forget = Query::delete().from_table("ts_migration").to_owned();
    let forgotten = db.execute(&forget).await.unwrap().rows_affected();
    assert!(forgotten > 0);
    Migrated {
        applied: usize::try_from(forgotten).unwrap(),
    }
}

async fn an_instance_that_died_while_migrating_is_not_waited_for_for_ever(scratch: &Scratch) {
    let (store, db) = (scratch.migrated().await, scratch.connect().await);
    let expected = forget_migrations(&db).await;
    let now_ms = store.now().await.unwrap().epoch_ms();
    hold_lock(&db, now_ms + 300).await;
    assert_eq!(store.migrate().await.unwrap(), expected);
    assert!(
        store.now().await.unwrap().epoch_ms() >= now_ms + 300,
        "the lock was not waited for"
    );
}

async fn a_migration_that_broke_off_is_taken_up_again(scratch: &Scratch) {
    let (store, db) = (scratch.migrated().await, scratch.connect().await);
    assert!(store.insert_realm(&realm("r")).await.unwrap());
    let expected = forget_migrations(&db).await;
    for missing in ["ts_token", "ts_secret"] {
        db.execute_unprepared(&format!("DROP TABLE {missing}"))
            .await
            .unwrap();
    }
    assert_eq!(store.migrate().await.unwrap(), expected);
    assert_eq!(store.find_realm("r").await.unwrap(), Some(realm("r")));
    assert!(store.insert_secret(&secret("r", "k")).await.unwrap());
}

async fn a_newer_schema_is_refused_and_named(scratch: &Scratch) {
    let (store, db) = (scratch.migrated().await, scratch.connect().await);
    let insert = Query::insert()
        .into_table("ts_migration")
        .columns(["version", "applied_at"])
        .values_panic(["m9999_from_the_future".into(), 1_900_000_000_i64.into()])
        .to_owned();
    db.execute(&insert).await.unwrap();
    let newer = StoreError::NewerSchema("m9999_from_the_future".to_owned());
    assert_eq!(store.migration_state().await, Err(newer.clone()));
    assert_eq!(store.migrate().await, Err(newer.clone()));
    assert_eq!(scratch.open().await.migrate().await, Err(newer));
}

/// What development versions left, one at a time: an applied migration, a table, a table without a
/// column.
const DEVELOPMENT: [(&[&str], &str); 3] = [
    (
        &[
            "CREATE TABLE ts_migration (version VARCHAR(255) PRIMARY KEY, applied_at BIGINT)",
            "INSERT INTO ts_migration VALUES ('m0001_realm_secret_token', 0)",
        ],
        "migration m0001_realm_secret_token",
    ),
    (
        &["CREATE TABLE ts_fetch (id VARCHAR(40))"],
        "table ts_fetch",
    ),
    (
        &["CREATE TABLE ts_token (realm VARCHAR(50), state_generation BIGINT)"],
        "table ts_token without column grant_content",
    ),
];

async fn a_database_of_a_version_before_the_first_release_is_refused_and_left_alone(
    scratch: &Scratch,
) {
    let (store, db) = (scratch.open().await, scratch.connect().await);
    for (statements, found) in DEVELOPMENT {
        for statement in statements {
            db.execute_unprepared(statement).await.unwrap();
        }
        let refused = StoreError::DevelopmentSchema(found.to_owned());
        assert_eq!(store.migration_state().await, Err(refused.clone()));
        assert_eq!(store.migrate().await, Err(refused.clone()));
        for part in [found, "before the first release", "ts_", "import again"] {
            assert!(refused.to_string().contains(part), "{refused}");
        }
        for table in ["ts_migration_lock", "ts_realm"] {
            let read = format!("SELECT * FROM {table}");
            assert!(db.execute_unprepared(&read).await.is_err(), "{table}");
        }
        for table in ["ts_migration", "ts_fetch", "ts_token"] {
            let drop = format!("DROP TABLE IF EXISTS {table}");
            db.execute_unprepared(&drop).await.unwrap();
        }
    }
    assert!(store.migrate().await.unwrap().applied > 0);
}

/// As the inherited service has them, which may share the database.
const FOREIGN: [&str; 4] = [
    "CREATE TABLE realm (id VARCHAR(50) PRIMARY KEY, config VARCHAR(100), comment VARCHAR(100))",
    "CREATE TABLE secret (realm VARCHAR(50), key_1 VARCHAR(100), token VARCHAR(100))",
    "INSERT INTO realm VALUES ('r', 'theirs', 'theirs')",
    "INSERT INTO secret VALUES ('r', 'theirs', 'theirs')",
];

async fn tables_of_others_stay_as_they_are(scratch: &Scratch) {
    let db = scratch.connect().await;
    for statement in FOREIGN {
        db.execute_unprepared(statement).await.unwrap();
    }
    let store = scratch.migrated().await;
    assert_eq!(store.find_realm("r").await.unwrap(), None);
    assert!(store.insert_realm(&realm("r")).await.unwrap());
    let ours = secret("r", "k");
    assert!(store.insert_secret(&ours).await.unwrap());
    let lease = store
        .claim_lease(&ours.id, "one", at(1), at(2))
        .await
        .unwrap()
        .unwrap();
    assert!(store.commit_token(&lease, &commit("t", 1)).await.unwrap());
    for (table, column) in [("realm", "config"), ("secret", "token")] {
        let select = Query::select().column(column).from(table).to_owned();
        let rows = db.query_all(&select).await.unwrap();
        let values: Vec<String> = rows
            .iter()
            .map(|row| row.try_get("", column).unwrap())
            .collect();
        assert_eq!(values, ["theirs"], "{table}");
    }
}
