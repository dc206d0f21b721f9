//! `token-server import` between real databases: from MariaDB into `SQLite`, into the inherited
//! database itself, and, where `TEST_POSTGRES_URL` is set, into `PostgreSQL`.
//!
//! Needs `TEST_MYSQL_URL` (`tests/run` sets both): without it, a visible skip; with `CI=true` a
//! failure.
#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "tests, and what they need"
)]

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use sea_orm::{ConnectOptions, ConnectionTrait as _, Database, DatabaseConnection};
use token_server::clock::{Clock as _, SystemClock, Timestamp};
use token_server::import::{ImportError, LegacyUrl, Outcome, Report, Settings, run};
use token_server::secret::{Credentials, SecretId};
use token_server::store::{
    DatabaseUrl, DueWindow, Grant, GrantStore as _, Import, Intent, LeaseStore as _, Page,
    RealmFilter, RealmRow, RealmStore as _, SecretFilter, SecretRow, SecretStore as _, SqlStore,
    StoreClock as _, StoreError, TokenStore as _,
};
use uuid::Uuid;

/// The inherited tables, as CONTRACT.md has them.
const SCHEMA: [&str; 2] = [
    "CREATE TABLE realm (id VARCHAR(50) NOT NULL PRIMARY KEY, config JSON, logic_code VARCHAR(5000),
     comment VARCHAR(5000), created_at DATETIME(6) DEFAULT CURRENT_TIMESTAMP(6),
     updated_at DATETIME(6) DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6))",
    "CREATE TABLE secret (`key` VARCHAR(200) NOT NULL, realm VARCHAR(50) NOT NULL, key_1 VARCHAR(200),
     key_2 VARCHAR(200), key_3 VARCHAR(200), key_4 VARCHAR(200), key_5 VARCHAR(200), token TEXT, expires_at BIGINT,
     created_at DATETIME(6) DEFAULT CURRENT_TIMESTAMP(6),
     updated_at TIMESTAMP(6) NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6),
     PRIMARY KEY (`key`, realm))",
];

const WECHAT: &str = r#"{"url": "https://api.weixin.qq.com/cgi-bin/token", "method": "GET",
    "arguments": [{"name": "appid", "place": "url", "value": "$key_1"},
                  {"name": "secret", "place": "url", "value": "$key_2"},
                  {"name": "grant_type", "place": "url", "value": "$key_3"}],
    "token_path": "access_token", "content_type": "json", "expires_in_path": "expires_in"}"#;
const WECOM: &str = r#"{"url": "https://qyapi.weixin.qq.com/cgi-bin/gettoken", "method": "GET",
    "arguments": [{"name": "corpid", "place": "url", "value": "$key_1"},
                  {"name": "corpsecret", "place": "url", "value": "$key_2"}],
    "token_path": "access_token", "content_type": "json", "expires_in_path": "expires_in"}"#;

/// An inherited database of its own, dropped at the end.
struct Inherited {
    server: String,
    name: String,
    db: DatabaseConnection,
}

impl Inherited {
    async fn create(server: &str) -> Self {
        let name = format!("import_{}", Uuid::now_v7().simple());
        let root = Database::connect(server).await.unwrap();
        root.execute_unprepared(&format!("CREATE DATABASE {name} CHARACTER SET utf8mb4"))
            .await
            .unwrap();
        root.close().await.unwrap();
        // As its driver, in the server's time zone.
        let mut options = ConnectOptions::new(format!("{server}/{name}"));
        options.map_sqlx_mysql_opts(|options| options.timezone(None::<String>));
        let db = Database::connect(options).await.unwrap();
        Self {
            server: server.to_owned(),
            name,
            db,
        }
    }

    fn url(&self) -> LegacyUrl {
        LegacyUrl::read(&format!("{}/{}", self.server, self.name)).unwrap()
    }

