//! The real oidc-provider, and every way in which an `oauth2` realm proves to it who it is.

use std::process::Command;

use serde_json::{Value, json};

use crate::peers::Peer;
use crate::program::{Program, needed};

/// npm oidc-provider, an OpenID-certified server.
pub(crate) struct Oidc {
    peer: Peer,
    client: reqwest::Client,
}

impl Oidc {
    /// Its tokens live this long.
    pub(crate) fn start(token_seconds: u32) -> Option<Self> {
        let server = needed("TEST_OIDC_PEER")?;
        let mut command = Command::new("node");
        command
            .arg(server)
            .env("TOKEN_TTL_SECONDS", token_seconds.to_string());
        let client = token_server::upstream::client_builder()
            .unwrap()
            .build()
            .unwrap();
        Some(Self {
            peer: Peer::start(command),
            client,
        })
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("{}/token", self.peer.url)
    }

    /// What a secret of this client stores; with `wrong_key` where it has a key.
    pub(crate) fn credentials(&self, client: &str) -> Value {
        self.peer.hello["credentials"][client].clone()
    }

    /// What it has counted.
    pub(crate) async fn calls(&self) -> Value {
        self.ask(self.client.get(format!("{}/__calls", self.peer.url)))
            .await
    }

    /// A refresh token of somebody who has authorised; the access tokens of it live this long.
    pub(crate) async fn authorise(&self, token_seconds: u32) -> String {
        let url = format!("{}/__grant?ttl={token_seconds}", self.peer.url);
        let answer = self.ask(self.client.post(url)).await;
        answer["refresh_token"].as_str().unwrap().to_owned()
    }

    /// Whether it takes the token for good itself.
    pub(crate) async fn is_active(&self, token: &str) -> bool {
        const CLIENT: &str =
            "client_id=invented-client&client_secret=invented-client-secret-not-real-0123456789";
        let url = format!("{}/token/introspection", self.peer.url);
        let form = format!("{CLIENT}&token={token}");
        let request = self
            .client
            .post(url)
            .header("content-type", "application/x-www-form-urlencoded");
        let answer = self.ask(request.body(form)).await;
        answer["active"]
            .as_bool()
            .unwrap_or_else(|| panic!("{answer}"))
    }

    async fn ask(&self, request: reqwest::RequestBuilder) -> Value {
        let response = request.send().await.unwrap();
        serde_json::from_str(&response.text().await.unwrap()).unwrap()
    }
}

/// Client, method, algorithm of its own JWT.
const WAYS: [(&str, &str, Option<&str>); 5] = [
    ("invented client+basic:%/~", "client_secret_basic", None),
    ("invented-post", "client_secret_post", None),
    ("invented-secret-jwt", "client_secret_jwt", None),
    ("invented-rs256", "private_key_jwt", None),
    ("invented-es256", "private_key_jwt", Some("ES256")),
];

async fn program() -> (tempfile::TempDir, Program) {
    let folder = tempfile::tempdir().unwrap();
    let database = format!("sqlite:{}", folder.path().join("t.db").display());
    let program = Program::ready(&database, &[]).await;
    (folder, program)
}

/// Saves a realm for each way; answers their names.
async fn save_realms(program: &Program, peer: &Oidc) -> Vec<String> {
    let mut realms = Vec::new();
    for (client, method, algorithm) in WAYS {
        let realm = format!("{method}-{}", algorithm.unwrap_or("default"));
        let mut config = json!({"oauth2": {"token_endpoint": peer.endpoint(), "token_endpoint_auth_method": method}});
        if let Some(algorithm) = algorithm {
            config["oauth2"]["assertion_alg"] = algorithm.into();
        }
        program
            .post("/api/realm", &json!({"id": realm, "config": config}))
            .await;
        let mut credentials = peer.credentials(client);
        credentials.as_object_mut().unwrap().remove("wrong_key");
        let secret = json!({"realm": realm, "key": "app", "credentials": credentials});
        program.post("/api/secret", &secret).await;
        realms.push(realm);
    }
    realms
}

/// Each token is one that the provider takes, comes from memory the second time, and the provider
/// is asked once for it.
#[tokio::test(flavor = "multi_thread")]
async fn every_way_to_prove_who_the_client_is_is_taken_by_oidc_provider() {
    let Some(peer) = Oidc::start(600) else { return };
    let (_folder, program) = program().await;
    for (count, realm) in (1..).zip(save_realms(&program, &peer).await) {
        let path = format!("/api/token?realm={realm}&key=app");
        let (status, answer) = program.get(&path).await;
        assert_eq!(
            (status, &answer["source"]),
            (200, &json!("upstream")),
            "{realm}: {answer}"
        );
        let left = answer["expires_in"].as_i64().unwrap();
        assert!((590_000..=600_000).contains(&left), "{realm}: {answer}");
        assert!(
            peer.is_active(answer["token"].as_str().unwrap()).await,
            "{realm}: {answer}"
        );
        assert_eq!(program.get(&path).await.1["token"], answer["token"]);
        assert_eq!(peer.calls().await["token"], count, "{realm}");
    }
}

/// Wrong credentials are refused in the provider's words, of which none is a secret.
#[tokio::test(flavor = "multi_thread")]
async fn wrong_credentials_are_refused_by_oidc_provider() {
    let Some(peer) = Oidc::start(600) else { return };
    let (_folder, program) = program().await;
    let realms = save_realms(&program, &peer).await;
    for (realm, (client, ..)) in realms.iter().zip(WAYS) {
        let mut credentials = peer.credentials(client);
        let wrong_key = credentials.as_object_mut().unwrap().remove("wrong_key");
        match wrong_key {
            Some(key) => credentials["private_key"] = key,
            None => {
                credentials["client_secret"] = "invented-but-wrong-0123456789-0123456789".into();
            }
        }
        program
            .post(
                "/api/secret",
                &json!({"realm": realm, "key": "wrong", "credentials": credentials}),
            )
            .await;
        let (status, problem) = program
            .get(&format!("/api/token?realm={realm}&key=wrong"))
            .await;
        assert_eq!(
            (status, &problem["code"]),
            (502, &json!("config")),
            "{realm}: {problem}"
        );
        assert_eq!(
            problem["provider_code"], "invalid_client",
            "{realm}: {problem}"
        );
    }
    for secret in ["invented-but-wrong", "PRIVATE KEY", "invented: +"] {
        assert!(
            !program.log().contains(secret),
            "{secret}: {}",
            program.log()
        );
    }
}
