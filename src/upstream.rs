//! Carries a realm's requests to its provider and bounds what comes back; the realm makes the one
//! and evaluates the other.
//!
//! No redirects, no proxies of the environment, one attempt: retrying is the renewal's decision,
//! since a second fetch may kill the first one's token. Only a request of which nothing was written
//! is tried again here, once.

mod authorities;
mod cause;
mod clients;
mod egress;
mod handshake;
mod limits;

use std::error::Error;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::{Client, Response, redirect};

use crate::failure::{Failure, FailureKind};
use crate::realm::{RawResponse, Request};

pub use authorities::Authorities;
use cause::cause;
use clients::{Clients, Parts};
pub use egress::{Egress, OwnListeners};
pub use limits::Limits;

/// Where tokens come from.
#[async_trait]
pub trait TokenSource: Send + Sync + 'static {
    /// Sends a request once; whatever comes back is a response.
    ///
    /// # Errors
    /// `Unreachable`, `TimedOut`; `Malformed` for a response that is too large; `Config`
    /// for a certificate that cannot be used.
    async fn send(&self, request: &Request, timeout: Duration) -> Result<RawResponse, Failure>;
}

/// A client for all providers; connections are shared.
#[derive(Clone, Debug)]
pub struct Upstream {
    clients: Clients,
    egress: Egress,
    limits: Limits,
    /// Whether a proxy resolves names.
    by_proxy: bool,
}

/// The client could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client cannot be set up: {0}")]
pub struct SetupError(String);

impl SetupError {
    /// With these words.
    #[must_use]
    pub fn of(words: impl Into<String>) -> Self {
        Self(words.into())
    }
}

/// The error's own text without the URL, which may hold a password.
fn setup(error: &reqwest::Error) -> SetupError {
    let source = error.source().map(ToString::to_string);
    SetupError(source.unwrap_or_else(|| "TLS or the proxy is not usable".to_owned()))
}

/// A builder of HTTP clients as this program uses them: no redirects, no proxy of the environment,
/// the public root certificates built in beside the machine's (without any, no client can be
/// built).
///
/// # Errors
/// When the certificates cannot be read.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that makes clients"
)]
pub fn client_builder() -> Result<reqwest::ClientBuilder, SetupError> {
    let roots = webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter();
    let roots = roots
        .map(|der| reqwest::Certificate::from_der(der))
        .collect::<Result<Vec<_>, _>>();
    Ok(Client::builder()
        .no_proxy()
        .redirect(redirect::Policy::none())
        .tls_certs_merge(roots.map_err(|error| setup(&error))?)
        .user_agent(concat!("token-server/", env!("CARGO_PKG_VERSION"))))
}

impl Upstream {
    /// A client with these limits, for these addresses, that trusts these authorities beside the
    /// usual ones.
    ///
    /// # Errors
    /// When TLS cannot be set up, or the proxy's URL is wrong.
    pub fn new(
        limits: Limits,
        egress: Egress,
        proxy: Option<&str>,
        authorities: Authorities,
    ) -> Result<Self, SetupError> {
        let parts = Parts {
            connect: limits.connect,
            egress: egress.clone(),
            proxy: proxy.map(str::to_owned),
            authorities,
        };
        Ok(Self {
            clients: Clients::new(parts)?,
            egress,
            limits,
            by_proxy: proxy.is_some(),
        })
    }

    async fn exchange(&self, request: &Request) -> Result<RawResponse, Failure> {
        let route = self.egress.route(&request.url, request.may_be_plain);
        self.egress.demand(&request.url, route, self.by_proxy)?;
        let client = self.clients.of(request.tls.as_ref(), route)?;
        let response = match send(&client, request).await {
            // A second connection; where the first was refused for a reason, it tells the reason.
            Err(error) if is_unsent(&error) => send(&client, request).await,
            sent => sent,
        };
        let response = response.map_err(|error| self.transport(&error))?;
        let status = response.status().as_u16();
        let headers = response.headers().iter().map(|(name, value)| {
            (
                name.as_str().to_owned(),
                String::from_utf8_lossy(value.as_bytes()).into_owned(),
            )
        });
        let headers = headers.collect();
        Ok(RawResponse {
            status,
            headers,
            body: self.body(response).await?,
        })
    }

