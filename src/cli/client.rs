//! Speaking to a server's HTTP API.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use reqwest::header::{self, HeaderValue};
use reqwest::{Certificate, Method, RequestBuilder};
use secrecy::ExposeSecret as _;
use serde_json::Value;
use url::{Host, Url};

use super::Exit;
use crate::api_key::ApiKey;
use crate::config::Environment;

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
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        help = "A file with the API key to show [default: TOKEN_SERVER_API_KEY, or the file that \
                TOKEN_SERVER_API_KEY_FILE names]"
    )]
    api_key_file: Option<PathBuf>,
    /// Certificates (PEM) of authorities to trust besides the usual ones.
    #[arg(long, global = true, value_name = "FILE")]
    ca_file: Option<PathBuf>,
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
        let key = self.api_key()?;
        if key.is_some() {
            demand_private(&base)?;
        }
        let mut http = crate::upstream::client_builder()?.timeout(TIMEOUT);
        if let Some(file) = &self.ca_file {
            http = http.tls_certs_merge(authorities(file)?);
        }
        if let Some(key) = key {
            http = http.default_headers([(header::AUTHORIZATION, key)].into_iter().collect());
        }
        let http = http.build()?;
        Ok(Client { base, http })
    }

    /// The API key to show, as a header that is never printed.
    fn api_key(&self) -> anyhow::Result<Option<HeaderValue>> {
        let (given, text) = match &self.api_key_file {
            Some(file) => {
                let wrong =
                    |error| Exit::usage(format!("--api-key-file {}: {error}", file.display()));
                let text = std::fs::read_to_string(file).map_err(wrong)?;
                ("--api-key-file", Some(text))
            }
            None => (
                "TOKEN_SERVER_API_KEY",
                Environment::of_process()
                    .api_key()
                    .map_err(|error| Exit::usage(error.0))?,
            ),
        };
        let Some(text) = text else {
            return Ok(None);
        };
        // What it holds is not repeated.
        let wrong = || {
            Exit::usage(format!(
                "{given}: expected an API key, tsk_ and 61 more characters"
            ))
        };
        let key = ApiKey::read(text.trim()).ok_or_else(wrong)?;
        let mut bearer = HeaderValue::from_str(&format!("Bearer {}", key.text().expose_secret()))?;
        bearer.set_sensitive(true);
        Ok(Some(bearer))
    }
}

/// An API key crosses a network only inside TLS.
fn demand_private(server: &Url) -> anyhow::Result<()> {
    let is_local = match server.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    if server.scheme() == "https" || is_local {
        return Ok(());
    }
    let host = server.host_str().unwrap_or_default();
    Err(Exit::usage(format!(
        "--server: an API key is not sent to {host} over plain http, where others could read it: use https"
    ))
    .into())
}

fn authorities(file: &Path) -> anyhow::Result<Vec<Certificate>> {
    let wrong = |why: String| Exit::usage(format!("--ca-file {}: {why}", file.display()));
    let text = std::fs::read(file).map_err(|error| wrong(error.to_string()))?;
    let read = Certificate::from_pem_bundle(&text).ok();
    let read = read.filter(|found| !found.is_empty());
    Ok(read.ok_or_else(|| wrong("holds no certificate in PEM".to_owned()))?)
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
