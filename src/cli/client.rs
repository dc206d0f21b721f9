//! Speaking to a server's HTTP API.

use std::time::Duration;

use clap::Args;
use reqwest::{Method, RequestBuilder};
use serde_json::Value;
use url::Url;

use super::Exit;

/// Which server.
#[derive(Debug, Args)]
pub(super) struct ServerFlags {
    /// The server's URL.
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "TOKEN_SERVER_URL",
        default_value = "http://127.0.0.1:8080"
    )]
    server: String,
}

/// A caller may wait 25 s for a token; then the network's share.
const TIMEOUT: Duration = Duration::from_secs(40);

/// A client of one server.
pub(super) struct Client {
    base: Url,
    http: reqwest::Client,
}

impl ServerFlags {
    /// A client of that server.
    pub(super) fn client(&self) -> anyhow::Result<Client> {
        let wrong = || {
            Exit::config(format!(
                "--server: expected a URL like http://HOST:PORT, found {:?}",
                self.server
            ))
        };
        let base = Url::parse(&self.server).map_err(|_| wrong())?;
        if !matches!(base.scheme(), "http" | "https") {
            return Err(wrong().into());
        }
        let http = crate::upstream::client_builder()?
            .timeout(TIMEOUT)
            .build()?;
        Ok(Client { base, http })
    }
}

impl Client {
    /// The URL of a path given in segments, which are percent-encoded.
    fn url(&self, segments: &[&str], query: &[(&str, String)]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    /// GET; a problem is an error.
    pub(super) async fn get(
        &self,
        segments: &[&str],
        query: &[(&str, String)],
    ) -> anyhow::Result<Value> {
        self.ask(self.http.request(Method::GET, self.url(segments, query)))
            .await
    }

    /// POST of a JSON document.
    pub(super) async fn post(&self, segments: &[&str], document: &Value) -> anyhow::Result<Value> {
        self.post_with(segments, &[], document).await
    }

    /// POST of a JSON document with a query.
    pub(super) async fn post_with(
        &self,
        segments: &[&str],
        query: &[(&str, String)],
        document: &Value,
    ) -> anyhow::Result<Value> {
        let request = self.http.request(Method::POST, self.url(segments, query));
        self.ask(
            request
                .header("content-type", "application/json")
                .body(document.to_string()),
        )
        .await
    }

    /// DELETE.
    pub(super) async fn delete(
        &self,
        segments: &[&str],
        query: &[(&str, String)],
    ) -> anyhow::Result<Value> {
        self.ask(self.http.request(Method::DELETE, self.url(segments, query)))
            .await
    }

    async fn ask(&self, request: RequestBuilder) -> anyhow::Result<Value> {
        let away = |error: reqwest::Error| {
            let what = if error.is_timeout() {
                "did not answer in time"
            } else {
                "cannot be reached"
            };
            Exit::unavailable(format!(
                "the server {} {what}; is it running? try: token-server dev",
                self.base
            ))
        };
        let response = request.send().await.map_err(away)?;
        let status = response.status();
        let body = response.bytes().await.map_err(away)?;
        let document: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
        if status.is_success() {
            return Ok(document);
        }
        Err(refusal(status.as_u16(), &document).into())
    }
}

/// A problem in one line, each issue of the request on its own.
fn refusal(status: u16, problem: &Value) -> Exit {
    let text = |name: &str| problem[name].as_str();
    let message = match (text("detail"), text("code")) {
        (Some(detail), Some(code)) => format!("{detail} ({code}, HTTP {status})"),
        _ => format!("the server answered HTTP {status}{}", health(problem)),
    };
    let labels = [
        ("provider_code", "the provider's code"),
        ("provider_message", "the provider's message"),
    ];
    let said = labels
        .iter()
        .filter_map(|(name, label)| text(name).map(|words| format!("\n  {label}: {words}")));
    Exit::failed(message + &said.collect::<String>())
}

/// What `/readyz` says of a server that is not ready.
fn health(body: &Value) -> String {
    let Some(status) = body["status"].as_str() else {
        return String::new();
    };
    let reasons = body["reasons"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str);
    let reasons: Vec<_> = reasons.collect();
    format!(": {status} {}", reasons.join("; "))
        .trim_end()
        .to_owned()
}
