//! Each TLS mode of both database servers, on throwaway servers with a certificate of the test's
//! own CA. The certificate is for localhost, so that 127.0.0.1 is a wrong name.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use sea_orm::{ConnectionTrait as _, Database};

use crate::certificates::{Authority, Issued, file};
use crate::program::{PATIENCE, Program, run};

/// A database server; stopped when dropped.
struct Server {
    child: Child,
    port: u16,
    scheme: &'static str,
    folder: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        // TERM would let PostgreSQL wait for its clients.
        let signal = if self.scheme == "mysql" {
            "TERM"
        } else {
            "INT"
        };
        let _ = Command::new("kill")
            .args(["-s", signal, &self.child.id().to_string()])
            .status();
        let _ = self.child.wait();
    }
}

/// The program of this name, where Debian keeps it or in the path; `None` prints a skip, and fails
/// in CI.
fn program(name: &str, package: &str) -> Option<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "what the tests run in")]
    let (path, in_ci) = (
        std::env::var_os("PATH").unwrap_or_default(),
        std::env::var("CI").is_ok_and(|ci| ci == "true"),
    );
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let found = versions
        .filter_map(|version| Some(version.ok()?.path().join("bin")))
        .chain(std::env::split_paths(&path))
        .chain([PathBuf::from("/usr/sbin")])
        .map(|folder| folder.join(name))
        .find(|path| path.exists());
    if found.is_none() {
        assert!(!in_ci, "{name} is missing: apt-get install {package}");
        #[expect(clippy::print_stderr, reason = "a skip must be seen")]
        {
            eprintln!("SKIPPED: {name} is missing; run: apt-get install {package}");
        }
    }
    found
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().unwrap();
    id.stdout == b"0\n"
}

fn must(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// A folder with a server's certificate and the CA's, and another CA's.
fn certificates() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let ca = Authority::new("invented CA");
    let Issued { certificate, key } = ca.issue("invented database", &["localhost"]);
    let other = Authority::new("other invented CA");
    for (name, text) in [
        ("certificate", &certificate),
        ("key", &key),
        ("ca", &ca.pem),
        ("other_ca", &other.pem),
    ] {
        file(folder.path(), name, text);
    }
    must(
        Command::new("chmod")
            .arg("600")
            .arg(folder.path().join("key")),
    );
    folder
}

/// Hands the folder to the account that the server runs under.
fn give(folder: &Path, account: &str) {
    if is_root() {
        must(Command::new("chown").args(["-R", account]).arg(folder));
    }
}

fn option(name: &str, path: &Path) -> String {
    format!("--{name}={}", path.display())
}

/// What the tests log in with: `plain` as it likes, `tls_only` with TLS only.
const MARIADB_USERS: &str = "CREATE DATABASE ts;
CREATE USER plain@127.0.0.1 IDENTIFIED BY 'hush';
GRANT ALL ON *.* TO plain@127.0.0.1;
CREATE USER tls_only@127.0.0.1 IDENTIFIED BY 'hush' REQUIRE SSL;
GRANT ALL ON *.* TO tls_only@127.0.0.1;
";

