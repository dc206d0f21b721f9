//! The provider or the database fails under three instances: the error is shared, and the provider
//! is asked no more often than it must be.

use serde_json::{Value, json};

use crate::crowd::{ASK, Answer};
use crate::faulty_provider::{Fault, FaultyProvider};
use crate::fleet::{
    CALLERS, Fleet, LONG_LEASE, MEDIUM_LEASE, SHORT_LEASE, Settings, assert_all_got,
};
use crate::issuer::Issuer;
use crate::outage::behind_proxy;
use crate::program::{PATIENCE, Program};
use crate::proxy::Proxy;

/// Further attempts come from an operator alone.
const NO_RETRY: &str = "300s";

fn assert_all_failed(status: u16, code: &str, answers: &[Answer]) {
    let other = answers
        .iter()
        .find(|answer| answer.status != status || answer.body["code"] != code);
    assert!(
        other.is_none(),
        "{status} {code} expected, one of {} got {other:?}",
        answers.len()
    );
}

async fn a_provider_that_fails(server: &str) {
    let fleet = Fleet::start(server, SHORT_LEASE).await;
    let provider = FaultyProvider::start().await;
    let realm = json!({"id": "r", "config": {"url": provider.url(), "method": "GET", "token_path": "access_token",
        "expires_in_path": "expires_in", "policy": {"cool_down": NO_RETRY}}});
    fleet.configure(&realm).await;
    let late = Fault::HoldThenJson(json!({"access_token": "late", "expires_in": 7200}));
    let cases = [
        (Fault::Hang, 504, "upstream_timeout"),
        (Fault::CloseEarly, 503, "upstream_unreachable"),
        (Fault::Truncated, 503, "upstream_unreachable"),
        (late, 504, "upstream_timeout"),
    ];
    for (number, (fault, status, code)) in (1..).zip(cases) {
        provider.script(fault);
        // Saved anew: another attempt may be made at once.
        let secret = json!({"realm": "r", "key": "k", "key_1": number.to_string()});
        fleet.programs[0].post("/api/secret", &secret).await;
        assert_all_failed(status, code, &fleet.ask_all(ASK).await);
        assert_eq!(provider.calls(), number, "{code}: one call for 900 callers");
    }
    // What came too late is gone.
    provider.release();
    assert_all_failed(504, "upstream_timeout", &fleet.ask_all(ASK).await);

    provider.script(Fault::Json(
        json!({"access_token": "mended", "expires_in": 7200}),
    ));
    fleet.programs[2]
        .post(
            "/api/secret",
            &json!({"realm": "r", "key": "k", "key_1": "mended"}),
        )
        .await;
    assert_all_got("mended", &fleet.ask_all(ASK).await);
    assert_eq!(provider.calls(), 5);
}

/// Three instances, the first of which has a proxy before its database.
async fn first_behind_proxy(server: &str, settings: Settings<'_>) -> (Proxy, Fleet, Issuer) {
    let (proxy, direct, proxied) = behind_proxy(server, true).await;
    let impatient = [("TOKEN_SERVER__DATABASE__TIMEOUT_SECONDS", "2")];
    let fleet = Fleet::on(&[&proxied, &direct, &direct], settings, &impatient).await;
    let issuer = Issuer::start(7200).await;
    fleet.configure(&issuer.realm(&Value::Null)).await;
    (proxy, fleet, issuer)
}

/// Asks until this token is answered as good.
async fn wait_for_token(program: &Program, token: &str) {
    let wait = async {
        loop {
            let (_, answer) = program.token().await;
            if answer["token"] == token && answer.get("stale_since").is_none() {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    assert!(
        tokio::time::timeout(PATIENCE, wait).await.is_ok(),
        "{token} is never answered: {}",
        program.log()
    );
}

/// The holder has asked the provider, and cannot write what it was given for a moment.
async fn a_database_gone_for_a_moment(server: &str) {
    let (proxy, fleet, issuer) = first_behind_proxy(server, LONG_LEASE).await;
    issuer.hold_after(0);
    let at_holder = fleet.storm(&[0], ASK).await;
    issuer.wait_for_calls(1).await;
    let elsewhere = fleet.storm(&[1, 2], ASK).await;
    proxy.cut();
    issuer.release();
    proxy.wait_for_refusal().await;
    proxy.mend();
    assert_all_got("token-1", &at_holder.answers().await);
    assert_all_got("token-1", &elsewhere.answers().await);
    assert_eq!(issuer.calls(), 1, "the holder wrote its token in the end");
}

/// The holder has asked the provider, and can write nothing for longer than its lease.
async fn a_database_gone_for_longer_than_the_lease(server: &str) {
    let (proxy, fleet, issuer) = first_behind_proxy(server, MEDIUM_LEASE).await;
    issuer.hold_after(0);
    let at_holder = fleet.storm(&[0], ASK).await;
    issuer.wait_for_calls(1).await;
    let elsewhere = fleet.storm(&[1, 2], ASK).await;
    proxy.cut();
    issuer.release();
    let stranded = at_holder.answers().await;
    assert_all_got("token-1", &stranded);
    assert!(
        stranded
            .iter()
            .all(|answer| answer.body["stale_since"].is_i64()),
        "{:?}",
        stranded[0]
    );
    let answers = elsewhere.answers().await;
    assert_eq!(answers.len(), 2 * CALLERS);
    assert_all_got("token-2", &answers);
    assert_eq!(
        issuer.calls(),
        2,
        "one for the expiry, one for the holder that was lost"
    );
    proxy.mend();
    wait_for_token(&fleet.programs[0], "token-2").await;
    assert_eq!(issuer.calls(), 2);
}

crate::program::on_both! {
    a_provider_that_fails: a_failing_provider_is_asked_once_on_mariadb, a_failing_provider_is_asked_once_on_postgresql;
    a_database_gone_for_a_moment: a_token_is_written_after_a_moment_without_mariadb,
        a_token_is_written_after_a_moment_without_postgresql;
    a_database_gone_for_longer_than_the_lease: a_holder_without_mariadb_costs_one_fetch_more,
        a_holder_without_postgresql_costs_one_fetch_more;
}
