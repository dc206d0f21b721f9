//! 300 callers at each of three instances at the same moment: the provider is asked once.

use std::time::Duration;

use futures_util::future::join_all;
use sea_orm::ConnectionTrait as _;
use serde_json::{Value, json};

use crate::crowd::{ASK, Caller, Crowd, FLUSH, report};
use crate::fleet::{CALLERS, Fleet, LONG_LEASE, assert_all_got};
use crate::issuer::Issuer;
use crate::program::new_database;

/// A token that outlives any test.
const LONG_LIFE: u64 = 7200;

async fn a_miss_and_a_flush(server: &str) {
    let fleet = Fleet::start(server, LONG_LEASE).await;
    let issuer = Issuer::start(LONG_LIFE).await;
    fleet.configure(&issuer.realm(&Value::Null)).await;
    miss_and_flush(&fleet, &issuer).await;
}

/// Of a secret that has no token yet.
pub(crate) async fn miss_and_flush(fleet: &Fleet, issuer: &Issuer) {
    for (call, request) in [(1, ASK), (2, FLUSH)] {
        fetched_once(fleet, issuer, call, request).await;
    }
}

/// All ask while the provider takes its time; it is the so many-th call.
pub(crate) async fn fetched_once(fleet: &Fleet, issuer: &Issuer, call: usize, request: &str) {
    issuer.hold_after(call - 1);
    let storm = fleet.storm(&[0, 1, 2], request).await;
    issuer.wait_for_calls(call).await;
    issuer.release();
    let answers = storm.answers().await;
    assert_eq!(answers.len(), 3 * CALLERS);
    assert_all_got(&format!("token-{call}"), &answers);
    assert_eq!(issuer.calls(), call, "{request}");
}

async fn a_storm_of_reports(server: &str) {
    let database = new_database(server).await;
    let fleet = Fleet::on(&[database.as_str(); 3], LONG_LEASE, &[]).await;
    let issuer = Issuer::start(LONG_LIFE).await;
    fleet.configure(&issuer.realm(&Value::Null)).await;
    reports(&fleet, &issuer, &database).await;
}

/// Of a secret that has no token yet.
pub(crate) async fn reports(fleet: &Fleet, issuer: &Issuer, database: &str) {
    assert_all_got("token-1", &fleet.ask_all(ASK).await);

    // Fetched a moment ago: whoever reports it means the one before.
    let early = fleet.ask_all(&report(1)).await;
    assert_all_got("token-1", &early);
    assert!(
        early.iter().all(|answer| answer.body["renewed"] == false),
        "{:?}",
        early[0]
    );
    assert_eq!(issuer.calls(), 1);

    let db = sea_orm::Database::connect(database).await.unwrap();
    db.execute_unprepared("UPDATE ts_token SET obtained_at = obtained_at - 60000")
        .await
        .unwrap();
    assert_all_got("token-2", &fleet.ask_all(&report(1)).await);
    assert_eq!(issuer.calls(), 2);
    // They go on reporting the old one.
    assert_all_got("token-2", &fleet.ask_all(&report(1)).await);
    assert_eq!(issuer.calls(), 2);
}

/// Seconds that a token lives in the tests of its expiry.
pub(crate) const SHORT_LIFE: u64 = 2;
/// A caller's pause between asks: 4,500 asks a second in all.
const PAUSE: Duration = Duration::from_millis(200);

/// Callers ask on and on, over several expiries.
async fn straddled_expiries(server: &str, policy: &Value, background: &str) {
    let settings = [
        ("TOKEN_SERVER__RENEWAL__BACKGROUND", background),
        LONG_LEASE[0],
    ];
    let fleet = Fleet::start(server, &settings).await;
    let issuer = Issuer::start(SHORT_LIFE).await;
    fleet.configure(&issuer.realm(policy)).await;
    straddle(&fleet, &issuer).await;
}

/// Each token is fetched once, and none is given to anybody who asks after its death.
pub(crate) async fn straddle(fleet: &Fleet, issuer: &Issuer) {
    let tokens = 3;
    let crowds = join_all(
        fleet
            .programs
            .iter()
            .map(|program| Crowd::at(program, CALLERS)),
    )
    .await;
    let callers = crowds.into_iter().flat_map(|crowd| crowd.callers);
    join_all(callers.map(|caller| ask_on(caller, issuer, tokens))).await;
    let times = issuer.call_times();
    for pair in times.windows(2) {
        let apart = pair[1] - pair[0];
        assert!(
            apart >= Duration::from_secs(SHORT_LIFE) / 2,
            "two fetches for one expiry: {apart:?}"
        );
    }
    assert!(
        (tokens..=tokens + 1).contains(&times.len()),
        "{}",
        times.len()
    );
}

/// Asks until it was given the last of so many tokens.
async fn ask_on(mut caller: Caller, issuer: &Issuer, tokens: usize) {
    loop {
        let answer = caller.ask(ASK).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let token = answer.body["token"].as_str().unwrap();
        assert!(
            !issuer.is_dead_at(token, answer.asked_at),
            "asked for after its death: {answer:?}"
        );
        if token == format!("token-{tokens}") {
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Not renewed ahead: all find it expired at the same moment.
async fn expiries(server: &str) {
    straddled_expiries(server, &json!({"refresh_ahead": 0}), "false").await;
}

/// Renewed ahead, by whichever instance sees first that it is due.
async fn renewals_ahead(server: &str) {
    straddled_expiries(server, &json!({"refresh_ahead": "30%"}), "true").await;
}

crate::program::on_both! {
    a_miss_and_a_flush: a_miss_and_a_flush_by_900_callers_on_mariadb_fetch_once,
        a_miss_and_a_flush_by_900_callers_on_postgresql_fetch_once;
    a_storm_of_reports: a_storm_of_reports_on_mariadb_fetches_once, a_storm_of_reports_on_postgresql_fetches_once;
    expiries: each_expiry_on_mariadb_costs_one_fetch, each_expiry_on_postgresql_costs_one_fetch;
    renewals_ahead: each_renewal_ahead_on_mariadb_costs_one_fetch, each_renewal_ahead_on_postgresql_costs_one_fetch;
}
