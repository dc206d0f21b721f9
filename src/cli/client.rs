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
        hide_env_values = true,
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
        let base = read_base(&self.server)?;
        let http = crate::upstream::client_builder()?
            .timeout(TIMEOUT)
            .build()?;
        Ok(Client { base, http })
    }
}

/// A server's URL. What was given is never repeated: it may hold a password.
fn read_base(given: &str) -> Result<Url, Exit> {
    let expected = "--server or TOKEN_SERVER_URL: expected a URL like http://HOST:PORT";
    let url = Url::parse(given).ok();
    let url = url.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let url = url.ok_or_else(|| Exit::config(expected))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Exit::usage(format!(
            "{expected}, without a user and a password: token-server does not use them"
        )));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(Exit::usage(format!("{expected}, without ? and #")));
    }
    Ok(url)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_url_holds_no_password_and_is_never_repeated() {
        for (given, words) in [
            ("http://127.0.0.1:8080", None),
            ("https://tokens.example.com/base/", None),
            ("http://u:hush@127.0.0.1:1", Some("password")),
            ("http://hush@127.0.0.1:1", Some("password")),
            ("http://127.0.0.1:1/?key=hush", Some("without ?")),
            ("http://127.0.0.1:1/#hush", Some("without ?")),
            ("ftp://u:hush@127.0.0.1", Some("http://HOST:PORT")),
            ("u:hush@127.0.0.1", Some("http://HOST:PORT")),
        ] {
            let wrong = read_base(given).err().map(|exit| exit.to_string());
            assert_eq!(wrong.is_some(), words.is_some(), "{given}: {wrong:?}");
            let wrong = wrong.unwrap_or_default();
            assert!(
                wrong.contains(words.unwrap_or_default()),
                "{given}: {wrong}"
            );
            assert!(!wrong.contains("hush"), "{wrong}");
        }
    }
}
