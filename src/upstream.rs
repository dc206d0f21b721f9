//! Runs a plan against a provider: sends the request, bounds what comes back, lets the realm judge it.
//!
//! The only caller is the renewal in `service`. No redirects, no proxies of the environment, one attempt: retrying is
//! the renewal's decision, since a second fetch may kill the first one's token.

mod limits;

use std::time::Duration;

use async_trait::async_trait;
use reqwest::{Client, Response, redirect};

use crate::failure::{Failure, FailureKind};
use crate::realm::{Answer, Method, Plan, Request};
use crate::secret::Credentials;

pub use limits::Limits;

/// Where tokens come from.
#[async_trait]
pub trait TokenSource: Send + Sync + 'static {
    /// Sends the request of a plan once and judges the answer.
    ///
    /// # Errors
    /// Any [`FailureKind`]; credentials in the provider's words are masked.
    async fn fetch(
        &self,
        plan: &Plan,
        credentials: &Credentials,
        timeout: Duration,
    ) -> Result<Answer, Failure>;
}

/// A client for all providers; connections are shared.
#[derive(Clone, Debug)]
pub struct Upstream {
    client: Client,
    limits: Limits,
}

/// The client could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client cannot be set up: {0}")]
pub struct SetupError(String);

/// The error's own text without the URL, which may hold a password.
fn setup(error: &reqwest::Error) -> SetupError {
    let source = std::error::Error::source(error).map(ToString::to_string);
    SetupError(source.unwrap_or_else(|| "TLS or the proxy is not usable".to_owned()))
}

/// A builder of HTTP clients as this program uses them: no redirects, no proxy of the environment, the public root
/// certificates built in beside the machine's (without any, no client can be built).
///
/// # Errors
/// When the certificates cannot be read.
#[expect(clippy::disallowed_methods, reason = "the one place that makes clients")]
pub fn client_builder() -> Result<reqwest::ClientBuilder, SetupError> {
    let roots = webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter();
    let roots = roots.map(|der| reqwest::Certificate::from_der(der)).collect::<Result<Vec<_>, _>>();
    Ok(Client::builder()
        .no_proxy()
        .redirect(redirect::Policy::none())
        .tls_certs_merge(roots.map_err(|error| setup(&error))?)
        .user_agent(concat!("token-server/", env!("CARGO_PKG_VERSION"))))
}

impl Upstream {
    /// A client with these limits.
    ///
    /// # Errors
    /// When TLS cannot be set up, or the proxy's URL is wrong.
    pub fn new(limits: Limits, proxy: Option<&str>) -> Result<Self, SetupError> {
        let mut builder = client_builder()?.connect_timeout(limits.connect).retry(reqwest::retry::never());
        if let Some(proxy) = proxy {
            builder = builder.proxy(reqwest::Proxy::all(proxy).map_err(|error| setup(&error))?);
        }
        Ok(Self { client: builder.build().map_err(|error| setup(&error))?, limits })
    }

    async fn fetch_unmasked(&self, plan: &Plan) -> Result<Answer, Failure> {
        let response = self.send(&plan.request).await.map_err(|error| self.transport(&error))?;
        let status = response.status().as_u16();
        let retry_after = retry_after(&response);
        let body = self.body(response).await?;
        plan.reading.read(status, &body).map_err(|failure| Failure {
            retry_after,
            is_throttled: status == 429,
            ..failure
        })
    }

    async fn send(&self, request: &Request) -> Result<Response, reqwest::Error> {
        let method = match request.method {
            Method::Get => reqwest::Method::GET,
            Method::Post => reqwest::Method::POST,
        };
        let mut sent = self.client.request(method, request.url.clone());
        let names_its_type =
            request.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
        if let Some(body) = &request.body {
            sent = sent.body(body.text.clone());
            if !names_its_type {
                sent = sent.header("content-type", body.content_type);
            }
        }
        for (name, value) in &request.headers {
            sent = sent.header(name, value);
        }
        sent.send().await
    }

    async fn body(&self, mut response: Response) -> Result<Vec<u8>, Failure> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.transport(&error))? {
            body.extend_from_slice(&chunk);
            if body.len() > self.limits.response_bytes {
                let detail =
                    format!("the provider's answer is larger than {} bytes", self.limits.response_bytes);
                return Err(Failure::new(FailureKind::Malformed, detail));
            }
        }
        Ok(body)
    }

    /// What went wrong on the way; the error's own text may hold the URL, and so credentials.
    fn transport(&self, error: &reqwest::Error) -> Failure {
        if error.is_timeout() && error.is_connect() {
            let detail = format!("the provider could not be connected to within {:?}", self.limits.connect);
            return Failure::new(FailureKind::Unreachable, detail);
        }
        if error.is_connect() {
            return Failure::new(FailureKind::Unreachable, "the provider could not be connected to");
        }
        Failure::new(FailureKind::Unreachable, "the provider hung up before its answer was whole")
    }
}

#[async_trait]
impl TokenSource for Upstream {
    async fn fetch(
        &self,
        plan: &Plan,
        credentials: &Credentials,
        timeout: Duration,
    ) -> Result<Answer, Failure> {
        let fetched = tokio::time::timeout(timeout, self.fetch_unmasked(plan)).await;
        fetched.unwrap_or_else(|_| Err(timed_out(timeout))).map_err(|failure| failure.masked(credentials))
    }
}

fn timed_out(timeout: Duration) -> Failure {
    Failure::new(FailureKind::TimedOut, format!("the provider did not answer within {timeout:?}"))
}

/// The seconds form of Retry-After (RFC 9110 §10.2.3), at most a day; its date form is left out.
fn retry_after(response: &Response) -> Option<Duration> {
    let seconds: u64 = response.headers().get("retry-after")?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds.min(86_400)))
}
