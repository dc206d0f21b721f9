//! What a look through the store costs the refresher, by how many of 100,000 secrets are due; and
//! how fast it renews.
//!
//! `make bench` runs it. SQLite in a temporary file; nothing is asserted: machines differ, ratios
//! tell.

#![expect(clippy::unwrap_used, reason = "a measurement fails by panicking")]
#![expect(clippy::print_stdout, reason = "its result")]

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sea_orm::ConnectionTrait as _;
use serde_json::json;
use token_server::app::Services;
use token_server::clock::{Clock, ManualClock, Timestamp};
use token_server::config::{Config, Environment};
use token_server::failure::Failure;
use token_server::realm::{RawResponse, Request};
use token_server::secret::SecretId;
use token_server::service::{RealmEdit, SecretEdit};
use token_server::store::{DatabaseUrl, MemoryStore, SqlStore, Store};
use token_server::upstream::TokenSource;
use tokio::time::Instant;

/// All secrets; their tokens live for [`LIFE`].
const SECRETS: u64 = 100_000;
/// How many of them are due.
const DUE: [u64; 3] = [1_000, 10_000, 100_000];
const LIFE: Duration = Duration::from_hours(2);
/// Each measurement is made so often, and its median told.
const ROUNDS: usize = 5;
/// 2026-11-24T00:00:00Z
const START_MS: i64 = 1_795_478_400_000;

/// A provider that answers at once.
struct Instantly;

#[async_trait]
impl TokenSource for Instantly {
    async fn send(&self, _: &Request, _: Duration) -> Result<RawResponse, Failure> {
        let token = uuid::Uuid::now_v7().to_string();
        Ok(RawResponse::json(
            200,
            &json!({"access_token": token, "expires_in": LIFE.as_secs()}),
        ))
    }
}

#[tokio::main]
async fn main() {
    let folder = tempfile::tempdir().unwrap();
    let file = format!("sqlite:{}", folder.path().join("bench.db").display());
    let store = SqlStore::open(
        &DatabaseUrl::read(&file).unwrap(),
        10,
        Duration::from_mins(2),
    )
    .await
    .unwrap();
    store.migrate().await.unwrap();
    println!("A look through the store, {SECRETS} secrets in SQLite (median of {ROUNDS}):\n");
    sweeps(&file, Arc::new(store)).await;
    println!("\nRenewals of 1,000 due secrets by one instance, provider at 0 ms:\n");
    println!(
        "| store | renewals/s | of the {:.1}/s that {SECRETS} secrets need |\n|---|---:|---:|",
        needed()
    );
    renewals("memory", Arc::new(MemoryStore::new(clock()))).await;
    let file = format!("sqlite:{}", folder.path().join("renewals.db").display());
    let store = SqlStore::open(
        &DatabaseUrl::read(&file).unwrap(),
        10,
        Duration::from_mins(2),
    )
    .await
    .unwrap();
    store.migrate().await.unwrap();
    renewals("SQLite", Arc::new(store)).await;
}

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(Timestamp::from_epoch_ms(START_MS)))
}

/// Renewals a second on average, each secret's begun 3¾ minutes before its expiry.
fn needed() -> f64 {
    f64::from(u32::try_from(SECRETS).unwrap()) / (LIFE.as_secs_f64() - 225.0)
}

/// An instance with one realm, and so many secrets that have a token.
async fn serving(store: Arc<dyn Store>, clock: Arc<ManualClock>, secrets: usize) -> Services {
    let config = Config::load_without_file(&Environment::of(&[]), &[]).unwrap();
    let services = Services::over(&config, store, clock, Arc::new(Instantly), None);
    let realm = json!({"id": "r", "config": {"url": "http://provider.invalid/token", "method": "GET",
        "token_path": "access_token", "expires_in_path": "expires_in"}});
    services
        .realms
        .save(&RealmEdit::read(&realm).unwrap())
        .await
        .unwrap();
    for number in 0..secrets {
        let id = SecretId::new("r", format!("app-{number}"));
        let secret = json!({"realm": "r", "key": id.key});
        services
            .secrets
            .save(&SecretEdit::read(&secret).unwrap())
            .await
            .unwrap();
        services.tokens.get(id.borrowed()).await.unwrap();
    }
    services
}

/// What a sweep costs that renews nothing: the look, and the queue it fills.
async fn sweeps(file: &str, store: Arc<SqlStore>) {
    let clock = clock();
    let services = serving(store, Arc::clone(&clock), 1).await;
    let db = sea_orm::Database::connect(file).await.unwrap();
    // The one token row, copied: a look reads names and times only.
    for statement in [
        &format!(
            "CREATE TABLE many AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {SECRETS}) \
             SELECT ts_token.* FROM n, ts_token"
        ),
        "UPDATE many SET key = 'app-' || rowid",
        "DELETE FROM ts_token",
        "INSERT INTO ts_token SELECT * FROM many",
        "DROP TABLE many",
    ] {
        db.execute_unprepared(statement).await.unwrap();
    }
    println!(
        "| due | sweep, ms | by the row, µs | to {} due |\n|---:|---:|---:|---:|",
        DUE[0]
    );
    let mut first = None;
    for due in DUE {
        let now_ms = clock.now().epoch_ms();
        let late = now_ms + 3_600_000;
        // Spread over the minutes before, as they would be.
        let statement = format!(
            "UPDATE ts_token SET due_at = CASE WHEN CAST(substr(key, 5) AS INTEGER) <= {due} \
             THEN {now_ms} - CAST(substr(key, 5) AS INTEGER) % 150000 ELSE {late} END"
        );
        db.execute_unprepared(&statement).await.unwrap();
        let took = sweep(&services, due).await;
        let first = *first.get_or_insert(took);
        let rows = f64::from(u32::try_from(due).unwrap());
        let (ms, ratio) = (
            took.as_secs_f64() * 1e3,
            took.as_secs_f64() / first.as_secs_f64(),
        );
        println!(
            "| {due} | {ms:.1} | {:.2} | {ratio:.1} × |",
            ms * 1e3 / rows
        );
    }
    db.close().await.unwrap();
}

async fn sweep(services: &Services, due: u64) -> Duration {
    let mut all = Vec::new();
    for _ in 0..ROUNDS {
        let began = Instant::now();
        // Its time is up when the look is done: it begins no renewal.
        let swept = services.refresher.sweep(Duration::ZERO).await.unwrap();
        all.push(began.elapsed());
        assert_eq!((swept.due, swept.left), (due, due));
    }
    all.sort();
    all[ROUNDS / 2]
}

async fn renewals(name: &str, store: Arc<dyn Store>) {
    let clock = clock();
    let services = serving(store, Arc::clone(&clock), 1000).await;
    clock.advance(LIFE.saturating_sub(Duration::from_secs(100)));
    let began = Instant::now();
    let swept = services
        .refresher
        .sweep(Duration::from_mins(2))
        .await
        .unwrap();
    let each_second = 1000.0 / began.elapsed().as_secs_f64();
    assert_eq!(swept.renewed, 1000, "{swept:?}");
    println!(
        "| {name} | {each_second:.0} | {:.0} × |",
        each_second / needed()
    );
}
