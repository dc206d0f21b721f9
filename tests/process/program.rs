//! Starting the program and talking to it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderValue};
use secrecy::ExposeSecret as _;
use serde_json::Value;
use token_server::api_key::ApiKey;

/// The binary that this build made.
const PROGRAM: &str = env!("CARGO_BIN_EXE_token-server");

/// How long anything that should happen may take on a slow machine.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// A command of the program, without anything of the environment that configures it.
pub(crate) fn command(args: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command
        .args(args)
        .env_clear()
        .current_dir(std::env::temp_dir());
    // The providers of tests are on this machine.
    command.env("TOKEN_SERVER__UPSTREAM__ALLOW_NETWORKS", "loopback");
    let (_, file) = admin_key();
    command.env("TOKEN_SERVER__AUTH__ADMIN_KEY_FILE", file);
    command.env("TOKEN_SERVER_API_KEY_FILE", file);
    command
}

/// The API key of role admin that servers of these tests know, and the file that it is in.
pub(crate) fn admin_key() -> &'static (String, std::path::PathBuf) {
    static KEY: OnceLock<(String, std::path::PathBuf)> = OnceLock::new();
    KEY.get_or_init(|| {
        let key = ApiKey::generate().unwrap();
        let text = key.text().expose_secret().to_owned();
        let (mut file, path) = tempfile::NamedTempFile::new().unwrap().keep().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        (text, path)
    })
}

/// A client that shows it.
pub(crate) fn admin_client() -> reqwest::Client {
    admin_client_builder().build().unwrap()
}

/// A client that shows no API key.
pub(crate) fn plain_client() -> reqwest::Client {
    let builder = token_server::upstream::client_builder().unwrap();
    builder.timeout(PATIENCE).build().unwrap()
}

/// The same, to be changed.
pub(crate) fn admin_client_builder() -> reqwest::ClientBuilder {
    let mut bearer: HeaderValue = format!("Bearer {}", admin_key().0).parse().unwrap();
    bearer.set_sensitive(true);
    token_server::upstream::client_builder()
        .unwrap()
        .timeout(PATIENCE)
        .default_headers([(AUTHORIZATION, bearer)].into_iter().collect())
}

/// Runs a command to its end.
pub(crate) fn run(args: &[&str]) -> Output {
    command(args).stdin(Stdio::null()).output().unwrap()
}