    async fn body(&self, mut response: Response) -> Result<Vec<u8>, Failure> {
        let mut body = Vec::new();
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| self.transport(&error))?
        {
            body.extend_from_slice(&chunk);
            if body.len() > self.limits.response_bytes {
                let detail = format!(
                    "the provider's answer is larger than {} bytes",
                    self.limits.response_bytes
                );
                return Err(Failure::new(FailureKind::Malformed, detail));
            }
        }
        Ok(body)
    }

    /// What went wrong on the way; the error's own text may hold the URL, and so credentials.
    fn transport(&self, error: &reqwest::Error) -> Failure {
        if let Some(refusal) = egress::refusal_in(error) {
            return refusal;
        }
        if let Some(failure) = handshake::failure(error) {
            return failure;
        }
        if error.is_timeout() && error.is_connect() {
            let detail = format!(
                "the provider could not be connected to within {:?}",
                self.limits.connect
            );
            return Failure {
                is_unsent: true,
                ..Failure::new(FailureKind::Unreachable, detail)
            };
        }
        if error.is_connect() {
            let detail = "the provider could not be connected to";
            return Failure {
                is_unsent: true,
                ..Failure::new(FailureKind::Unreachable, detail)
            };
        }
        Failure {
            is_unsent: is_unsent(error),
            ..Failure::new(
                FailureKind::Unreachable,
                "the provider hung up before its answer was whole",
            )
        }
    }
}

#[async_trait]
impl TokenSource for Upstream {
    async fn send(&self, request: &Request, timeout: Duration) -> Result<RawResponse, Failure> {
        let sending = std::pin::pin!(self.exchange(request));
        let sent = in_time(timeout, sending).await;
        sent.unwrap_or_else(|| Err(timed_out(timeout)))
    }
}

/// By how much a timer may be late on a machine that is only busy.
const LATE_TIMER: Duration = Duration::from_millis(100);
/// How long a response is waited for that came while this process was stopped.
const AFTER_A_STOP: Duration = Duration::from_secs(2);

/// What comes in time; `None`: nothing did.
///
/// A process that was stopped meanwhile (a signal, a frozen function, a pause of the machine) finds
/// its timer over and the response in the socket, and may see the timer first: then it looks for
/// the response a moment longer.
pub(crate) async fn in_time<T>(
    limit: Duration,
    mut response: std::pin::Pin<&mut impl Future<Output = T>>,
) -> Option<T> {
    let began = tokio::time::Instant::now();
    if let Ok(response) = tokio::time::timeout(limit, response.as_mut()).await {
        return Some(response);
    }
    if began.elapsed().saturating_sub(limit) < LATE_TIMER {
        return None;
    }
    tokio::time::timeout(AFTER_A_STOP, response).await.ok()
}

async fn send(client: &Client, request: &Request) -> Result<Response, reqwest::Error> {
    let mut sent = client.request(request.method.clone(), request.url.clone());
    if let Some(body) = &request.body {
        sent = sent.body(body.text.clone());
    }
    for (name, value) in &request.headers {
        sent = sent.header(name, value);
    }
    sent.send().await
}

/// Whether the connection was closed before anything of the request was written to it.
///
/// With TLS 1.3 a server refuses a client's certificate after the client thinks that the handshake
/// is done: its alert may end the connection in the moment before the request is handed to it, and
/// then no error holds the alert.
fn is_unsent(error: &(dyn Error + 'static)) -> bool {
    cause::<hyper::Error>(error).is_some_and(hyper::Error::is_canceled)
}

/// The failure of a fetch that took too long.
#[must_use]
pub fn timed_out(timeout: Duration) -> Failure {
    Failure::new(
        FailureKind::TimedOut,
        format!("the provider did not answer within {timeout:?}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::Empty;
    use hyper::body::Bytes;
    use hyper_util::rt::TokioIo;

    async fn asked(request_is_read: bool) -> hyper::Error {
        let (ours, theirs) = tokio::io::duplex(1024);
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake::<_, Empty<Bytes>>(TokioIo::new(ours))
                .await
                .unwrap();
        let request = http::Request::new(Empty::new());
        if !request_is_read {
            drop((connection, theirs));
            return sender.send_request(request).await.unwrap_err();
        }
        let reads = async move {
            use tokio::io::AsyncReadExt as _;
            let mut theirs = theirs;
            theirs.read_u8().await.unwrap();
        };
        let (answer, _, ()) = tokio::join!(sender.send_request(request), connection, reads);
        answer.unwrap_err()
    }

    #[tokio::test]
    async fn a_request_is_unsent_only_if_its_connection_was_closed_before_it() {
        assert!(is_unsent(&Told(asked(false).await)), "closed before");
        assert!(!is_unsent(&Told(asked(true).await)), "closed after");
    }

    /// An error around another, as reqwest has it.
    #[derive(Debug, thiserror::Error)]
    #[error("sending failed")]
    struct Told(#[source] hyper::Error);
}
