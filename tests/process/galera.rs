//! Three instances on three nodes of a Galera cluster.

use std::path::PathBuf;
use std::time::Duration;

use sea_orm::{ConnectOptions, ConnectionTrait as _, DbBackend, Statement};
use serde_json::Value;
use tokio::sync::{Mutex, MutexGuard};

use crate::crowd::{ASK, FLUSH};
use crate::fleet::{Fleet, LONG_LEASE, SHORT_LEASE, Settings, assert_all_got};
use crate::holders::killed_on;
use crate::issuer::Issuer;
use crate::program::{needed, new_database};
use crate::storms::{SHORT_LIFE, miss_and_flush, reports, straddle};

/// A node that dies stops the writes of all for 5 s (`evs.suspect_timeout`).
const PATIENT: Settings<'static> = &[
    LONG_LEASE[0],
    ("TOKEN_SERVER__DATABASE__TIMEOUT_SECONDS", "15"),
];
/// How long a cluster may take to start, or a node to copy its data.
const START: Duration = Duration::from_mins(2);

/// The cluster; one test at a time, as one of them kills a node.
struct Cluster {
    nodes: Vec<String>,
    _alone: MutexGuard<'static, ()>,
}

impl Cluster {
    async fn ready() -> Option<Self> {
        static ALONE: Mutex<()> = Mutex::const_new(());
        let nodes = needed("TEST_GALERA_URLS")?
            .split(',')
            .map(str::to_owned)
            .collect();
        let cluster = Self {
            nodes,
            _alone: ALONE.lock().await,
        };
        for node in &cluster.nodes {
            wait_until_synced(node).await;
        }
        Some(cluster)
    }

    /// A new database, as each node has it.
    async fn databases(&self) -> [String; 3] {
        let first = new_database(&self.nodes[0]).await;
        [0, 1, 2].map(|node| first.replace(&self.nodes[0], &self.nodes[node]))
    }

    /// An instance on each node, all on one new database.
    async fn fleet(&self) -> Fleet {
        Fleet::on(
            &self.databases().await.each_ref().map(String::as_str),
            PATIENT,
            &[],
        )
        .await
    }
}

async fn wait_until_synced(node: &str) {
    let wait = async {
        while !is_synced(node).await {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    assert!(
        tokio::time::timeout(START, wait).await.is_ok(),
        "the node {node} does not become ready"
    );
}

async fn is_synced(node: &str) -> bool {
    let mut options = ConnectOptions::new(format!("{node}/mysql"));
    options
        .max_connections(1)
        .sqlx_logging(false)
        .connect_timeout(Duration::from_secs(1));
    let Ok(db) = sea_orm::Database::connect(options).await else {
        return false;
    };
    let state = "SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS \
        WHERE VARIABLE_NAME = 'wsrep_local_state' AND VARIABLE_VALUE = '4'";
    matches!(
        db.query_one_raw(Statement::from_string(DbBackend::MySql, state))
            .await,
        Ok(Some(_))
    )
}

/// A node that is down until this is dropped.
struct Down {
    mark: PathBuf,
}

impl Down {
    /// `kill -9` of the third node.
    fn third() -> Option<Self> {
        let folder = PathBuf::from(needed("TEST_GALERA_FOLDER")?).join("3");
        let down = Self {
            mark: folder.join("down"),
        };
        std::fs::write(&down.mark, "").unwrap();
        let pid = std::fs::read_to_string(folder.join("pid")).unwrap();
        let killed = std::process::Command::new("kill")
            .args(["-KILL", pid.trim()])
            .status()
            .unwrap();
        assert!(killed.success());
        Some(down)
    }
}

impl Drop for Down {
    fn drop(&mut self) {
        // The next test finds the node up again, whatever came of this one.
        let _ = std::fs::remove_file(&self.mark);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_miss_and_a_flush_by_900_callers_on_three_nodes_fetch_once() {
    let Some(cluster) = Cluster::ready().await else {
        return;
    };
    let fleet = cluster.fleet().await;
    let issuer = Issuer::start(7200).await;
    fleet.configure(&issuer.realm(&Value::Null)).await;
    miss_and_flush(&fleet, &issuer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_by_900_callers_on_three_nodes_fetch_once() {
    let Some(cluster) = Cluster::ready().await else {
        return;
    };
    let databases = cluster.databases().await;
    let fleet = Fleet::on(&databases.each_ref().map(String::as_str), PATIENT, &[]).await;
    let issuer = Issuer::start(7200).await;
    fleet.configure(&issuer.realm(&Value::Null)).await;
    reports(&fleet, &issuer, &databases[1]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_killed_with_the_lease_or_before_it_commits_is_succeeded_from_another_node() {
    let Some(cluster) = Cluster::ready().await else {
        return;
    };
    let settings = [SHORT_LEASE[0], PATIENT[1]];
    for (point, calls) in [("lease_claimed", 1), ("provider_answered", 2)] {
        let databases = cluster.databases().await;
        killed_on(
            &databases.each_ref().map(String::as_str),
            &settings,
            point,
            calls,
        )
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_expiry_on_three_nodes_costs_one_fetch() {
    let Some(cluster) = Cluster::ready().await else {
        return;
    };
    let fleet = cluster.fleet().await;
    let issuer = Issuer::start(SHORT_LIFE).await;
    fleet
        .configure(&issuer.realm(&serde_json::json!({"refresh_ahead": 0})))
        .await;
    straddle(&fleet, &issuer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_instance_of_a_dead_node_serves_from_memory_and_follows_when_it_is_back() {
    let Some(cluster) = Cluster::ready().await else {
        return;
    };
    let fleet = cluster.fleet().await;
    let issuer = Issuer::start(7200).await;
    fleet.configure(&issuer.realm(&Value::Null)).await;
    assert_all_got("token-1", &fleet.ask_all(ASK).await);

    let Some(down) = Down::third() else { return };
    let cut_off = &fleet.programs[2];
    cut_off.wait_for_status("/readyz?strict=1", 503).await;
    let (status, held) = cut_off.token().await;
    assert_eq!((status, &held["token"]), (200, &"token-1".into()), "{held}");
    assert!(held["stale_since"].is_i64(), "{held}");
    // The others go on.
    issuer.hold_after(1);
    let flushed = fleet.storm(&[0, 1], FLUSH).await;
    issuer.wait_for_calls(2).await;
    issuer.release();
    assert_all_got("token-2", &flushed.answers().await);
    assert_eq!(cut_off.token().await.1["token"], "token-1");
    assert_eq!(issuer.calls(), 2);

    drop(down);
    wait_until_synced(&cluster.nodes[2]).await;
    cut_off.wait_for_status("/readyz?strict=1", 200).await;
    let followed = fleet.ask_all(ASK).await;
    assert_all_got("token-2", &followed);
    assert!(
        followed
            .iter()
            .all(|answer| answer.body.get("stale_since").is_none())
    );
    assert_eq!(issuer.calls(), 2);
}