/// Standard output of a command that must succeed.
pub(crate) fn output_of(args: &[&str]) -> String {
    let output = run(args);
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// A server process; killed when dropped.
pub(crate) struct Program {
    child: Child,
    pub(crate) url: String,
    stdout: Receiver<String>,
    log: Arc<Mutex<Vec<String>>>,
    client: reqwest::Client,
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Program {
    /// Starts `serve` on a free port and waits until it listens, not until it is ready.
    pub(crate) fn serve(database: &str, more: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut args = vec![
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--metrics-listen",
            "off",
            "--database",
            database,
        ];
        args.extend(more);
        Self::start(&args, environment)
    }

    /// Starts a server and waits until it listens.
    pub(crate) fn start(args: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut child = command(args)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = lines_of(child.stdout.take().unwrap(), |_| {});
        let log = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&log);
        let stderr = lines_of(child.stderr.take().unwrap(), move |line| {
            kept.lock().unwrap().push(line.to_owned());
        });
        let address = std::iter::from_fn(|| stderr.recv_timeout(PATIENCE).ok())
            .find_map(|line| {
                let line: Value = serde_json::from_str(&line).ok()?;
                (line["message"] == "listening")
                    .then(|| line["address"].as_str().unwrap().to_owned())
            })
            .unwrap_or_else(|| panic!("it does not listen: {:?}", log.lock().unwrap()));
        // `dev` lets everybody in who shows no key.
        let client = match args.first() {
            Some(&"dev") => plain_client(),
            _ => admin_client(),
        };
        Self {
            child,
            url: format!("http://{address}"),
            stdout,
            log,
            client,
        }
    }

    /// Starts `serve` and waits until it is ready.
    pub(crate) async fn ready(database: &str, more: &[&str]) -> Self {
        let program = Self::serve(database, more, &[]);
        program.wait_for_status("/readyz", 200).await;
        program
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        self.ask(self.client.get(self.at(path))).await
    }

    /// POST; must succeed.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Value {
        self.post_for(path, body, 200).await
    }

    /// POST; must be answered this status.
    pub(crate) async fn post_for(&self, path: &str, body: &Value, expected: u16) -> Value {
        let (status, answer) = self
            .ask(self.client.post(self.at(path)).body(body.to_string()))
            .await;
        assert_eq!(status, expected, "{answer}");
        answer
    }

    /// The token of realm `r`, key `k`.
    pub(crate) async fn token(&self) -> (u16, Value) {
        self.get("/api/token?realm=r&key=k").await
    }

    async fn ask(&self, request: reqwest::RequestBuilder) -> (u16, Value) {
        let response = request
            .send()
            .await
            .unwrap_or_else(|error| panic!("{error}: {}", self.log()));
        let status = response.status().as_u16();
        let text = response.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    pub(crate) fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// Asks until a path has this status; answers the body.
    pub(crate) async fn wait_for_status(&self, path: &str, status: u16) -> Value {
        for _ in 0..PATIENCE.as_millis() / 50 {
            let (found, body) = self.get(path).await;
            if found == status {
                return body;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{path} is never {status}: {}", self.log());
    }

    /// Waits until it has logged a line with these words.
    pub(crate) async fn wait_for_log(&self, words: &str) {
        let wait = async {
            while !self.log().contains(words) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let logged = tokio::time::timeout(PATIENCE, wait).await;
        assert!(logged.is_ok(), "{words:?} is never logged: {}", self.log());
    }

    /// The next line of its standard output.
    pub(crate) fn next_line(&self) -> String {
        self.stdout.recv_timeout(PATIENCE).unwrap()
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }

    /// The most memory that it had so far.
    pub(crate) fn peak_memory_kb(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let peak = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .unwrap();
        peak.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Sends a signal, e.g. `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args([format!("-{name}"), self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(sent.success());
    }

    /// Waits for its end; answers the exit code.
    pub(crate) async fn end(&mut self) -> Option<i32> {
        for _ in 0..PATIENCE.as_millis() / 20 {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("it does not end: {}", self.log());
    }
}

/// Reads lines in a thread, so that a full pipe never blocks the program.
pub(crate) fn lines_of(
    stream: impl std::io::Read + Send + 'static,
    mut see: impl FnMut(&str) + Send + 'static,
) -> Receiver<String> {
    let (send, lines) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            see(&line);
            // The test may have stopped listening; the pipe is read on.
            let _ = send.send(line);
        }
    });
    lines
}

/// Where a database server is, from the environment that `tests/run` sets; `None` prints a skip,
/// and fails in CI.
pub(crate) fn needed(variable: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "what tests/run exports")]
    let (found, in_ci) = (
        std::env::var(variable).ok(),
        std::env::var("CI").is_ok_and(|ci| ci == "true"),
    );
    if found.is_none() {
        assert!(!in_ci, "{variable} is not set: run the tests by tests/run");
        #[expect(clippy::print_stderr, reason = "a skip must be seen")]
        {
            eprintln!("SKIPPED: {variable} is not set; run: make test");
        }
    }
    found
}

/// Whether the program has crash points; without them a skip is printed, and CI fails.
pub(crate) fn has_crash_points() -> bool {
    let has = cfg!(feature = "failpoints");
    if !has {
        #[expect(clippy::disallowed_methods, reason = "what tests/run exports")]
        let in_ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
        assert!(
            !in_ci,
            "the feature failpoints is off: run the tests by tests/run"
        );
        #[expect(clippy::print_stderr, reason = "a skip must be seen")]
        {
            eprintln!("SKIPPED: the feature failpoints is off; run: make test");
        }
    }
    has
}

/// A new, empty database on a server; answers its URL.
pub(crate) async fn new_database(server: &str) -> String {
    use sea_orm::ConnectionTrait as _;
    let name = format!("process_{}", uuid::Uuid::now_v7().simple());
    let admin = if server.starts_with("postgres") {
        format!("{server}/postgres")
    } else {
        server.to_owned()
    };
    let db = sea_orm::Database::connect(admin).await.unwrap();
    db.execute_unprepared(&format!("CREATE DATABASE {name}"))
        .await
        .unwrap();
    db.close().await.unwrap();
    format!("{server}/{name}")
}

/// Makes a test of each scenario on each database server.
macro_rules! on_both {
    ($($scenario:ident: $on_mariadb:ident, $on_postgresql:ident;)+) => {$(
        #[tokio::test(flavor = "multi_thread")]
        async fn $on_mariadb() {
            if let Some(server) = $crate::program::needed("TEST_MYSQL_URL") {
                $scenario(&server).await;
            }
        }

        #[tokio::test(flavor = "multi_thread")]
        async fn $on_postgresql() {
            if let Some(server) = $crate::program::needed("TEST_POSTGRES_URL") {
                $scenario(&server).await;
            }
        }
    )+};
}

pub(crate) use on_both;
