//! schemathesis against the real program: it sends what the description of the API allows and what
//! it forbids, as one role, and judges every answer.
//!
//! `tests/peers/schemathesis/schemathesis.toml` says which checks it makes, and why not others.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::faulty_provider::{Fault, FaultyProvider};
use crate::program::{Program, admin_key, needed};

const CONFIG: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/peers/schemathesis/schemathesis.toml"
);

/// How long one role may take on a slow machine; two minutes on two idle cores are the most wanted.
const LONGEST_RUN: Duration = Duration::from_mins(10);

/// A server with a realm, secrets and keys, and the provider that all its fetches end at.
struct Subject {
    program: Program,
    provider: FaultyProvider,
    folder: tempfile::TempDir,
}

impl Subject {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let provider = FaultyProvider::start().await;
        provider.script(Fault::Json(
            json!({"access_token": "t", "token": "t", "expires_in": 7200}),
        ));
        let database = format!("sqlite:{}", folder.path().join("t.db").display());
        // Definitions name any host: all of them are asked of the provider, and nothing leaves the machine.
        let proxy = provider.url().replace("/token", "");
        let environment = [
            ("TOKEN_SERVER__UPSTREAM__PROXY_URL", proxy.as_str()),
            ("TOKEN_SERVER__UPSTREAM__TIMEOUT_SECONDS", "2"),
        ];
        let program = Program::serve(&database, &[], &environment);
        program.wait_for_status("/readyz", 200).await;
        let subject = Self {
            program,
            provider,
            folder,
        };
        let config = subject.config();
        for realm in ["wxgzh", "other"] {
            let realm = json!({"id": realm, "config": config});
            subject.program.post("/api/realm", &realm).await;
        }
        for (realm, key) in [("wxgzh", "my-app"), ("wxgzh", "second"), ("other", "only")] {
            let secret = json!({"realm": realm, "key": key, "key_1": "invented"});
            subject.program.post("/api/secret", &secret).await;
        }
        subject
    }

    /// A definition that works: of the realms, and in the examples of the description.
    fn config(&self) -> Value {
        json!({
            "inputs": {"key_1": {"required": false},
                "component_verify_ticket": {"from": "pushed", "required": false}},
            "requests": [{"url": self.provider.url(), "query": {"id": "{{ key_1 }}"}}],
            "token": "$.access_token",
            "expires": {"path": "$.expires_in", "unit": "seconds"},
        })
    }

    /// The description as it is served, but for the examples of a definition: a realm that is saved
    /// from them works on, since its provider is here.
    async fn description(&self) -> Value {
        let (status, mut description) = self.program.get("/openapi.json").await;
        assert_eq!(status, 200);
        for body in ["RealmEditBody", "TrialBody"] {
            let place = format!("/components/schemas/{body}/properties/config/example");
            *description.pointer_mut(&place).unwrap() = self.config();
        }
        description
    }

    /// Runs it to its end.
    async fn judge(&self, schemathesis: &str, api_key: &str) {
        let (description, printed) = (
            self.folder.path().join("openapi.json"),
            self.folder.path().join("printed"),
        );
        std::fs::write(&description, self.description().await.to_string()).unwrap();
        // Its line in the log stands between what made the subject and what judges it.
        let (status, _) = self.program.get("/the-judging-begins").await;
        assert_eq!(status, 404);
        let output = std::fs::File::create(&printed).unwrap();
        let mut run = Command::new(schemathesis)
            .args(["--config-file", CONFIG, "run"])
            .arg(&description)
            .args(["--url", &self.program.url])
            .args(["--header", &format!("Authorization: Bearer {api_key}")])
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        let began = Instant::now();
        let status = loop {
            if let Some(status) = run.try_wait().unwrap() {
                break status;
            }
            if began.elapsed() > LONGEST_RUN {
                run.kill().unwrap();
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        assert!(
            status.success(),
            "{}\n{}",
            read(&printed),
            self.program.log()
        );
        self.demand_no_error_logged();
    }

    fn demand_no_error_logged(&self) {
        let log = self.program.log();
        let mut errors = log
            .lines()
            .filter(|line| line.contains(r#""level":"ERROR""#) || line.contains("panicked"));
        assert_eq!(errors.next(), None);
    }

    /// Method and path of every operation.
    async fn operations(&self) -> BTreeSet<(String, String)> {
        let description = self.description().await;
        let paths = description["paths"].as_object().unwrap();
        let methods = paths.iter().flat_map(|(path, item)| {
            let methods = item.as_object().unwrap().keys();
            methods.map(|method| (method.to_uppercase(), path.clone()))
        });
        methods.collect()
    }

    /// Those that schemathesis was answered well: what the log has after `judge` began.
    async fn answered_well(&self) -> BTreeSet<(String, String)> {
        let log = self.program.log();
        let lines = log
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .skip_while(|line| line["route"] != "none");
        let well = lines.filter(|line| {
            line["message"] == "answered" && (200..300).contains(&line["status"].as_u64().unwrap())
        });
        let text = |line: &Value, name: &str| line[name].as_str().unwrap().to_owned();
        let well = well.map(|line| (text(&line, "method"), text(&line, "route")));
        let operations = self.operations().await;
        well.filter(|route| operations.contains(route)).collect()
    }
}

fn read(file: &Path) -> String {
    std::fs::read_to_string(file).unwrap()
}

/// All operations come to a good end at least once, so that answers of every kind are judged.
#[tokio::test(flavor = "multi_thread")]
async fn an_admin_is_answered_as_the_api_is_described() {
    let Some(schemathesis) = needed("TEST_SCHEMATHESIS") else {
        return;
    };
    let subject = Subject::start().await;
    subject.judge(&schemathesis, &admin_key().0).await;
    let well = subject.answered_well().await;
    let missing: Vec<_> = subject
        .operations()
        .await
        .difference(&well)
        .cloned()
        .collect();
    assert_eq!(missing, [], "never answered well");
}

/// What its role does not allow is never answered well, and the rest is at least once.
#[tokio::test(flavor = "multi_thread")]
async fn an_app_is_answered_as_the_api_is_described() {
    let Some(schemathesis) = needed("TEST_SCHEMATHESIS") else {
        return;
    };
    let subject = Subject::start().await;
    let made = subject
        .program
        .post_for(
            "/api/keys",
            &json!({"role": "app", "scopes": ["wxgzh:*"]}),
            201,
        )
        .await;
    subject
        .judge(&schemathesis, made["key"].as_str().unwrap())
        .await;
    let allowed = [
        ("GET", "/api/secret/{key}/status"),
        ("GET", "/api/token"),
        ("GET", "/healthz"),
        ("GET", "/readyz"),
        ("GET", "/schema/realm.json"),
        ("POST", "/api/secret/{key}/renew"),
        ("POST", "/api/token/report"),
    ];
    let allowed = allowed.map(|(method, path)| (method.to_owned(), path.to_owned()));
    let well = subject.answered_well().await;
    assert_eq!(well, BTreeSet::from(allowed));
}
