//! Each TLS mode of both database servers, on throwaway servers with a certificate of the test's
//! own CA. The certificate is for localhost, so that 127.0.0.1 is a wrong name.

use std::process::Output;

use crate::program::{Program, run};
use crate::servers::{Server, mariadb, postgresql};

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
