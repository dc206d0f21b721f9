//! Starts the app in this process as `serve` does, but with a clock that tests move.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use token_server::app::{Services, door};
use token_server::clock::{Clock, ManualClock, SystemClock, Timestamp};
use token_server::config::{Config, Environment};
use token_server::http::Keyless;
use token_server::http::server::{Listener, Serving, serve};
use token_server::store::{DatabaseUrl, SqlStore, Store};
use token_server::upstream::client_builder;

use crate::faulty_provider::FaultyProvider;

/// An answer, read.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Value,
}

impl Reply {
    /// The body of a success.
    pub(crate) fn ok(self) -> Value {
        assert!((200..300).contains(&self.status), "{self:?}");
        self.body
    }

    /// Status and code of a problem.
    pub(crate) fn problem(&self) -> (u16, &str) {
        assert_eq!(
            self.headers["content-type"], "application/problem+json",
            "{self:?}"
        );
        (self.status, self.body["code"].as_str().unwrap_or("no code"))
    }

    /// The places of what was wrong with the request.
    pub(crate) fn places(&self) -> Vec<&str> {
        let errors = self.body["errors"].as_array().unwrap();
        errors
            .iter()
            .map(|error| error["pointer"].as_str().unwrap())
            .collect()
    }
}

/// One instance.
pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) services: Services,
    client: reqwest::Client,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.services.tasks.stop_soft();
    }
}

impl Server {
    pub(crate) async fn get(&self, path: &str) -> Reply {
        read(self.client.get(format!("{}{path}", self.url))).await
    }

    /// For closures that cannot lend the path.
    pub(crate) async fn get_owned(&self, path: String) -> Reply {
        self.get(&path).await
    }

