//! Refresh tokens that work once, at the real oidc-provider: one that is spent again costs the
//! whole grant.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};

use token_server::clock::{Clock as _, SystemClock};

use crate::crowd::Crowd;
use crate::fleet::{Fleet, MEDIUM_LEASE};
use crate::oidc::Oidc;
use crate::program::{PATIENCE, Program, has_crash_points, new_database};

/// How long before a token's expiry a grant of unknown state is tried once more.
const LAST_CHANCE_MS: i64 = 30_000;
/// Renewals of each kind that are waited for.
const RENEWALS: i64 = 100;

/// Instances on one database, whose secrets hold grants of oidc-provider.
struct Holders {
    peer: Oidc,
    database: String,
    fleet: Fleet,
}

impl Holders {
    /// Three instances; `None` where there is no oidc-provider.
    async fn start(server: &str) -> Option<Self> {
        let peer = Oidc::start(600)?;
        let database = new_database(server).await;
        let fleet = Fleet::on(&[database.as_str(); 3], MEDIUM_LEASE, &[]).await;
        let oauth2 = json!({"token_endpoint": peer.endpoint(), "grant_type": "refresh_token"});
        fleet.programs[0]
            .post(
                "/api/realm",
                &json!({"id": "r", "config": {"oauth2": oauth2}}),
            )
            .await;
        Some(Self {
            peer,
            database,
            fleet,
        })
    }

    /// Somebody authorises, and the operator stores the refresh token.
    async fn store_first(&self, key: &str, token_seconds: u32) {
        let mut credentials = self.peer.credentials("invented-rotating");
        credentials["refresh_token"] = self.peer.authorise(token_seconds).await.into();
        let secret = json!({"realm": "r", "key": key, "credentials": credentials});
        self.fleet.programs[1].post("/api/secret", &secret).await;
    }

    /// What an instance answers to a plain ask or a flush, which must succeed.
    async fn ask(&self, instance: usize, key: &str, flush: bool) -> Value {
        let path = format!("/api/token?realm=r&key={key}&flush={flush}");
        let (status, answer) = self.fleet.programs[instance].get(&path).await;
        assert_eq!(status, 200, "{key}: {answer}");
        answer
    }

    async fn status(&self, key: &str) -> Value {
        self.fleet.programs[2]
            .get(&format!("/api/secret/{key}/status?realm=r"))
            .await
            .1
    }

    async fn assert_works(&self, key: &str, answer: &Value) {
        let is_active = self.peer.is_active(answer["token"].as_str().unwrap()).await;
        // On a busy machine it may have lived its few seconds before it was looked at.
        let has_ended =
            SystemClock::default().now().epoch_ms() >= answer["expires_at"].as_i64().unwrap();
        assert!(is_active || has_ended, "{key}: {answer}");
    }

    /// Fetches the first token, then another by a flush at an instance of its own, which stops at a
    /// crash point for so long.
    async fn stop_at(
        &self,
        point: &str,
        key: &str,
        token_seconds: u32,
        milliseconds: u32,
    ) -> Stopped {
        let armed = format!("{point}={milliseconds}");
        let environment = [MEDIUM_LEASE, &[("FAILPOINTS", armed.as_str())]].concat();
        let program = Program::serve(&self.database, &[], &environment);
        program.wait_for_status("/readyz", 200).await;
        self.store_first(key, token_seconds).await;
        let first = self.ask(0, key, false).await;
        let mut crowd = Crowd::at(&program, 1).await;
        let request = format!(
            "GET /api/token?realm=r&key={key}&flush=true HTTP/1.1\r\nhost: localhost\r\n\r\n"
        );
        crowd.send(&request).await;
        program.wait_for_log("at a crash point").await;
        Stopped {
            first,
            program,
            crowd,
        }
    }

    /// Counters: refresh tokens spent, spent again, grants revoked.
    async fn counts(&self) -> [i64; 3] {
        let calls = self.peer.calls().await;
        ["rotated", "reused", "revoked"].map(|name| calls[name].as_i64().unwrap())
    }
}

/// An instance at a crash point, under way to replace the first token.
struct Stopped {
    first: Value,
    program: Program,
    crowd: Crowd,
}

