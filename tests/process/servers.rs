//! Throwaway database servers, for what would disturb the tests that share one. They take TLS with
//! a certificate of the test's own CA.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use sea_orm::{ConnectionTrait as _, Database};

use crate::certificates::{Authority, Issued, file};
use crate::program::PATIENCE;

/// A database server; stopped when dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) port: u16,
    pub(crate) scheme: &'static str,
    /// Its certificate and its CA's, among others.
    pub(crate) folder: tempfile::TempDir,
}

impl Server {
    /// A connection, once the server answers.
    pub(crate) async fn ready(&self, url: &str) -> sea_orm::DatabaseConnection {
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

/// What the tests log in with: `plain` as it likes, `tls_only` with TLS only, both as administrators;
/// `app` may do what it likes in its database only.
const MARIADB_USERS: &str = "CREATE DATABASE ts;
CREATE USER plain@127.0.0.1 IDENTIFIED BY 'hush';
GRANT ALL ON *.* TO plain@127.0.0.1;
CREATE USER tls_only@127.0.0.1 IDENTIFIED BY 'hush' REQUIRE SSL;
GRANT ALL ON *.* TO tls_only@127.0.0.1;
CREATE USER app@127.0.0.1 IDENTIFIED BY 'hush';
GRANT ALL ON ts.* TO app@127.0.0.1;
";

/// A `MariaDB` with an empty database `ts`; `None` where it is not installed.
pub(crate) fn mariadb() -> Option<Server> {
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

/// A `PostgreSQL` with an empty database `ts`; `None` where it is not installed.
pub(crate) async fn postgresql() -> Option<Server> {
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
