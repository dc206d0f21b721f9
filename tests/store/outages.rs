//! Servers that are not there.

use std::time::Duration;

use token_server::store::{
    DatabaseUrl, RealmStore as _, SqlStore, StoreClock as _, StoreError, StoreResult,
};
use tokio::net::TcpListener;
use tokio::time::Instant;

crate::on_every_server!(
    a_closed_port_is_unavailable_within_the_patience,
    a_server_that_says_nothing_is_unavailable_within_the_patience,
);

const PATIENCE: Duration = Duration::from_millis(200);
/// What a slow machine may add.
const SLACK: Duration = Duration::from_secs(5);

async fn a_closed_port_is_unavailable_within_the_patience(scheme: &str) {
    let port = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    assert_unavailable(scheme, port).await;
}

async fn a_server_that_says_nothing_is_unavailable_within_the_patience(scheme: &str) {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    assert_unavailable(scheme, silent.local_addr().unwrap().port()).await;
}

async fn assert_unavailable(scheme: &str, port: u16) {
    let url = DatabaseUrl::read(&format!("{scheme}://root:hush@127.0.0.1:{port}/ts")).unwrap();
    let store = SqlStore::open(&url, 4, PATIENCE).await.unwrap();
    let began = Instant::now();
    let outcome = store.now().await;
    assert!(began.elapsed() < PATIENCE + SLACK, "{:?}", began.elapsed());
    assert_tells_no_password(outcome);
    assert_tells_no_password(store.find_realm("r").await);
    assert_tells_no_password(store.migration_state().await);
    assert_tells_no_password(store.migrate().await);
}

fn assert_tells_no_password<T>(outcome: StoreResult<T>) {
    let Err(error) = outcome else {
        panic!("something answered")
    };
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    assert!(!format!("{error} {error:?}").contains("hush"), "{error:?}");
}