async fn renewed_by_three(server: &str) {
    let Some(holders) = Holders::start(server).await else {
        return;
    };
    let short_lived: Vec<_> = (0..20).map(|number| format!("short-{number}")).collect();
    holders.store_first("flushed", 3).await;
    join_all(short_lived.iter().map(|key| holders.store_first(key, 2))).await;
    tokio::join!(flush_often(&holders), outlive(&holders, &short_lived));
    let [_, reused, revoked] = holders.counts().await;
    assert_eq!((reused, revoked), (0, 0), "each was spent once");
}

/// Two callers of each instance flush, one asks, until there were enough renewals.
async fn flush_often(holders: &Holders) {
    let mut version = 0;
    while version < RENEWALS {
        let asks = (0..9).map(|number| holders.ask(number % 3, "flushed", number < 6));
        let answers = join_all(asks).await;
        let newest = answers
            .iter()
            .max_by_key(|answer| answer["version"].as_i64())
            .unwrap();
        assert!(newest["version"].as_i64().unwrap() > version, "{newest}");
        version = newest["version"].as_i64().unwrap();
        holders.assert_works("flushed", newest).await;
    }
    let status = holders.status("flushed").await;
    assert_eq!(
        status["grant"]["generation"], status["token_version"],
        "one grant for each token: {status}"
    );
}

