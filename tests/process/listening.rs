//! TLS, client certificates, HTTP/2, the Unix socket, and clients that stand still.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use reqwest::{Certificate, Identity, Version};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, timeout};

use crate::program::{
    PATIENCE, Program, admin_client_builder, admin_key, command, plain_client, run,
};

/// A certificate for `localhost` and its key in a folder.
struct Files {
    folder: TempDir,
    certificate: PathBuf,
    key: PathBuf,
}

impl Files {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = (folder.path().join("tls.pem"), folder.path().join("tls.key"));
        let files = Self {
            folder,
            certificate,
            key,
        };
        files.make(false);
        files
    }

    /// Writes a new certificate; answers it.
    fn make(&self, is_expired: bool) -> String {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        if is_expired {
            params.not_after = date_time_ymd(2020, 1, 1);
        }
        let pem = params.self_signed(&key).unwrap().pem();
        std::fs::write(&self.key, key.serialize_pem()).unwrap();
        std::fs::write(&self.certificate, &pem).unwrap();
        pem
    }

    fn database(&self) -> String {
        format!("sqlite:{}", self.folder.path().join("t.db").display())
    }

    fn settings(&self) -> [(&'static str, &str); 2] {
        [
            (
                "TOKEN_SERVER__SERVER__TLS__CERTIFICATE_FILE",
                self.certificate.to_str().unwrap(),
            ),
            (
                "TOKEN_SERVER__SERVER__TLS__KEY_FILE",
                self.key.to_str().unwrap(),
            ),
        ]
    }

    async fn serve(&self) -> Program {
        let program = Program::serve(&self.database(), &[], &self.settings());
        program.wait_for_log(r#""message":"ready""#).await;
        program
    }
}

/// The URL in TLS.
fn secure(program: &Program, path: &str) -> String {
    let port = program.url.rsplit(':').next().unwrap();
    format!("https://localhost:{port}{path}")
}

fn trusting(pem: &str) -> reqwest::ClientBuilder {
    let authority = Certificate::from_pem(pem.as_bytes()).unwrap();
    admin_client_builder().tls_certs_merge([authority])
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_spoken_in_both_versions_of_http() {
    let files = Files::new();
    let program = files.serve().await;
    let pem = std::fs::read_to_string(&files.certificate).unwrap();
    for (client, version) in [
        (trusting(&pem), Version::HTTP_2),
        (trusting(&pem).http1_only(), Version::HTTP_11),
    ] {
        let client = client.build().unwrap();
        let answer = client
            .get(secure(&program, "/api/realm"))
            .send()
            .await
            .unwrap();
        assert_eq!((answer.status().as_u16(), answer.version()), (200, version));
    }
    // A stranger's certificate is not trusted, and plain HTTP is not spoken.
    let stranger = admin_client_builder().build().unwrap();
    assert!(
        stranger
            .get(secure(&program, "/readyz"))
            .send()
            .await
            .is_err()
    );
    assert!(
        stranger
            .get(format!("{}/readyz", program.url))
            .send()
            .await
            .is_err()
    );
    let url = secure(&program, "");
    let listed = command(&["realm", "list", "--server", &url, "--ca-file"])
        .arg(&files.certificate)
        .output()
        .unwrap();
    assert!(listed.status.success(), "{listed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_replaced_while_connections_go_on() {
    let files = Files::new();
    let program = files.serve().await;
    let first = std::fs::read_to_string(&files.certificate).unwrap();
    let kept = trusting(&first).http1_only().build().unwrap();
    let ready = |client: &reqwest::Client| {
        let asked = client.get(secure(&program, "/readyz")).send();
        async move {
            let text = asked.await?.text().await?;
            Ok::<Value, reqwest::Error>(serde_json::from_str(&text).unwrap())
        }
    };
    assert_eq!(ready(&kept).await.unwrap()["status"], "ok");
    // Rubbish is not taken.
    std::fs::write(&files.certificate, "rubbish").unwrap();
    program.signal("HUP");
    program.wait_for_log("was not reloaded").await;
    let told = ready(&kept).await.unwrap();
    assert!(
        told["warnings"]
            .to_string()
            .contains("certificate_not_reloaded"),
        "{told}"
    );
    assert!(ready(&trusting(&first).build().unwrap()).await.is_ok());
    // Nor one that has expired.
    files.make(true);
    program.wait_for_log("expired at 2020-01-01").await;
    let second = files.make(false);
    program.wait_for_log("a new certificate is used").await;
    assert!(ready(&trusting(&second).build().unwrap()).await.is_ok());
    assert!(ready(&trusting(&first).build().unwrap()).await.is_err());
    let told = ready(&kept).await.unwrap();
    assert!(
        !told.to_string().contains("certificate_not_reloaded"),
        "{told}"
    );
}

#[test]
fn a_certificate_that_cannot_be_used_is_told_at_the_start() {
    let (files, others) = (Files::new(), Files::new());
    let start = |certificate: &Path, key: &Path| {
        let output = command(&[
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--database",
            "sqlite::memory:",
        ])
        .env("TOKEN_SERVER__SERVER__TLS__CERTIFICATE_FILE", certificate)
        .env("TOKEN_SERVER__SERVER__TLS__KEY_FILE", key)
        .output()
        .unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let (code, message) = start(&files.certificate, &others.key);
    assert_eq!(code, Some(78), "{message}");
    assert!(
        message.contains("is not the key of the certificate"),
        "{message}"
    );
    let (code, message) = start(&files.key, &files.key);
    assert_eq!(code, Some(78), "{message}");
    assert!(message.contains("holds no certificate"), "{message}");
    files.make(true);
    let (code, message) = start(&files.certificate, &files.key);
    assert_eq!(code, Some(78), "{message}");
    assert!(message.contains("expired at 2020-01-01"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_certificate_stands_for_a_key() {
    let files = Files::new();
    let clients = Files::new();
    let made = run(&[
        "key",
        "create",
        "--role",
        "operator",
        "--database",
        &files.database(),
        "--certificate",
        clients.certificate.to_str().unwrap(),
        "--output",
        "json",
    ]);
    assert!(made.status.success(), "{made:?}");
    let program = files.serve().await;
    let pem = std::fs::read_to_string(&files.certificate).unwrap();
    let authority = || Certificate::from_pem(pem.as_bytes()).unwrap();
    let identity = |files: &Files| {
        let both = [&files.certificate, &files.key].map(|file| std::fs::read(file).unwrap());
        Identity::from_pem(&both.concat()).unwrap()
    };
    let builder = || {
        token_server::upstream::client_builder()
            .unwrap()
            .tls_certs_merge([authority()])
    };
    let known = builder().identity(identity(&clients)).build().unwrap();
    let unknown = builder().identity(identity(&Files::new())).build().unwrap();
    let nobody = builder().build().unwrap();
    for (client, path, expected) in [
        (&known, "/api/realm", 200),
        (&known, "/api/token?realm=r&key=k", 403),
        (&unknown, "/api/realm", 401),
        (&nobody, "/api/realm", 401),
        (&nobody, "/readyz", 200),
    ] {
        let answer = client.get(secure(&program, path)).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), expected, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unix_socket_is_listened_on() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("ts.sock");
    let database = format!("sqlite:{}", folder.path().join("t.db").display());
    let unix = [("TOKEN_SERVER__SERVER__UNIX", socket.to_str().unwrap())];
    // Left over from a process that was killed.
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    let mut program = Program::serve(&database, &[], &unix);
    program.wait_for_status("/readyz", 200).await;
    let mut stream = UnixStream::connect(&socket).await.unwrap();
    let key = &admin_key().0;
    let request = format!(
        "GET /api/realm HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {key}\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    program.signal("INT");
    assert_eq!(program.end().await, Some(0));
    assert!(!socket.exists(), "its file goes with it");
}

/// Sends this and answers what comes until the connection ends, and after how long that is.
async fn until_closed(program: &Program, bytes: &[u8]) -> (String, Duration) {
    let address = program.url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let began = Instant::now();
    let mut answer = Vec::new();
    let read = timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    // The other end may have reset it.
    assert!(read.is_ok(), "the connection is not closed");
    (
        String::from_utf8_lossy(&answer).into_owned(),
        began.elapsed(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_bodies_and_idle_connections_have_times_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let database = format!("sqlite:{}", folder.path().join("t.db").display());
    let settings = [
        ("TOKEN_SERVER__SERVER__HEAD_TIMEOUT_SECONDS", "1"),
        ("TOKEN_SERVER__SERVER__IDLE_TIMEOUT_SECONDS", "4"),
        ("TOKEN_SERVER__SERVER__REQUEST_TIMEOUT_SECONDS", "2"),
    ];
    let program = Program::serve(&database, &[], &settings);
    program.wait_for_status("/readyz", 200).await;
    let head = "GET /healthz HTTP/1.1\r\nhost: local";
    let (answer, head_took) = until_closed(&program, head.as_bytes()).await;
    assert_eq!(answer, "");
    let idle = "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let (answer, idle_took) = until_closed(&program, idle.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let key = &admin_key().0;
    let body = format!(
        "POST /api/realm HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {key}\r\ncontent-length: 100\r\n\r\n{{"
    );
    let (answer, body_took) = until_closed(&program, body.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("body_timeout"), "{answer}");
    // Which is the longest; how long each is depends on the machine.
    assert!(
        head_took < idle_took && body_took < idle_took,
        "{head_took:?} {body_took:?} {idle_took:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_is_answered_so_that_its_sender_sees_it() {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::ready(
        &format!("sqlite:{}", folder.path().join("t.db").display()),
        &[],
    )
    .await;
    let key = &admin_key().0;
    let post = |more: &str| {
        format!(
            "POST /api/realm HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {key}\r\nconnection: close\r\n{more}\r\n"
        )
    };
    // The sender waits for a word, and sends nothing.
    let waiting = post("expect: 100-continue\r\ncontent-length: 99999999\r\n");
    let (answer, _) = until_closed(&program, waiting.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    // All of it is sent before anything is read.
    let body = vec![b' '; 3 << 20];
    let whole = [
        post(&format!("content-length: {}\r\n", body.len())).into_bytes(),
        body,
    ]
    .concat();
    let (answer, _) = until_closed(&program, &whole).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    let large = format!(
        "GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nx: {}\r\n\r\n",
        "x".repeat(70_000)
    );
    let (answer, _) = until_closed(&program, large.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    let both = post("content-length: 5\r\ncontent-length: 6\r\n");
    let (answer, _) = until_closed(&program, both.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    let two_hosts =
        "GET /healthz HTTP/1.1\r\nhost: localhost\r\nhost: other\r\nconnection: close\r\n\r\n";
    let (answer, _) = until_closed(&program, two_hosts.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn stalled_clients_do_not_hold_up_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let database = format!("sqlite:{}", folder.path().join("t.db").display());
    let settings = [
        ("TOKEN_SERVER__SERVER__DRAIN_DELAY_SECONDS", "0"),
        ("TOKEN_SERVER__SERVER__DRAIN_TIMEOUT_SECONDS", "600"),
    ];
    let mut program = Program::serve(&database, &[], &settings);
    program.wait_for_status("/readyz", 200).await;
    let address = program.url.trim_start_matches("http://").to_owned();
    let key = &admin_key().0;
    let half_body = format!(
        "POST /api/realm HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {key}\r\ncontent-length: 100\r\n\r\n{{"
    );
    let mut stalled = Vec::new();
    for bytes in ["", "GET /he", &half_body] {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        stream.write_all(bytes.as_bytes()).await.unwrap();
        stalled.push(stream);
    }
    // Each has been taken in when an answer has come on a later connection.
    program.wait_for_status("/readyz", 200).await;
    program.signal("TERM");
    assert_eq!(program.end().await, Some(0));
    program.wait_for_log(r#""finished":true"#).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_keep_nobody_away() {
    let folder = tempfile::tempdir().unwrap();
    let database = format!("sqlite:{}", folder.path().join("t.db").display());
    let settings = [("TOKEN_SERVER__SERVER__MAX_CONNECTIONS", "50")];
    let program = Program::serve(&database, &[], &settings);
    program.wait_for_status("/readyz", 200).await;
    let address = program.url.trim_start_matches("http://").to_owned();
    let mut idle = Vec::new();
    for _ in 0..300 {
        idle.push(TcpStream::connect(&address).await.unwrap());
    }
    let client = plain_client();
    for _ in 0..20 {
        let asked = client
            .get(format!("{}/healthz", program.url))
            .send()
            .await
            .unwrap();
        assert_eq!(asked.status().as_u16(), 200);
    }
    // Those that came first have made room.
    let mut byte = [0];
    let oldest = timeout(PATIENCE, idle[0].read(&mut byte)).await.unwrap();
    assert!(matches!(oldest, Ok(0) | Err(_)));
    let created = json!({"id": "r"});
    assert_eq!(program.post("/api/realm", &created).await["id"], "r");
}
