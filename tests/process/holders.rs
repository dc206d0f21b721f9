//! The instance that holds the lease is killed at every stage of a renewal, or stopped for longer
//! than its lease.

use std::time::Duration;

use serde_json::Value;

use crate::crowd::ASK;
use crate::fleet::{CALLERS, Fleet, MEDIUM_LEASE, SHORT_LEASE, Settings, assert_all_got};
use crate::issuer::Issuer;
use crate::program::{Program, has_crash_points, new_database};

async fn killed_at(server: &str, point: &str, calls: usize) {
    let database = new_database(server).await;
    killed_on(&[database.as_str(); 3], SHORT_LEASE, point, calls).await;
}

/// Kills the holder at a crash point; the provider must have had so many calls in the end.
pub(crate) async fn killed_on(
    databases: &[&str; 3],
    settings: Settings<'_>,
    point: &str,
    calls: usize,
) {
    if !has_crash_points() {
        return;
    }
    let armed = format!("{point}=600000");
    let fleet = Fleet::on(databases, settings, &[("FAILPOINTS", &armed)]).await;
    let issuer = Issuer::start(7200).await;
    fleet.configure(&issuer.realm(&Value::Null)).await;
    let _lost = fleet.storm(&[0], ASK).await;
    fleet.programs[0].wait_for_log("at a crash point").await;
    let waiting = fleet.storm(&[1, 2], ASK).await;
    fleet.programs[0].signal("KILL");
    let answers = waiting.answers().await;
    assert_eq!(answers.len(), 2 * CALLERS);
    let token = format!("token-{calls}");
    assert_all_got(&token, &answers);
    let newcomer = Program::ready(databases[2], &[]).await;
    assert_eq!(newcomer.token().await.1["token"], token);
    assert_eq!(issuer.calls(), calls);
}

async fn killed_with_the_lease(server: &str) {
    killed_at(server, "lease_claimed", 1).await;
}

async fn killed_before_it_asks(server: &str) {
    killed_at(server, "call_logged", 1).await;
}

/// What it was given is lost.
async fn killed_before_it_commits(server: &str) {
    killed_at(server, "provider_answered", 2).await;
}

async fn killed_before_it_answers(server: &str) {
    killed_at(server, "token_committed", 1).await;
}

/// Killed while the provider is being asked: nobody hears the answer, and nobody gives the lease
/// back.
async fn killed_while_it_waits(server: &str) {
    let fleet = Fleet::start(server, MEDIUM_LEASE).await;
    let issuer = Issuer::start(7200).await;
    fleet.configure(&issuer.realm(&Value::Null)).await;
    issuer.hold_after(0);
    let _lost = fleet.storm_unawaited(0, ASK).await;
    issuer.wait_for_calls(1).await;
    let before = fleet.storm_unawaited(1, ASK).await;
    fleet.programs[0].signal("KILL");
    issuer.release();
    let after = fleet.storm(&[2], ASK).await;
    let (before, after) = tokio::join!(before.answers(), after.answers());
    for answers in [before, after] {
        assert_eq!(answers.len(), CALLERS);
        assert_all_got("token-2", &answers);
    }
    let called = issuer.call_times();
    assert_eq!(
        called.len(),
        2,
        "one for the expiry, one for the holder that was lost"
    );
    let taken_over = called[1] - called[0];
    assert!(
        taken_over > Duration::from_secs(3),
        "before the lease has ended, which is 5 s long: {taken_over:?}"
    );
    assert_all_got("token-2", &fleet.storm(&[1, 2], ASK).await.answers().await);
    let (_, status) = fleet.programs[1].get("/api/secret/k/status?realm=r").await;
    assert_eq!(
        (&status["state"], &status["token_version"]),
        (&"valid".into(), &1.into()),
        "{status}"
    );
    assert_eq!(issuer.calls(), 2);
}

/// Stopped while the provider is being asked; its call has failed when it goes on.
async fn stopped_while_it_waits(server: &str) {
    let fleet = Fleet::start(server, SHORT_LEASE).await;
    let issuer = Issuer::start(7200).await;
    fleet.configure(&issuer.realm(&Value::Null)).await;
    issuer.hold_after(0);
    let holders = fleet.storm_unawaited(0, ASK).await;
    issuer.wait_for_calls(1).await;
    fleet.programs[0].signal("STOP");
    issuer.release();
    assert_all_got("token-2", &fleet.storm(&[1, 2], ASK).await.answers().await);
    fleet.programs[0].signal("CONT");
    assert_all_got("token-2", &holders.answers().await);
    assert_settled(&fleet, &issuer).await;
}

/// Stopped with the provider's answer in its hands: it goes on to write it, too late.
async fn stopped_before_it_commits(server: &str) {
    if !has_crash_points() {
        return;
    }
    let database = new_database(server).await;
    // Time to stop it.
    let armed = [("FAILPOINTS", "provider_answered=3000")];
    let fleet = Fleet::on(&[database.as_str(); 3], SHORT_LEASE, &armed).await;
    let issuer = Issuer::start(7200).await;
    fleet.configure(&issuer.realm(&Value::Null)).await;
    let holders = fleet.storm_unawaited(0, ASK).await;
    fleet.programs[0].wait_for_log("at a crash point").await;
    fleet.programs[0].signal("STOP");
    assert_all_got("token-2", &fleet.storm(&[1, 2], ASK).await.answers().await);
    fleet.programs[0].signal("CONT");
    assert_all_got("token-2", &holders.answers().await);
    fleet.programs[0]
        .wait_for_log("a fetch came too late: its outcome was not stored")
        .await;
    assert_settled(&fleet, &issuer).await;
}

/// All instances have the second token as the first version, and nothing was noted against it.
async fn assert_settled(fleet: &Fleet, issuer: &Issuer) {
    for answer in fleet.ask_all(ASK).await {
        assert_eq!(
            (&answer.body["token"], &answer.body["version"]),
            (&"token-2".into(), &1.into())
        );
        assert!(answer.body.get("stale_since").is_none(), "{answer:?}");
    }
    let (_, status) = fleet.programs[1].get("/api/secret/k/status?realm=r").await;
    assert_eq!(status["state"], "valid", "{status}");
    assert_eq!(
        issuer.calls(),
        2,
        "one for the expiry, one for the holder that was lost"
    );
}

crate::program::on_both! {
    killed_with_the_lease: a_holder_killed_with_the_lease_on_mariadb_is_succeeded,
        a_holder_killed_with_the_lease_on_postgresql_is_succeeded;
    killed_before_it_asks: a_holder_killed_before_it_asks_on_mariadb_is_succeeded,
        a_holder_killed_before_it_asks_on_postgresql_is_succeeded;
    killed_before_it_commits: a_holder_killed_before_it_commits_on_mariadb_costs_one_fetch_more,
        a_holder_killed_before_it_commits_on_postgresql_costs_one_fetch_more;
    killed_before_it_answers: a_token_of_a_killed_holder_is_found_on_mariadb,
        a_token_of_a_killed_holder_is_found_on_postgresql;
    killed_while_it_waits: a_holder_killed_while_the_provider_is_asked_on_mariadb_costs_one_fetch_more,
        a_holder_killed_while_the_provider_is_asked_on_postgresql_costs_one_fetch_more;
    stopped_while_it_waits: a_holder_stopped_while_it_waits_on_mariadb_gives_the_newer_token,
        a_holder_stopped_while_it_waits_on_postgresql_gives_the_newer_token;
    stopped_before_it_commits: a_late_write_on_mariadb_changes_nothing, a_late_write_on_postgresql_changes_nothing;
}