/// All instances are asked for tokens until enough have expired.
async fn outlive(holders: &Holders, keys: &[String]) {
    let mut versions = 0;
    while versions < RENEWALS {
        let asks = keys
            .iter()
            .flat_map(|key| (0..3).map(|instance| holders.ask(instance, key, false)));
        let answers = join_all(asks).await;
        versions = answers
            .iter()
            .filter_map(|answer| answer["version"].as_i64())
            .sum::<i64>()
            / 3;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What a killed holder leaves behind: point, generation of the grant, its state, version of the
/// token.
const WITHOUT_LOSS: [(&str, i64, &str, i64); 4] = [
    ("grant_intended", 1, "unknown", 1),
    ("grant_stored", 2, "held", 1),
    ("provider_answered", 2, "held", 1),
    ("token_committed", 2, "held", 2),
];

async fn killed_without_loss(server: &str) {
    if !has_crash_points() {
        return;
    }
    let Some(holders) = Holders::start(server).await else {
        return;
    };
    join_all(WITHOUT_LOSS.map(|case| kill_and_go_on(&holders, case))).await;
    let [_, reused, revoked] = holders.counts().await;
    assert_eq!((reused, revoked), (0, 0), "each was spent once");
}

async fn kill_and_go_on(
    holders: &Holders,
    (point, generation, state, version): (&str, i64, &str, i64),
) {
    let Stopped { first, program, .. } = holders.stop_at(point, point, 42, 600_000).await;
    program.signal("KILL");
    let status = holders.status(point).await;
    let grant = &status["grant"];
    assert_eq!(
        (&grant["state"], &grant["generation"]),
        (&state.into(), &generation.into()),
        "{point}: {status}"
    );
    assert_eq!(status["token_version"], version, "{point}: {status}");

    let second = if state == "unknown" {
        try_again(holders, point, &first).await
    } else {
        flush(holders, point).await
    };
    assert_eq!(second["version"], version + 1, "{point}: {second}");
    holders.assert_works(point, &second).await;
    let status = holders.status(point).await;
    assert_eq!(status["grant"]["state"], "held", "{point}: {status}");
    assert_eq!(
        status["grant"]["generation"],
        generation + 1,
        "{point}: {status}"
    );
}

/// A flush waits until the killed holder's lease has ended.
async fn flush(holders: &Holders, key: &str) -> Value {
    let answer = holders.ask(1, key, true).await;
    assert_eq!(answer["source"], "upstream", "{key}: {answer}");
    answer
}

/// The first token is served on, and the grant let alone, until shortly before its expiry.
async fn try_again(holders: &Holders, key: &str, first: &Value) -> Value {
    let last_chance_ms = first["expires_at"].as_i64().unwrap() - LAST_CHANCE_MS;
    for _ in 0..PATIENCE.as_millis() / 100 {
        let answer = holders.ask(1, key, true).await;
        let now = jiff::Timestamp::now().as_millisecond();
        if answer["version"] != first["version"] {
            assert!(now >= last_chance_ms, "too early: {answer}");
            return answer;
        }
        assert_eq!(
            (&answer["token"], &answer["renewed"]),
            (&first["token"], &json!(false)),
            "{answer}"
        );
        assert_eq!(holders.status(key).await["grant"]["state"], "unknown");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("never tried again: {}", holders.status(key).await);
}

/// Killed with the only live refresh token in its hands.
async fn killed_with_the_successor(server: &str) {
    if !has_crash_points() {
        return;
    }
    let Some(holders) = Holders::start(server).await else {
        return;
    };
    let stopped = holders.stop_at("step_answered", "k", 20, 600_000).await;
    stopped.program.signal("KILL");
    let status = holders.status("k").await;
    assert_eq!(status["grant"]["state"], "unknown", "{status}");
    assert_eq!(
        holders.counts().await,
        [2, 0, 0],
        "spent twice, the second time in vain"
    );

    // The token has less than 30 s left: the grant is tried once more, which the provider takes for
    // theft.
    let answer = holders.ask(1, "k", true).await;
    assert_eq!(
        (&answer["token"], &answer["renewed"]),
        (&stopped.first["token"], &json!(false)),
        "{answer}"
    );
    assert_eq!(holders.counts().await, [2, 1, 1]);
    let status = wait_for_state(&holders, "reauthorise").await;
    assert_eq!(status["grant"]["state"], "gone", "{status}");
    assert_eq!(
        status["last_failure"]["provider_code"], "invalid_grant",
        "{status}"
    );
    let (code, problem) = holders.fleet.programs[0]
        .get("/api/token?realm=r&key=k&flush=true")
        .await;
    assert_eq!(
        (code, &problem["code"]),
        (502, &json!("reauthorise")),
        "{problem}"
    );
    assert_eq!(
        holders.counts().await,
        [2, 1, 1],
        "a grant that is gone is not tried again"
    );

    holders.store_first("k", 12).await;
    let second = holders.ask(0, "k", false).await;
    holders.assert_works("k", &second).await;
    let status = holders.status("k").await;
    assert_eq!(
        (&status["state"], &status["grant"]["state"]),
        (&json!("valid"), &json!("held")),
        "{status}"
    );
    assert_eq!(holders.counts().await, [3, 1, 1]);
}

async fn wait_for_state(holders: &Holders, state: &str) -> Value {
    for _ in 0..PATIENCE.as_millis() / 100 {
        let status = holders.status("k").await;
        if status["state"] == state {
            return status;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("never {state}: {}", holders.status("k").await);
}

/// Stopped with the successor in its hands until its lease is long over: it stores it all the same,
/// and nobody else has tried the old one.
async fn late_with_the_successor(server: &str) {
    if !has_crash_points() {
        return;
    }
    let Some(holders) = Holders::start(server).await else {
        return;
    };
    let mut stopped = holders.stop_at("step_answered", "k", 60, 8000).await;
    let waiting = holders.ask(1, "k", true).await;
    assert_eq!(
        waiting["token"], stopped.first["token"],
        "served on: {waiting}"
    );
    let late = stopped.crowd.answers().await.remove(0);
    assert_eq!(late.status, 200, "{late:?}");
    let status = holders.status("k").await;
    let grant = &status["grant"];
    assert_eq!(
        (&grant["state"], &grant["generation"]),
        (&json!("held"), &json!(2)),
        "{status}"
    );
    let next = flush(&holders, "k").await;
    holders.assert_works("k", &next).await;
    let [_, reused, revoked] = holders.counts().await;
    assert_eq!((reused, revoked), (0, 0), "each was spent once");
}

crate::program::on_both! {
    renewed_by_three: refresh_tokens_renewed_by_three_instances_on_mariadb_are_each_spent_once,
        refresh_tokens_renewed_by_three_instances_on_postgresql_are_each_spent_once;
    killed_without_loss: a_holder_killed_on_mariadb_leaves_a_grant_that_works,
        a_holder_killed_on_postgresql_leaves_a_grant_that_works;
    killed_with_the_successor: a_grant_lost_with_its_holder_on_mariadb_is_told_and_replaced,
        a_grant_lost_with_its_holder_on_postgresql_is_told_and_replaced;
    late_with_the_successor: a_late_grant_on_mariadb_is_stored, a_late_grant_on_postgresql_is_stored;
}
