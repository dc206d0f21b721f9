//! A provider that lets nobody in without a client certificate: Python's own TLS, on certificates
//! of the test.

use std::process::Command;

use serde_json::{Value, json};

use crate::certificates::{Authority, Issued, file};
use crate::peers::Peer;
use crate::program::Program;

struct World {
    provider: Peer,
    program: Program,
    ca: Authority,
    _folder: tempfile::TempDir,
}

impl World {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ca = Authority::new("invented CA");
        let Issued { certificate, key } = ca.issue("invented provider", &["127.0.0.1"]);
        let mut command = Command::new("python3");
        command.arg(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/peers/mtls/server.py"
        ));
        for (name, text) in [
            ("certificate", &certificate),
            ("key", &key),
            ("ca", &ca.pem),
        ] {
            command.arg(file(folder.path(), name, text));
        }
        let database = format!("sqlite:{}", folder.path().join("t.db").display());
        let program = Program::ready(&database, &[]).await;
        Self {
            provider: Peer::start(command),
            program,
            ca,
            _folder: folder,
        }
    }

    async fn save(&self, config: &Value, credentials: &Value) {
        self.program
            .post("/api/realm", &json!({"id": "r", "config": config}))
            .await;
        let secret = json!({"realm": "r", "key": "k", "credentials": credentials});
        self.program.post("/api/secret", &secret).await;
    }

    /// A realm whose secrets have certificate, key and CA of their own.
    fn realm(&self) -> Value {
        json!({"inputs": {"certificate": {"secret": false}, "client_key": {}, "ca": {"secret": false}},
            "requests": [{"url": self.provider.url, "form": {"grant": "invented"}}],
            "token": "$.access_token", "expires": {"path": "$.expires_in"},
            "tls": {"certificate": "{{ certificate }}", "key": "{{ client_key }}", "ca": "{{ ca }}"}})
    }

    async fn fails_with(&self, config: &Value, credentials: &Value, words: &str) {
        self.save(config, credentials).await;
        let (status, problem) = self.program.token().await;
        assert_eq!(status, 503, "{problem}");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(words), "{words:?} expected: {problem}");
        let (_, told) = self.program.get("/api/secret/k/status?realm=r").await;
        for text in [problem.to_string(), told.to_string(), self.program.log()] {
            assert!(
                !text.contains("PRIVATE KEY") && !text.contains("BEGIN CERT"),
                "{text}"
            );
            let key = credentials["client_key"].as_str().unwrap_or("-");
            let line = key.lines().nth(1).unwrap_or("no key");
            assert!(!text.contains(line), "{text}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_wants_a_client_certificate_gives_a_token_for_it() {
    let world = World::start().await;
    let Issued { certificate, key } = world.ca.issue("invented client", &[]);
    world
        .save(
            &world.realm(),
            &json!({"certificate": certificate, "client_key": key, "ca": world.ca.pem}),
        )
        .await;
    let (status, answer) = world.program.token().await;
    assert_eq!(
        (status, &answer["token"]),
        (200, &json!("invented client grant=invented")),
        "{answer}"
    );
    assert_eq!(world.program.token().await.1["source"], "memory");

    // Another certificate is another connection.
    let Issued { certificate, key } = world.ca.issue("another client", &[]);
    world
        .save(
            &world.realm(),
            &json!({"certificate": certificate, "client_key": key, "ca": world.ca.pem}),
        )
        .await;
    let (status, answer) = world.program.token().await;
    assert_eq!(
        (status, &answer["token"]),
        (200, &json!("another client grant=invented")),
        "{answer}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_of_the_configuration_is_trusted_for_all_providers() {
    let World {
        provider,
        program,
        ca,
        _folder: folder,
    } = World::start().await;
    drop(program);
    let authorities = file(folder.path(), "authorities", &ca.pem);
    let database = format!("sqlite:{}", folder.path().join("t.db").display());
    let setting = (
        "TOKEN_SERVER__UPSTREAM__CA_FILE",
        authorities.to_str().unwrap(),
    );
    let program = Program::serve(&database, &[], &[setting]);
    program.wait_for_status("/readyz", 200).await;
    let Issued { certificate, key } = ca.issue("invented client", &[]);
    let world = World {
        provider,
        program,
        ca,
        _folder: folder,
    };
    let mut realm = world.realm();
    realm["tls"] = json!({"certificate": "{{ certificate }}", "key": "{{ client_key }}"});
    realm["inputs"] = json!({"certificate": {}, "client_key": {"secret": true}});
    let credentials = json!({"certificate": certificate, "client_key": key});
    world.save(&realm, &credentials).await;
    let (status, answer) = world.program.token().await;
    assert_eq!(status, 200, "{answer}");
}

/// RFC 8705 §2.1: the certificate is all that proves who the client is.
#[tokio::test(flavor = "multi_thread")]
async fn tls_client_auth_sends_the_certificate_and_the_client_id() {
    let world = World::start().await;
    let Issued { certificate, key } = world.ca.issue("invented client", &[]);
    let config = json!({"inputs": {"ca": {"secret": false}},
        "oauth2": {"token_endpoint": world.provider.url, "token_endpoint_auth_method": "tls_client_auth"},
        "tls": {"ca": "{{ ca }}"}});
    let credentials = json!({"client_id": "invented-id", "client_certificate": certificate,
        "client_key": key, "ca": world.ca.pem});
    world.save(&config, &credentials).await;
    let (status, answer) = world.program.token().await;
    let expected = "invented client grant_type=client_credentials&client_id=invented-id";
    assert_eq!(
        (status, &answer["token"]),
        (200, &json!(expected)),
        "{answer}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_with_a_certificate_of_another_ca_is_not_trusted() {
    let world = World::start().await;
    let Issued { certificate, key } = world.ca.issue("invented client", &[]);
    let foreign = Authority::new("foreign CA").pem;
    let credentials = json!({"certificate": certificate, "client_key": key, "ca": foreign});
    world
        .fails_with(&world.realm(), &credentials, "certificate is not trusted")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_or_foreign_client_certificate_is_told() {
    let world = World::start().await;
    let mut config = world.realm();
    config["tls"] = json!({"ca": "{{ ca }}"});
    let credentials = json!({"certificate": "-", "client_key": "-", "ca": world.ca.pem});
    world
        .fails_with(&config, &credentials, "refused the client certificate")
        .await;

    let Issued { certificate, key } = Authority::new("foreign CA").issue("invented client", &[]);
    let credentials = json!({"certificate": certificate, "client_key": key, "ca": world.ca.pem});
    world
        .fails_with(
            &world.realm(),
            &credentials,
            "refused the client certificate",
        )
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_does_not_fit_is_told_without_being_shown() {
    let world = World::start().await;
    let Issued { certificate, .. } = world.ca.issue("invented client", &[]);
    let other = world.ca.issue("another client", &[]).key;
    for (certificate, key, ca, words) in [
        (
            certificate.as_str(),
            other.as_str(),
            world.ca.pem.as_str(),
            "certificate or its key is not usable",
        ),
        (
            "no PEM",
            &other,
            &world.ca.pem,
            "certificate or its key is not usable",
        ),
        (
            &certificate,
            "no PEM",
            &world.ca.pem,
            "certificate or its key is not usable",
        ),
        (&certificate, &other, "no PEM", "is not usable"),
    ] {
        let credentials = json!({"certificate": certificate, "client_key": key, "ca": ca});
        world.fails_with(&world.realm(), &credentials, words).await;
    }
}
