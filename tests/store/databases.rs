//! Where the cases run: an empty database for each.

use std::ops::Deref;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::{Arc, Once};
use std::time::Duration;

use futures_util::FutureExt as _;
use sea_orm::{
    ConnectOptions, ConnectionTrait as _, Database, DatabaseConnection, DbBackend, Statement,
};
use std::io::Write as _;
use tempfile::TempDir;
use token_server::clock::SystemClock;
use token_server::store::{DatabaseUrl, MemoryStore, SqlStore, Store};
use uuid::Uuid;

/// Makes a test of each case on each of the four stores: `mysql::name_of_the_case` and so on. A
/// case gets [`Instances`].
macro_rules! on_every_store {
    ($($case:ident),+ $(,)?) => {
        $crate::databases::tests!(memory, on_memory, $($case),+);
        $crate::databases::tests!(sqlite, on_sqlite, $($case),+);
        $crate::databases::tests!(mysql, on_mysql, $($case),+);
        $crate::databases::tests!(postgres, on_postgres, $($case),+);
    };
}

/// Makes a test of each case on each kind of SQL database. A case gets a [`Scratch`] that is still
/// empty.
macro_rules! on_every_database {
    ($($case:ident),+ $(,)?) => {
        $crate::databases::tests!(sqlite, with_sqlite, $($case),+);
        $crate::databases::tests!(mysql, with_mysql, $($case),+);
        $crate::databases::tests!(postgres, with_postgres, $($case),+);
    };
}

/// Makes a test of each case for each kind of database server. A case gets the scheme of its URL;
/// no server is needed.
macro_rules! on_every_server {
    ($($case:ident),+ $(,)?) => {
        $crate::databases::tests!(mysql, with_mysql_scheme, $($case),+);
        $crate::databases::tests!(postgres, with_postgres_scheme, $($case),+);
    };
}

/// Makes a test of each case on a Galera cluster, the instances on different nodes. A case gets
/// [`Instances`].
macro_rules! on_galera {
    ($($case:ident),+ $(,)?) => {
        $crate::databases::tests!(galera, on_galera_nodes, $($case),+);
    };
}

macro_rules! tests {
    ($name:ident, $run:ident, $($case:ident),+) => {
        mod $name {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
                async fn $case() {
                    $crate::databases::$run(super::$case).await;
                }
            )+
        }
    };
}

pub(crate) use {on_every_database, on_every_server, on_every_store, on_galera, tests};

/// One store as two instances of the service see it, each with connections of its own.
pub(crate) struct Instances(Vec<Arc<dyn Store>>);

impl Instances {
    /// The instance with this number; there are two or three, and higher numbers begin anew.
    pub(crate) fn instance(&self, number: usize) -> Arc<dyn Store> {
        self.0[number % self.0.len()].clone()
    }
}

impl Deref for Instances {
    type Target = dyn Store;

    fn deref(&self) -> &Self::Target {
        self.0[0].as_ref()
    }
}

pub(crate) async fn on_memory(case: impl AsyncFnOnce(Instances)) {
    let store = Arc::new(MemoryStore::new(Arc::new(SystemClock::default())));
    case(Instances(vec![store.clone(), store])).await;
}

pub(crate) async fn on_sqlite(case: impl AsyncFnOnce(Instances)) {
    with_sqlite(async |scratch| case(scratch.instances().await).await).await;
}

pub(crate) async fn on_mysql(case: impl AsyncFnOnce(Instances)) {
    with_mysql(async |scratch| case(scratch.instances().await).await).await;
}

pub(crate) async fn on_postgres(case: impl AsyncFnOnce(Instances)) {
    with_postgres(async |scratch| case(scratch.instances().await).await).await;
}

/// An empty database.
#[derive(Clone)]
pub(crate) struct Scratch {
    url: String,
}

/// How long one statement may take; cases that want it shorter open a store themselves.
const PATIENCE: Duration = Duration::from_secs(20);

impl Scratch {
    /// A store on it, not migrated.
    pub(crate) async fn open(&self) -> SqlStore {
        SqlStore::open(&DatabaseUrl::read(&self.url).unwrap(), 8, PATIENCE)
            .await
            .unwrap()
    }

    /// A store on it, migrated.
    pub(crate) async fn migrated(&self) -> SqlStore {
        let store = self.open().await;
        store.migrate().await.unwrap();
        store
    }

    /// A plain connection, past the store.
    pub(crate) async fn connect(&self) -> DatabaseConnection {
        connect(&self.url).await
    }

    async fn instances(&self) -> Instances {
        Instances(vec![
            Arc::new(self.migrated().await),
            Arc::new(self.open().await),
        ])
    }
}