    pub(crate) async fn get_with_body(&self, path: &str, body: &str) -> Reply {
        read(
            self.client
                .get(format!("{}{path}", self.url))
                .body(body.to_owned()),
        )
        .await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Reply {
        self.post_text(path, body.to_string()).await
    }

    pub(crate) async fn post_text(&self, path: &str, body: String) -> Reply {
        read(self.client.post(format!("{}{path}", self.url)).body(body)).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Reply {
        read(
            self.client
                .put(format!("{}{path}", self.url))
                .body(body.to_string()),
        )
        .await
    }

    /// Asks as whoever has this API key.
    pub(crate) async fn ask(
        &self,
        method: reqwest::Method,
        path: &str,
        key: Option<&str>,
        body: Option<&Value>,
    ) -> Reply {
        let mut request = self.client.request(method, format!("{}{path}", self.url));
        if let Some(key) = key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        if let Some(body) = body {
            request = request.body(body.to_string());
        }
        read(request).await
    }

    /// Saves a realm and a secret as an admin.
    pub(crate) async fn save_realm_as(&self, admin: &str, realm: &Value, secret: &Value) {
        for (path, document) in [("/api/realm", realm), ("/api/secret", secret)] {
            let saved = self.ask(reqwest::Method::POST, path, Some(admin), Some(document));
            saved.await.ok();
        }
    }

    pub(crate) async fn delete(&self, path: &str) -> Reply {
        read(self.client.delete(format!("{}{path}", self.url))).await
    }

    /// Asks for the token of realm `r`, key `k`.
    pub(crate) async fn token(&self) -> Reply {
        self.get("/api/token?realm=r&key=k").await
    }

    pub(crate) async fn flush(&self) -> Reply {
        self.get("/api/token?realm=r&key=k&flush=true").await
    }

    /// A look at what other instances wrote.
    pub(crate) async fn look(&self) {
        self.services.sync.look(None).await.unwrap();
    }
}

async fn read(request: reqwest::RequestBuilder) -> Reply {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let text = response.text().await.unwrap();
    let body = if text.is_empty() {
        Value::Null
    } else {
        serde_json::from_str(&text).unwrap()
    };
    Reply {
        status,
        headers,
        body,
    }
}

/// A database, a clock and a provider, for one instance or several.
pub(crate) struct World {
    pub(crate) clock: Arc<ManualClock>,
    real_time: bool,
    pub(crate) provider: FaultyProvider,
    pub(crate) store: Arc<dyn Store>,
    _folder: Option<TempDir>,
}

/// 2026-11-22T10:30:00Z
pub(crate) const START_MS: i64 = 1_795_343_400_000;

impl World {
    /// On a temporary SQLite.
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = DatabaseUrl::read(&format!("sqlite:{}", folder.path().join("it.db").display()))
            .unwrap();
        let store = SqlStore::open(&url, 10, Duration::from_secs(10))
            .await
            .unwrap();
        store.migrate().await.unwrap();
        Self {
            _folder: Some(folder),
            ..Self::on(Arc::new(store)).await
        }
    }

    /// On a given store.
    pub(crate) async fn on(store: Arc<dyn Store>) -> Self {
        let clock = Arc::new(ManualClock::at(Timestamp::from_epoch_ms(START_MS)));
        Self {
            clock,
            real_time: false,
            provider: FaultyProvider::start().await,
            store,
            _folder: None,
        }
    }

    /// On a temporary SQLite, with the machine's clock.
    pub(crate) async fn on_real_time() -> Self {
        Self {
            real_time: true,
            ..Self::new().await
        }
    }

    /// One more instance.
    pub(crate) async fn serve(&self) -> Server {
        self.serve_with(&[]).await
    }

    /// One more instance with these settings, whose callers may do everything without an API key.
    pub(crate) async fn serve_with(&self, settings: &[(&'static str, &str)]) -> Server {
        self.serve_keyless(settings, |_| Keyless::Everything).await
    }

    /// One more instance with these settings; `keyless`: what callers without an API key may do.
    pub(crate) async fn serve_keyless(
        &self,
        settings: &[(&'static str, &str)],
        keyless: impl Fn(&Config) -> Keyless,
    ) -> Server {
        let loopback = [("upstream.allow_networks", "loopback")];
        let settings = loopback.iter().chain(settings);
        let flags: Vec<_> = settings
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect();
        let config = Config::load_without_file(&Environment::of(&[]), &flags).unwrap();
        let clock: Arc<dyn Clock> = if self.real_time {
            Arc::new(SystemClock::default())
        } else {
            self.clock.clone()
        };
        let keyless = keyless(&config);
        let services = Services::build(&config, self.store.clone(), clock, None).unwrap();
        services.sync.look(None).await.unwrap();
        services.readiness.set_serving();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        services.own_listeners.note(listener.local_addr().unwrap());
        let url = format!("http://{}", listener.local_addr().unwrap());
        let door = door(&services, &config, keyless).unwrap();
        let serving = Serving::usual(door, services.tasks.clone());
        let tasks = services.tasks.clone();
        services.tasks.spawn("server", async move {
            let listener = Listener::Plain(listener);
            serve(listener, serving, tasks.stopping(), Duration::from_secs(1)).await;
        });
        Server {
            url,
            services,
            client: client_builder().unwrap().build().unwrap(),
        }
    }

    /// An instance with realm `r`, which asks the provider, and secret `k`.
    pub(crate) async fn serve_realm(&self) -> Server {
        let server = self.serve().await;
        server.post("/api/realm", &self.realm()).await.ok();
        server.post("/api/secret", &secret()).await.ok();
        server
    }

    /// Realm `r`.
    pub(crate) fn realm(&self) -> Value {
        json!({"id": "r", "config": {"url": self.provider.url(), "method": "GET",
            "arguments": [{"name": "appid", "place": "url", "value": "$key_1"},
                          {"name": "secret", "place": "url", "value": "$key_2"}],
            "token_path": "access_token", "content_type": "json", "expires_in_path": "expires_in"}})
    }

    /// An instance with realm `r` of this policy, and secret `k`.
    pub(crate) async fn serve_policy(&self, policy: Value) -> Server {
        let server = self.serve().await;
        let mut realm = self.realm();
        realm["config"]["policy"] = policy;
        server.post("/api/realm", &realm).await.ok();
        server.post("/api/secret", &secret()).await.ok();
        server
    }

    /// Moves the clock on, and lets these instances look at the store.
    pub(crate) async fn advance(&self, by: Duration, servers: &[&Server]) {
        self.clock.advance(by);
        for server in servers {
            server.look().await;
        }
    }

    pub(crate) fn now_ms(&self) -> i64 {
        self.clock.now().epoch_ms()
    }
}

/// Secret `k` of realm `r`.
pub(crate) fn secret() -> Value {
    json!({"realm": "r", "key": "k", "key_1": "invented-appid", "key_2": "invented-secret"})
}

/// A provider's good answer.
pub(crate) fn good(token: &str, expires_in: i64) -> Value {
    json!({"access_token": token, "expires_in": expires_in})
}
