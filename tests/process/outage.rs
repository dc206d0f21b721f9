//! The database is away at the start, goes away later, comes back.

use sea_orm::ConnectionTrait as _;
use serde_json::json;

use crate::faulty_provider::{Fault, FaultyProvider};
use crate::program::{PATIENCE, Program, needed, new_database};
use crate::proxy::Proxy;

/// A proxy before a new database; that's URL and the one through the proxy.
pub(crate) async fn behind_proxy(server: &str, whole: bool) -> (Proxy, String, String) {
    let direct = new_database(server).await;
    let mut url = url::Url::parse(&direct).unwrap();
    let target = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap());
    let proxy = Proxy::start(&target, whole).await;
    url.set_port(Some(proxy.port)).unwrap();
    (proxy, direct, url.to_string())
}

async fn survives_an_outage(server: &str) {
    let (proxy, _, database) = behind_proxy(server, false).await;
    let program = Program::serve(
        &database,
        &[],
        &[("TOKEN_SERVER__DATABASE__TIMEOUT_SECONDS", "2")],
    );
    // Away at the start: it lives, says that it is not ready, and why.
    assert_eq!(program.get("/healthz").await.0, 200);
    let (status, ready) = program.get("/readyz").await;
    assert_eq!((status, &ready["status"]), (503, &json!("starting")));
    assert_eq!(
        program.get("/api/realm").await.1["code"],
        "store_unavailable"
    );
    proxy.mend();
    program.wait_for_status("/readyz", 200).await;
    assert!(
        program.log().contains("the database cannot be used yet"),
        "{}",
        program.log()
    );

    let provider = FaultyProvider::start().await;
    provider.script(Fault::Json(
        json!({"access_token": "t-1", "expires_in": 7200}),
    ));
    let realm = json!({"id": "r", "config": {"url": provider.url(), "method": "GET", "token_path": "access_token",
        "expires_in_path": "expires_in"}});
    program.post("/api/realm", &realm).await;
    program
        .post("/api/secret", &json!({"realm": "r", "key": "k"}))
        .await;
    assert_eq!(program.token().await.1["token"], "t-1");

    // Away later: memory goes on, /readyz tells, what needs the store fails clearly.
    proxy.cut();
    let degraded = program.wait_for_status("/readyz?strict=1", 503).await;
    assert_eq!(degraded["status"], "degraded");
    assert_eq!(program.get("/readyz").await.0, 200);
    let (status, held) = program.token().await;
    assert_eq!((status, &held["token"]), (200, &json!("t-1")));
    assert!(held["stale_since"].is_i64(), "{held}");
    let (status, problem) = program.get("/api/token?realm=r&key=other").await;
    assert_eq!(
        (status, &problem["code"]),
        (503, &json!("store_unavailable"))
    );

    // Back again: works by itself.
    proxy.mend();
    program.wait_for_status("/readyz?strict=1", 200).await;
    assert_eq!(
        program.get("/api/token?realm=r&key=other").await.1["code"],
        "unknown_secret"
    );
    assert!(program.token().await.1.get("stale_since").is_none());
    assert_eq!(provider.calls(), 1);
    assert!(
        !program.log().contains("invented-password"),
        "{}",
        program.log()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_mariadb_is_survived() {
    if let Some(server) = needed("TEST_MYSQL_URL") {
        survives_an_outage(&server).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_postgresql_is_survived() {
    if let Some(server) = needed("TEST_POSTGRES_URL") {
        survives_an_outage(&server).await;
    }
}

/// The database falls silent: its connections stay open and nothing comes. Callers of held tokens
/// do not wait for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_silent_database_holds_up_no_memory_hit() {
    let Some(server) = needed("TEST_MYSQL_URL") else {
        return;
    };
    let (proxy, _, database) = behind_proxy(&server, true).await;
    let patient = [
        ("TOKEN_SERVER__DATABASE__TIMEOUT_SECONDS", "600"),
        ("TOKEN_SERVER__SERVER__DRAIN_DELAY_SECONDS", "0"),
    ];
    let program = Program::serve(&database, &[], &patient);
    program.wait_for_status("/readyz", 200).await;
    let provider = FaultyProvider::start().await;
    provider.script(Fault::Json(
        json!({"access_token": "t-1", "expires_in": 7200}),
    ));
    let realm = json!({"id": "r", "config": {"url": provider.url(), "method": "GET", "token_path": "access_token",
        "expires_in_path": "expires_in"}});
    program.post("/api/realm", &realm).await;
    program
        .post("/api/secret", &json!({"realm": "r", "key": "k"}))
        .await;
    assert_eq!(program.token().await.0, 200);
    proxy.freeze();
    // Fresh for a while; then the row would have to be read first, and cannot be: each ask is
    // answered all the same, or the client, which waits a minute, gives up before the database's
    // ten.
    loop {
        let (status, held) = program.token().await;
        assert_eq!((status, &held["token"]), (200, &json!("t-1")));
        if held["stale_since"].is_i64() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    proxy.mend();
}

/// Its connections are lost without a word, as behind a gateway that forgot them; new ones can be
/// made.
async fn lost_connections_are_replaced(server: &str) {
    let (proxy, direct, database) = behind_proxy(server, true).await;
    let program = Program::serve(
        &database,
        &[],
        &[("TOKEN_SERVER__DATABASE__TIMEOUT_SECONDS", "1")],
    );
    program.wait_for_status("/readyz?strict=1", 200).await;
    // All of the pool are waiting for an answer when they are lost.
    let mut options = sea_orm::ConnectOptions::new(&direct);
    options.max_connections(1).sqlx_logging(false);
    let other = sea_orm::Database::connect(options).await.unwrap();
    let is_mysql = direct.starts_with("mysql:");
    let lock = if is_mysql {
        "LOCK TABLES ts_realm WRITE"
    } else {
        "BEGIN; LOCK TABLE ts_realm"
    };
    other.execute_unprepared(lock).await.unwrap();
    let asks = futures_util::future::join_all((0..40).map(|_| program.get("/api/realm")));
    assert!(asks.await.iter().all(|(status, _)| *status == 503));
    proxy.lose();
    other
        .execute_unprepared(if is_mysql { "UNLOCK TABLES" } else { "COMMIT" })
        .await
        .unwrap();
    // New ones are made as soon as the old ones were given up.
    let all_answered = async {
        let ask = |_| program.get("/api/realm");
        while futures_util::future::join_all((0..40).map(ask))
            .await
            .iter()
            .any(|(status, _)| *status != 200)
        {}
    };
    assert!(
        tokio::time::timeout(PATIENCE, all_answered).await.is_ok(),
        "{}",
        program.log()
    );
}

crate::program::on_both! {
    lost_connections_are_replaced: lost_connections_to_mariadb_are_replaced, lost_connections_to_postgresql_are_replaced;
}