    async fn run(&self, sql: &str) {
        self.db
            .execute_unprepared(sql)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    async fn fill(&self) {
        for table in SCHEMA {
            self.run(table).await;
        }
        let (long, now_ms) = ("x".repeat(50), SystemClock::default().now().epoch_ms());
        let (live, expired) = (now_ms + 5_000_000, now_ms - 1);
        self.run(&format!(
            "INSERT INTO realm (id, config, logic_code, comment) VALUES
             ('wxgzh', '{WECHAT}', '', '微信公众号'),
             ('qywx_qynbkf', '{WECOM}', NULL, NULL),
             ('fn', NULL, 'https://fn.example.com/token', NULL),
             ('empty', '{{}}', NULL, 'no definition: fixed'),
             ('broken', '{{\"url\": \"ftp://x\", \"method\": \"PUT\"}}', NULL, NULL),
             ('{long}', 'null', '', NULL),
             ('blank ', NULL, NULL, NULL)"
        ))
        .await;
        self.run(&format!(
            "INSERT INTO secret (realm, `key`, key_1, key_2, key_3, key_4, token, expires_at) VALUES
             ('wxgzh', '公司', 'wx1', 'hush', 'client_credential', '', 'token-live', {live}),
             ('wxgzh', 'expired', 'wx2', 'hush', NULL, NULL, 'token-expired', {expired}),
             ('qywx_qynbkf', 'none', 'ww1', 'hush', NULL, NULL, '', NULL),
             ('empty', 'given', NULL, NULL, NULL, NULL, 'token-fixed', {live}),
             ('broken', 'app', 'b1', NULL, NULL, NULL, 'token-broken', {live}),
             ('nowhere', 'app', 'n1', NULL, NULL, NULL, NULL, NULL),
             ('fn', 'app ', 'f1', NULL, NULL, NULL, NULL, NULL)"
        ))
        .await;
    }

    async fn drop(self) {
        self.run(&format!("DROP DATABASE {}", self.name)).await;
        self.db.close().await.unwrap();
    }
}

async fn open(url: &str) -> SqlStore {
    let url = DatabaseUrl::read(url).unwrap();
    let store = SqlStore::open(&url, 5, Duration::from_secs(30))
        .await
        .unwrap();
    store.migrate().await.unwrap();
    store
}

/// Runs a test for each destination: a `SQLite` file, the inherited database itself, `PostgreSQL`.
async fn into_each<T, F>(test: T)
where
    T: Fn(LegacyUrl, SqlStore, Arc<Inherited>) -> F,
    F: Future<Output = ()>,
{
    let Some(server) = variable("TEST_MYSQL_URL") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let postgres = variable("TEST_POSTGRES_URL");
    for destination in 0..if postgres.is_some() { 3 } else { 2 } {
        let inherited = Inherited::create(&server).await;
        inherited.fill().await;
        let name = &inherited.name;
        let store = match (destination, &postgres) {
            (0, _) => {
                open(&format!(
                    "sqlite:{}",
                    folder.path().join("data.db").display()
                ))
                .await
            }
            (2, Some(postgres)) => {
                let db = Database::connect(format!("{postgres}/postgres"))
                    .await
                    .unwrap();
                db.execute_unprepared(&format!("CREATE DATABASE {name}"))
                    .await
                    .unwrap();
                open(&format!("{postgres}/{name}")).await
            }
            _ => open(&format!("{server}/{name}")).await,
        };
        let inherited = Arc::new(inherited);
        Box::pin(test(inherited.url(), store.clone(), inherited.clone())).await;
        store.close().await;
        Arc::into_inner(inherited).unwrap().drop().await;
    }
}

#[expect(clippy::disallowed_methods, reason = "a test's own settings")]
fn variable(name: &str) -> Option<String> {
    let url = std::env::var(name).ok();
    if url.is_none() {
        let must_run = std::env::var("CI").is_ok_and(|ci| ci == "true");
        assert!(!must_run, "{name} is not set, and CI=true");
        eprintln!("SKIP import with {name}: set it, or run tests/run");
    }
    url
}

async fn import(from: &LegacyUrl, store: &SqlStore, settings: Settings) -> Report {
    let report = run(from, store, settings).await.unwrap();
    for told in [report.to_string(), serde_json::to_string(&report).unwrap()] {
        for secret in [
            "hush",
            "token-live",
            "token-expired",
            "token-fixed",
            "token-broken",
            "wx1",
        ] {
            assert!(!told.contains(secret), "{secret} in {told}");
        }
    }
    report
}

/// `outcome name: note` of the realms or secrets or tokens.
fn lines(report: &Report, kind: &str) -> Vec<String> {
    let of_kind = report
        .rows
        .iter()
        .filter(|line| format!("{:?}", line.kind).to_lowercase() == kind);
    let line = of_kind.map(|line| {
        let key = line
            .key
            .as_deref()
            .map(|key| format!("/{key}"))
            .unwrap_or_default();
        let note = line
            .note
            .as_deref()
            .map(|note| format!(": {note}"))
            .unwrap_or_default();
        format!("{:?} {}{key}{note}", line.outcome, line.realm).to_lowercase()
    });
    line.collect()
}

fn count(report: &Report, outcome: Outcome) -> usize {
    report
        .rows
        .iter()
        .filter(|line| line.outcome == outcome)
        .count()
}

const ALL: Page = Page {
    offset: 0,
    limit: 1000,
};

async fn realms(store: &SqlStore) -> Vec<RealmRow> {
    store
        .list_realms(&RealmFilter::default(), ALL)
        .await
        .unwrap()
        .items
}

async fn secrets(store: &SqlStore) -> Vec<SecretRow> {
    let listed = store.list_secrets(&SecretFilter::default(), ALL).await;
    let mut rows = Vec::new();
    for outline in listed.unwrap().items {
        rows.extend(store.find_secret(&outline.id).await.unwrap());
    }
    rows
}

#[tokio::test]
async fn realms_secrets_and_live_tokens_are_taken_with_a_reason_for_each_that_is_left() {
    into_each(|from, store, _inherited| async move {
        let before = store.now().await.unwrap();
        let report = import(&from, &store, Settings::default()).await;
        let long = "x".repeat(50);
        assert_eq!(
            lines(&report, "realm"),
            [
                "left blank : /id: must not begin or end with blanks".to_owned(),
                "left broken: /config/url: expected an http or https url, found the scheme ftp:; /config/method: \
                 expected one of: get, post; /config/token_path: required: a string"
                    .to_owned(),
                "taken empty".to_owned(),
                "taken fn".to_owned(),
                "taken qywx_qynbkf".to_owned(),
                "taken wxgzh".to_owned(),
                format!("taken {long}"),
            ]
        );
        assert_eq!(
            lines(&report, "secret"),
            [
                "left broken/app: its realm was left, and is not here",
                "taken empty/given",
                "left fn/app : /key: must not begin or end with blanks",
                "left nowhere/app: its realm does not exist",
                "taken qywx_qynbkf/none",
                "taken wxgzh/expired",
                "taken wxgzh/公司",
            ]
        );
        assert_eq!(
            lines(&report, "token"),
            [
                "left broken/app: its secret was left",
                "taken empty/given: as the operator's token",
                "left wxgzh/expired: it has expired",
                "taken wxgzh/公司",
            ]
        );
        assert_rows(&store, before).await;
    })
    .await;
}

async fn assert_rows(store: &SqlStore, before: Timestamp) {
    let wxgzh = store.find_realm("wxgzh").await.unwrap().unwrap();
    let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    assert_eq!(json(wxgzh.config.as_deref().unwrap()), json(WECHAT));
    assert_eq!(
        (wxgzh.comment.as_deref(), wxgzh.logic_code.as_deref()),
        (Some("微信公众号"), None)
    );
    assert!(wxgzh.updated_at < wxgzh.changed_at);
    assert!(
        before.since(wxgzh.updated_at) < Duration::from_mins(10),
        "{wxgzh:?}"
    );
    let empty = store.find_realm("empty").await.unwrap().unwrap();
    assert_eq!((empty.config, empty.logic_code), (None, None));

    let id = SecretId::new("wxgzh", "公司");
    let secret = store.find_secret(&id).await.unwrap().unwrap();
    let expected: Credentials = [
        ("key_1", "wx1"),
        ("key_2", "hush"),
        ("key_3", "client_credential"),
    ]
    .into_iter()
    .collect();
    assert_eq!(secret.content.credentials, expected);
    assert_eq!((secret.version, secret.revision), (1, 1));

    let row = store.find_token(&id).await.unwrap().unwrap();
    let token = row.token.unwrap();
    assert_eq!((token.text.expose(), row.version), ("token-live", 1));
    assert_eq!((token.realm_version, token.secret_version), (1, 1));
    let (due_at, expires_at) = (row.due_at.unwrap(), token.life.expires_at.unwrap());
    assert!(token.life.obtained_at >= before && due_at < expires_at && due_at > before);

    let given = store
        .find_secret(&SecretId::new("empty", "given"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(given.content.fixed.unwrap().token.expose(), "token-fixed");
    assert_eq!(
        store
            .find_token(&SecretId::new("wxgzh", "expired"))
            .await
            .unwrap(),
        None
    );
    assert_eq!(
        (realms(store).await.len(), secrets(store).await.len()),
        (5, 4)
    );
}

#[tokio::test]
async fn a_second_run_changes_nothing_and_a_dry_run_writes_nothing() {
    into_each(|from, store, _inherited| async move {
        let dry = import(
            &from,
            &store,
            Settings {
                dry_run: true,
                ..Settings::default()
            },
        )
        .await;
        assert!(dry.dry_run && realms(&store).await.is_empty() && secrets(&store).await.is_empty());
        let first = import(&from, &store, Settings::default()).await;
        assert_eq!((&first.rows, first.dry_run), (&dry.rows, false));

        let id = SecretId::new("wxgzh", "公司");
        let before = (
            realms(&store).await,
            secrets(&store).await,
            store.find_token(&id).await.unwrap(),
        );
        let second = import(&from, &store, Settings::default()).await;
        let after = (
            realms(&store).await,
            secrets(&store).await,
            store.find_token(&id).await.unwrap(),
        );
        assert_eq!(before, after);
        assert_eq!(
            (
                count(&second, Outcome::Taken),
                count(&second, Outcome::Updated)
            ),
            (0, 0)
        );
        assert_eq!(
            count(&second, Outcome::Unchanged),
            count(&first, Outcome::Taken)
        );
        assert_eq!(second.realms.left, first.realms.left);
    })
    .await;
}

#[tokio::test]
#[expect(
    clippy::too_many_lines,
    reason = "a table of cases, or one story from its beginning to its end"
)]
async fn what_changed_there_is_updated_and_what_was_edited_here_stays() {
    into_each(|from, store, inherited| async move {
        import(&from, &store, Settings::default()).await;
        inherited
            .run("UPDATE realm SET comment = 'new' WHERE id IN ('wxgzh', 'fn')")
            .await;
        inherited
            .run("UPDATE secret SET key_2 = 'hush2', token = 'newer' WHERE realm = 'wxgzh'")
            .await;
        edit(&store, "fn").await;
        let deleted = delete(&store, &SecretId::new("qywx_qynbkf", "none")).await;

        let report = import(&from, &store, Settings::default()).await;
        let told = |kind| lines(&report, kind).join("\n");
        assert!(told("realm").contains("updated wxgzh\n"), "{report}");
        assert!(
            told("realm").contains("left fn: it was edited here (--overwrite replaces it)"),
            "{report}"
        );
        assert!(told("secret").contains("updated wxgzh/公司"), "{report}");
        assert!(
            told("secret").contains("left qywx_qynbkf/none: it was deleted here"),
            "{report}"
        );
        assert!(told("token").contains("taken wxgzh/公司"), "{report}");
        assert_eq!(
            store.find_secret(&deleted.id).await.unwrap(),
            Some(deleted.clone())
        );
        let secret = store
            .find_secret(&SecretId::new("wxgzh", "公司"))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(
            (secret.content.credentials.get("key_2"), secret.version),
            (Some("hush2"), 2)
        );
        let row = store.find_token(&secret.id).await.unwrap().unwrap();
        assert_eq!(
            (row.version, row.token.unwrap().text.expose()),
            (2, "newer")
        );
        let realm = store.find_realm("wxgzh").await.unwrap().unwrap();
        assert_eq!(
            (realm.comment.as_deref(), realm.version, realm.revision),
            (Some("new"), 1, 2)
        );

        let settings = Settings {
            overwrite: true,
            ..Settings::default()
        };
        let report = import(&from, &store, settings).await;
        assert!(
            lines(&report, "realm").contains(&"updated fn".to_owned()),
            "{report}"
        );
        assert!(
            lines(&report, "secret").contains(&"taken qywx_qynbkf/none".to_owned()),
            "{report}"
        );
        let back = store.find_secret(&deleted.id).await.unwrap().unwrap();
        assert_eq!((back.deleted_at, back.version), (None, deleted.version + 1));
    })
    .await;
}

/// The secrets that the refresher, its sweep or a cron call would renew within an hour and a half.
async fn renewed_ahead(store: &SqlStore) -> Vec<String> {
    let now = store.now().await.unwrap();
    let window = DueWindow {
        by: now.plus(Duration::from_mins(90)),
        asked_since: now.minus(Duration::from_hours(24)),
        grants_by: now.plus(Duration::from_hours(7 * 24)),
    };
    let due = store.list_due(&window, None, 1000).await.unwrap();
    due.into_iter().map(|due| due.id.to_string()).collect()
}

#[tokio::test]
async fn an_imported_token_is_renewed_once_it_was_asked_for_here_or_callers_have_switched() {
    into_each(|from, store, inherited| async move {
        let switched = Settings {
            switched: true,
            ..Settings::default()
        };
        let name = "wxgzh/公司";
        import(&from, &store, Settings::default()).await;
        assert!(renewed_ahead(&store).await.is_empty());
        let dry = Settings {
            dry_run: true,
            ..switched.clone()
        };
        let report = import(&from, &store, dry).await;
        assert_eq!(report.switched, Some(1));
        assert!(renewed_ahead(&store).await.is_empty());

        // Nothing else has changed there or here.
        let report = import(&from, &store, switched).await;
        assert_eq!(count(&report, Outcome::Updated), 0, "{report}");
        assert_eq!(report.switched, Some(1));
        assert_eq!(renewed_ahead(&store).await, [name]);

        let newer = "UPDATE secret SET token = 'newer', expires_at = expires_at + 1000";
        inherited
            .run(&format!("{newer} WHERE realm = 'wxgzh'"))
            .await;
        let report = import(&from, &store, Settings::default()).await;
        assert!(
            lines(&report, "token").contains(&format!("updated {name}")),
            "{report}"
        );
        assert_eq!(renewed_ahead(&store).await, [name]);
    })
    .await;
}

#[tokio::test]
async fn an_ask_here_outlives_the_next_import() {
    into_each(|from, store, inherited| async move {
        import(&from, &store, Settings::default()).await;
        let id = SecretId::new("wxgzh", "公司");
        let now = store.now().await.unwrap();
        store.note_asked(&id, now).await.unwrap();
        assert_eq!(renewed_ahead(&store).await, ["wxgzh/公司"]);
        inherited
            .run("UPDATE secret SET token = 'newer', expires_at = expires_at + 1000 WHERE realm = 'wxgzh'")
            .await;
        let report = import(&from, &store, Settings::default()).await;
        assert!(
            lines(&report, "token").contains(&"updated wxgzh/公司".to_owned()),
            "{report}"
        );
        assert_eq!(renewed_ahead(&store).await, ["wxgzh/公司"]);
    })
    .await;
}

#[tokio::test]
async fn changed_credentials_do_not_get_the_token_of_those_before() {
    into_each(|from, store, inherited| async move {
        import(&from, &store, Settings::default()).await;
        inherited
            .run("UPDATE secret SET key_2 = 'hush2' WHERE realm = 'wxgzh'")
            .await;
        let report = import(&from, &store, Settings::default()).await;
        let left = "left wxgzh/公司: it was fetched with the credentials before";
        assert!(
            lines(&report, "token").contains(&left.to_owned()),
            "{report}"
        );
        let id = SecretId::new("wxgzh", "公司");
        let secret = store.find_secret(&id).await.unwrap().unwrap();
        let held = store.find_token(&id).await.unwrap().unwrap().token.unwrap();
        assert_eq!((secret.version, held.secret_version), (2, 1));
    })
    .await;
}

/// Of a definition that was here before: the inherited one has none.
#[tokio::test]
async fn the_end_of_a_grant_does_not_renew_an_imported_token() {
    into_each(|from, store, _inherited| async move {
        let (id, now) = (SecretId::new("wxgzh", "公司"), store.now().await.unwrap());
        let lease = store.claim_lease(&id, "one", now, now.plus(Duration::from_secs(1)));
        let lease = lease.await.unwrap().unwrap();
        let intent = Intent {
            id: "a".to_owned(),
            generation: 0,
            at: now,
            seed: "seed".to_owned(),
            instance: "one".to_owned(),
        };
        let grant = Grant {
            generation: 1,
            values: [("refresh_token", "r-2")].into_iter().collect(),
            seed: "seed".to_owned(),
            expires_at: Some(now.plus(Duration::from_hours(1))),
            intent: None,
        };
        assert!(store.begin_spend(&id, None, &intent).await.unwrap());
        assert!(store.end_spend(&id, &intent, Some(&grant)).await.unwrap());
        assert!(store.release_lease(&lease, None).await.unwrap());

        let report = import(&from, &store, Settings::default()).await;
        assert!(
            lines(&report, "token").contains(&"taken wxgzh/公司".to_owned()),
            "{report}"
        );
        assert!(renewed_ahead(&store).await.is_empty());
    })
    .await;
}

/// As the service does it.
async fn edit(store: &SqlStore, realm: &str) {
    let row = store.find_realm(realm).await.unwrap().unwrap();
    let (revision, now) = (row.revision, store.now().await.unwrap());
    let row = RealmRow {
        comment: Some("ours".to_owned()),
        revision: revision + 1,
        updated_at: now,
        changed_at: now,
        ..row
    };
    assert!(store.update_realm(&row, revision).await.unwrap());
}

/// As the service does it.
async fn delete(store: &SqlStore, id: &SecretId) -> SecretRow {
    let row = store.find_secret(id).await.unwrap().unwrap();
    let (revision, now) = (row.revision, store.now().await.unwrap());
    let row = SecretRow {
        version: row.version + 1,
        revision: revision + 1,
        updated_at: now,
        changed_at: now,
        deleted_at: Some(now),
        ..row
    };
    assert!(store.update_secret(&row, revision).await.unwrap());
    row
}

#[tokio::test]
async fn an_import_that_meets_a_changed_row_writes_nothing() {
    into_each(|from, store, _inherited| async move {
        import(&from, &store, Settings::default()).await;
        let before = (realms(&store).await, secrets(&store).await);
        let fresh = RealmRow {
            id: "fresh".to_owned(),
            ..before.0[0].clone()
        };
        let secret = SecretRow {
            id: SecretId::new("fresh", "k"),
            ..before.1[0].clone()
        };
        let stale = before.1[0].clone();
        let taken = before.0[1].clone();
        let import = |secrets, taken: Option<RealmRow>| Import {
            realms: [Some((fresh.clone(), None)), taken.map(|row| (row, None))]
                .into_iter()
                .flatten()
                .collect(),
            secrets,
            ..Import::default()
        };
        let gone = Import {
            needed_realms: vec![("gone".to_owned(), 1)],
            ..import(Vec::new(), None)
        };
        for conflicting in [
            import(
                vec![
                    (secret.clone(), None),
                    (stale.clone(), Some(stale.revision - 1)),
                ],
                None,
            ),
            import(vec![(secret.clone(), None), (stale, None)], None),
            import(vec![(secret, None)], Some(taken)),
            gone,
        ] {
            let outcome = store.write_import(&conflicting).await;
            assert!(
                matches!(outcome, Err(StoreError::Conflict(_))),
                "{outcome:?}"
            );
            assert_eq!((realms(&store).await, secrets(&store).await), before);
        }
    })
    .await;
}

#[tokio::test]
async fn imports_at_the_same_time_agree() {
    into_each(|from, store, _inherited| async move {
        let settings = Settings::default();
        let (one, other) = tokio::join!(
            Box::pin(run(&from, &store, settings.clone())),
            Box::pin(run(&from, &store, settings))
        );
        assert_eq!(
            count(&one.unwrap(), Outcome::Left),
            count(&other.unwrap(), Outcome::Left)
        );
        assert!(realms(&store).await.iter().all(|row| row.revision == 1));
        assert_eq!(
            (realms(&store).await.len(), secrets(&store).await.len()),
            (5, 4)
        );
    })
    .await;
}

#[tokio::test]
async fn ten_thousand_secrets_are_taken_at_once() {
    into_each(|from, store, inherited| async move {
        inherited
            .run(
                "INSERT INTO secret (realm, `key`, key_1, key_2, token, expires_at)
                 SELECT 'wxgzh', CONCAT('many-', seq), seq, 'hush', CONCAT('token-', seq),
                 (UNIX_TIMESTAMP() + 3600) * 1000 FROM seq_1_to_10000",
            )
            .await;
        let first = run(&from, &store, Settings::default()).await.unwrap();
        assert_eq!((first.secrets.taken, first.tokens.taken), (10_004, 10_002));
        let second = run(&from, &store, Settings::default()).await.unwrap();
        assert_eq!(
            (second.secrets.unchanged, second.tokens.unchanged),
            (10_004, 10_002)
        );
        assert_eq!(
            count(&second, Outcome::Taken) + count(&second, Outcome::Updated),
            0
        );
    })
    .await;
}

#[tokio::test]
async fn other_column_types_and_absent_columns_are_read() {
    let Some(server) = variable("TEST_MYSQL_URL") else {
        return;
    };
    let inherited = Inherited::create(&server).await;
    inherited
        .run(
            "CREATE TABLE realm (id VARCHAR(50) CHARACTER SET latin1 COLLATE latin1_bin PRIMARY KEY, config LONGTEXT,
             created_at TIMESTAMP NULL)",
        )
        .await;
    inherited
        .run(
            "CREATE TABLE secret (realm VARCHAR(50), `KEY` VARBINARY(200), key_1 INT, key_12 TEXT, token BLOB,
             expires_at DATETIME, created_at BIGINT, updated_at VARCHAR(30))",
        )
        .await;
    inherited
        .run("INSERT INTO realm VALUES ('caf\u{e9}', NULL, NULL), ('wx', '', NULL)")
        .await;
    inherited
        .run("INSERT INTO secret VALUES ('wx', '公司', 7, 'x', 't', NOW() + INTERVAL 1 HOUR, 1500000000000, 'NaN')")
        .await;
    let folder = tempfile::tempdir().unwrap();
    let store = open(&format!(
        "sqlite:{}",
        folder.path().join("data.db").display()
    ))
    .await;
    let report = import(&inherited.url(), &store, Settings::default()).await;
    assert_eq!(count(&report, Outcome::Taken), 4, "{report}");
    let secret = store
        .find_secret(&SecretId::new("wx", "公司"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        secret.content.credentials,
        [("key_1", "7"), ("key_12", "x")].into_iter().collect()
    );
    assert_eq!(secret.created_at.epoch_ms(), 1_500_000_000_000);
    let expires_at = secret.content.fixed.unwrap().expires_at.unwrap();
    let left = expires_at.since(store.now().await.unwrap());
    assert!(
        left > Duration::from_secs(3500) && left < Duration::from_secs(3700),
        "{left:?}"
    );
    assert!(store.find_realm("café").await.unwrap().is_some());
    inherited.drop().await;
}