fn mariadb() -> Option<Server> {
    let (install, server) = (
        program("mariadb-install-db", "mariadb-server")?,
        program("mariadbd", "mariadb-server")?,
    );
    let folder = certificates();
    let of = |name: &str| folder.path().join(name);
    file(folder.path(), "users.sql", MARIADB_USERS);
    fs::create_dir(of("tmp")).unwrap();
    give(folder.path(), "mysql");
    let common = [
        "--no-defaults".to_owned(),
        format!("--user={}", if is_root() { "mysql" } else { "" }),
        option("datadir", &of("data")),
        option("tmpdir", &of("tmp")),
        "--innodb-use-native-aio=0".to_owned(),
        "--skip-name-resolve".to_owned(),
    ];
    let common = common.iter().filter(|text| !text.ends_with("--user="));
    must(
        Command::new(install)
            .args(common.clone())
            .args(["--auth-root-authentication-method=normal", "--skip-test-db"]),
    );
    let port = free_port();
    let child = Command::new(server)
        .args(common)
        .args([
            option("socket", &of("socket")),
            option("pid-file", &of("pid")),
            option("init-file", &of("users.sql")),
            option("ssl-cert", &of("certificate")),
            option("ssl-key", &of("key")),
            option("ssl-ca", &of("ca")),
            format!("--port={port}"),
        ])
        .args(["--bind-address=127.0.0.1", "--skip-log-bin"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(fs::File::create(of("log")).unwrap())
        .spawn()
        .unwrap();
    Some(Server {
        child,
        port,
        scheme: "mysql",
        folder,
    })
}

const POSTGRESQL_ACCESS: &str = "host all postgres 127.0.0.1/32 trust
hostssl all tls_only 127.0.0.1/32 scram-sha-256
host all plain 127.0.0.1/32 scram-sha-256
";

/// A command of `PostgreSQL`, which refuses to run as root.
fn as_postgres(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=postgres", "--regid=postgres", "--init-groups"])
        .arg(program);
    command
}

async fn postgresql() -> Option<Server> {
    let (initdb, server) = (
        program("initdb", "postgresql")?,
        program("postgres", "postgresql")?,
    );
    let folder = certificates();
    let of = |name: &str| folder.path().join(name);
    file(folder.path(), "access", POSTGRESQL_ACCESS);
    give(folder.path(), "postgres");
    must(
        as_postgres(&initdb)
            .arg(option("pgdata", &of("data")))
            .args(["--username=postgres", "--auth=trust", "--encoding=UTF8"])
            .args(["--locale=C", "--no-sync"])
            .current_dir(folder.path()),
    );
    let port = free_port();
    let child = as_postgres(&server)
        .arg("-D")
        .arg(of("data"))
        .args(["-p", &port.to_string(), "--listen_addresses=127.0.0.1"])
        .args(["--fsync=off", "--ssl=on"])
        .args([
            option("unix_socket_directories", folder.path()),
            option("hba_file", &of("access")),
            option("ssl_cert_file", &of("certificate")),
            option("ssl_key_file", &of("key")),
        ])
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(fs::File::create(of("log")).unwrap())
        .spawn()
        .unwrap();
    let server = Server {
        child,
        port,
        scheme: "postgres",
        folder,
    };
    let admin = server
        .ready(&format!("postgres://postgres@127.0.0.1:{port}/postgres"))
        .await;
    for sql in [
        "CREATE ROLE plain LOGIN SUPERUSER PASSWORD 'hush'",
        "CREATE ROLE tls_only LOGIN SUPERUSER PASSWORD 'hush'",
        "CREATE DATABASE ts",
    ] {
        admin.execute_unprepared(sql).await.unwrap();
    }
    admin.close().await.unwrap();
    Some(server)
}

/// A login with a TLS mode, and what comes of it.
struct Case {
    user: &'static str,
    host: &'static str,
    mode: &'static str,
    ca: &'static str,
    /// `None`: it works.
    refusal: Option<&'static str>,
}

const fn case(
    (user, host): (&'static str, &'static str),
    (mode, ca): (&'static str, &'static str),
    refusal: Option<&'static str>,
) -> Case {
    Case {
        user,
        host,
        mode,
        ca,
        refusal,
    }
}

impl Server {
    fn url(&self, case: &Case) -> String {
        let (scheme, port) = (self.scheme, self.port);
        let Case {
            user, host, mode, ..
        } = case;
        let (mode_name, ca_name) = if scheme == "mysql" {
            ("ssl-mode", "ssl-ca")
        } else {
            ("sslmode", "sslrootcert")
        };
        let ca = if case.ca.is_empty() {
            String::new()
        } else {
            let path = self.folder.path().join(case.ca);
            format!("&{ca_name}={}", path.display())
        };
        format!("{scheme}://{user}:hush@{host}:{port}/ts?{mode_name}={mode}{ca}")
    }

    /// A connection, once the server answers.
    async fn ready(&self, url: &str) -> sea_orm::DatabaseConnection {
        let connected = async {
            loop {
                if let Ok(db) = Database::connect(url).await {
                    return db;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let log = || fs::read_to_string(self.folder.path().join("log"));
        let ready = tokio::time::timeout(PATIENCE, connected).await;
        ready.unwrap_or_else(|_| panic!("it does not answer: {:?}", log()))
    }

    async fn check(&self, cases: &[Case]) {
        for case in cases {
            let url = self.url(case);
            let output = run(&["migrate", "up", "--database", &url]);
            assert_outcome(&output, case, &url);
        }
        // The server too ends at once, where the command does.
        let refused = cases.iter().rfind(|case| case.refusal.is_some()).unwrap();
        let mut program = Program::serve(&self.url(refused), &[], &[]);
        assert_eq!(program.end().await, Some(78), "{}", program.log());
    }
}

fn assert_outcome(output: &Output, case: &Case, url: &str) {
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let expected = if case.refusal.is_some() { 78 } else { 0 };
    assert_eq!(output.status.code(), Some(expected), "{url}: {told}");
    let words = case.refusal.unwrap_or_default();
    assert!(told.contains(words), "{url}: {told}");
    assert!(!told.contains("hush"), "{url}: {told}");
}

const LOCALHOST: (&str, &str) = ("tls_only", "localhost");
const BY_ADDRESS: (&str, &str) = ("tls_only", "127.0.0.1");

#[tokio::test(flavor = "multi_thread")]
async fn each_tls_mode_of_mariadb_works_or_refuses() {
    let Some(server) = mariadb() else { return };
    let plain = case(("plain", "127.0.0.1"), ("disabled", ""), None);
    let db = server.ready(&server.url(&plain)).await;
    db.close().await.unwrap();
    let unknown = Some("UnknownIssuer");
    server
        .check(&[
            plain,
            case(BY_ADDRESS, ("disabled", ""), Some("Access denied")),
            case(BY_ADDRESS, ("preferred", ""), None),
            case(BY_ADDRESS, ("required", ""), None),
            case(BY_ADDRESS, ("verify_ca", "ca"), None),
            case(BY_ADDRESS, ("verify_ca", "other_ca"), unknown),
            case(BY_ADDRESS, ("verify_ca", ""), unknown),
            case(
                BY_ADDRESS,
                ("verify_ca", "no_ca"),
                Some("no_ca cannot be read"),
            ),
            case(LOCALHOST, ("verify_identity", "ca"), None),
            case(LOCALHOST, ("verify_identity", "other_ca"), unknown),
            case(
                BY_ADDRESS,
                ("verify_identity", "ca"),
                Some("not valid for name"),
            ),
        ])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_tls_mode_of_postgresql_works_or_refuses() {
    let Some(server) = postgresql().await else {
        return;
    };
    let unknown = Some("UnknownIssuer");
    let no_tls = Some("no encryption");
    server
        .check(&[
            case(("plain", "127.0.0.1"), ("disable", ""), None),
            case(BY_ADDRESS, ("disable", ""), no_tls),
            // The driver does not try TLS here, as libpq would after a refusal.
            case(("plain", "127.0.0.1"), ("allow", ""), None),
            case(BY_ADDRESS, ("allow", ""), no_tls),
            case(BY_ADDRESS, ("prefer", ""), None),
            case(BY_ADDRESS, ("require", ""), None),
            case(BY_ADDRESS, ("verify-ca", "ca"), None),
            case(BY_ADDRESS, ("verify-ca", "other_ca"), unknown),
            case(BY_ADDRESS, ("verify-ca", ""), unknown),
            case(
                BY_ADDRESS,
                ("verify-ca", "no_ca"),
                Some("no_ca cannot be read"),
            ),
            case(LOCALHOST, ("verify-full", "ca"), None),
            case(LOCALHOST, ("verify-full", "other_ca"), unknown),
            case(
                BY_ADDRESS,
                ("verify-full", "ca"),
                Some("not valid for name"),
            ),
        ])
        .await;
    let url = server.url(&case(("plain", "127.0.0.1"), ("prefer", ""), None));
    let wrong = url.replace(":hush@", ":hush-hush@");
    let wrong_password = case(
        ("plain", "127.0.0.1"),
        ("prefer", ""),
        Some("password authentication failed for user \"plain\""),
    );
    let output = run(&["migrate", "up", "--database", &wrong]);
    assert_outcome(&output, &wrong_password, &wrong);
}