/// Three instances, each on a node of its own.
pub(crate) async fn on_galera_nodes(case: impl AsyncFnOnce(Instances)) {
    static SKIP: Once = Once::new();
    let Some(servers) = server("TEST_GALERA_URLS", "a Galera cluster", &SKIP) else {
        return;
    };
    let nodes: Vec<&str> = servers.split(',').collect();
    for node in &nodes {
        wait_until_synced(node).await;
    }
    with_database(
        nodes[0],
        "mysql",
        "CREATE DATABASE {}",
        "DROP DATABASE {}",
        async |scratch| {
            scratch.migrated().await;
            let mut stores: Vec<Arc<dyn Store>> = Vec::new();
            for node in &nodes {
                let at_node = Scratch {
                    url: scratch.url.replace(nodes[0], node),
                };
                let store = at_node.open().await;
                // A database that was made elsewhere a moment ago is not here yet.
                while store.migration_state().await.is_err() {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                stores.push(Arc::new(store));
            }
            case(Instances(stores)).await;
        },
    )
    .await;
}

/// The cluster starts while the tests are built.
async fn wait_until_synced(node: &str) {
    const SYNCED: &str = "SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS \
        WHERE VARIABLE_NAME = 'wsrep_local_state' AND VARIABLE_VALUE = '4'";
    let url = format!("{node}/mysql");
    let wait = async {
        loop {
            let mut options = ConnectOptions::new(&url);
            options
                .max_connections(1)
                .sqlx_logging(false)
                .connect_timeout(Duration::from_secs(1));
            if let Ok(db) = Database::connect(options).await
                && let Ok(Some(_)) = db
                    .query_one_raw(Statement::from_string(DbBackend::MySql, SYNCED))
                    .await
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let synced = tokio::time::timeout(Duration::from_mins(2), wait).await;
    assert!(
        synced.is_ok(),
        "a node of the cluster does not become ready: see galera.log of tests/run"
    );
}

pub(crate) async fn with_sqlite(case: impl AsyncFnOnce(&Scratch)) {
    let folder = TempDir::new().unwrap();
    case(&Scratch {
        url: format!("sqlite:{}/store.db?mode=rwc", folder.path().display()),
    })
    .await;
}

pub(crate) async fn with_mysql(case: impl AsyncFnOnce(&Scratch)) {
    static SKIP: Once = Once::new();
    let Some(server) = server("TEST_MYSQL_URL", "MariaDB", &SKIP) else {
        return;
    };
    with_database(
        &server,
        "mysql",
        "CREATE DATABASE {}",
        "DROP DATABASE {}",
        case,
    )
    .await;
}

/// The database's language is not C: names and their order must not depend on it.
const CREATE_POSTGRES: &str =
    "CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8' LOCALE_PROVIDER icu ICU_LOCALE 'de'";

pub(crate) async fn with_postgres(case: impl AsyncFnOnce(&Scratch)) {
    static SKIP: Once = Once::new();
    let Some(server) = server("TEST_POSTGRES_URL", "PostgreSQL", &SKIP) else {
        return;
    };
    with_database(
        &server,
        "postgres",
        CREATE_POSTGRES,
        "DROP DATABASE {} WITH (FORCE)",
        case,
    )
    .await;
}

pub(crate) async fn with_mysql_scheme(case: impl AsyncFnOnce(&str)) {
    case("mysql").await;
}

pub(crate) async fn with_postgres_scheme(case: impl AsyncFnOnce(&str)) {
    case("postgres").await;
}

/// The server's URL without the slash at its end; `None`: there is none, and whoever runs the tests
/// was told.
#[expect(
    clippy::disallowed_methods,
    reason = "tests/run tells the tests through the environment"
)]
fn server(variable: &str, product: &str, told: &Once) -> Option<String> {
    if let Some(url) = std::env::var(variable).ok().filter(|url| !url.is_empty()) {
        return Some(url.trim_end_matches('/').to_owned());
    }
    assert!(
        std::env::var("CI").as_deref() != Ok("true"),
        "{variable} is not set, and CI=true: use tests/run"
    );
    // Not eprintln: the output of a test that passes is kept back.
    told.call_once(|| {
        let line =
            format!("\nSKIP the store suite on {product}: {variable} is not set; run tests/run\n");
        std::io::stderr().write_all(line.as_bytes()).unwrap();
    });
    None
}

/// Runs a case on a new database, and drops that whatever came of the case.
async fn with_database(
    server: &str,
    known_database: &str,
    create: &str,
    drop: &str,
    case: impl AsyncFnOnce(&Scratch),
) {
    let admin = connect(&format!("{server}/{known_database}")).await;
    let name = format!("store_suite_{}", Uuid::now_v7().simple());
    admin
        .execute_unprepared(&create.replace("{}", &name))
        .await
        .unwrap();
    let scratch = Scratch {
        url: format!("{server}/{name}"),
    };
    let outcome = AssertUnwindSafe(case(&scratch)).catch_unwind().await;
    admin
        .execute_unprepared(&drop.replace("{}", &name))
        .await
        .unwrap();
    admin.close().await.unwrap();
    if let Err(panic) = outcome {
        resume_unwind(panic);
    }
}

async fn connect(url: &str) -> DatabaseConnection {
    let mut options = ConnectOptions::new(url);
    options.max_connections(1).sqlx_logging(false);
    Database::connect(options).await.unwrap()
}