#[tokio::test]
async fn what_cannot_be_read_is_told_without_the_password() {
    let Some(server) = variable("TEST_MYSQL_URL") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let store = open(&format!(
        "sqlite:{}",
        folder.path().join("data.db").display()
    ))
    .await;
    let inherited = Inherited::create(&server).await;
    let failed = run(&inherited.url(), &store, Settings::default())
        .await
        .unwrap_err();
    assert!(matches!(failed, ImportError::Missing { .. }), "{failed:?}");
    assert!(
        failed
            .to_string()
            .contains("it has no table realm, table secret"),
        "{failed}"
    );
    inherited.run("CREATE TABLE realm (name INT)").await;
    inherited.run("CREATE TABLE secret (realm INT)").await;
    let failed = run(&inherited.url(), &store, Settings::default())
        .await
        .unwrap_err();
    assert!(
        failed
            .to_string()
            .contains("it has no column realm.id, column secret.key;"),
        "{failed}"
    );

    let wrong = server.replace("://root:", "://root:hush-hush");
    for url in [
        format!("{wrong}/mysql"),
        "mysql://u:hush-hush@127.0.0.1:1/x".to_owned(),
    ] {
        let from = LegacyUrl::read(&url).unwrap();
        let failed = run(&from, &store, Settings::default()).await.unwrap_err();
        assert!(
            matches!(failed, ImportError::Unreadable { .. }),
            "{failed:?}"
        );
        assert!(!failed.to_string().contains("hush-hush"), "{failed}");
        let expected = if url.contains(":1/") {
            "no connection within 5s"
        } else {
            "Access denied"
        };
        assert!(failed.to_string().contains(expected), "{failed}");
    }
    inherited.drop().await;
}
