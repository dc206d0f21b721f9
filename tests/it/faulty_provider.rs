//! A provider that goes wrong on purpose: it answers every request with the fault it is set to.
//!
//! Raw TCP and no HTTP library, so that it can break HTTP itself. One request per connection; a
//! request body needs a `Content-Length`. A refused connection is not its fault: see
//! [`closed_port_url`].

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

const CHUNK: usize = 64 * 1024;
const DRIP: Duration = Duration::from_millis(100);

/// What a request gets.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// No fault: 200 with this body.
    Json(Value),
    /// A status with a body, as JSON.
    Status(u16, String),
    /// The same with one header more.
    StatusWithHeader(u16, (String, String), String),
    /// 200 with a page, as a captive portal answers.
    Html,
    /// 200 with fewer bytes than its `Content-Length` says, then the end.
    Truncated,
    /// A whole HTTP answer with half a JSON body.
    TruncatedJson,
    /// The connection ends after the request was read.
    CloseEarly,
    /// No answer ever; the connection stays open.
    Hang,
    /// 200 with that many bytes of a JSON text and no `Content-Length`; stops when the peer closes.
    Huge(u64),
    /// 200 with this body, after [`FaultyProvider::release`].
    HoldThenJson(Value),
    /// 200 with a JSON body that goes on for ever, a byte every 100 ms.
    SlowDrip,
    /// 307 to this address, which keeps method and body.
    Redirect(String),
    /// The greeting of another protocol.
    NotHttp,
}

/// A request as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Recorded {
    /// In capitals, e.g. `POST`.
    pub method: String,
    /// As sent, e.g. `/token?a=b`.
    pub path_and_query: String,
    /// Names in lower case, in the order they came.
    pub headers: Vec<(String, String)>,
    /// Text; bytes that are not UTF-8 are replaced.
    pub body: String,
}

impl Recorded {
    /// The first header of this name (lower case).
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }
}

/// The provider; it ends with its open connections when dropped.
#[derive(Debug)]
pub(crate) struct FaultyProvider {
    url: String,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    fault: Mutex<Fault>,
    requests: Mutex<Vec<Recorded>>,
    /// How many requests came; to wait for.
    count: watch::Sender<usize>,
    /// How often [`FaultyProvider::release`] was called.
    releases: watch::Sender<u64>,
}

impl FaultyProvider {
    /// A provider on a free port of 127.0.0.1; answers `{}` until told otherwise.
    #[expect(
        clippy::disallowed_methods,
        reason = "no task of the service; aborted on drop"
    )]
    pub(crate) async fn start() -> Self {
        let listener = bind().await;
        let url = url_of(&listener);
        let shared = Arc::new(Shared {
            fault: Mutex::new(Fault::Json(Value::Object(serde_json::Map::new()))),
            requests: Mutex::default(),
            count: watch::Sender::new(0),
            releases: watch::Sender::new(0),
        });
        let task = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Self { url, shared, task }
    }

    /// `http://127.0.0.1:PORT/token`; any other path is answered alike.
    pub(crate) fn url(&self) -> String {
        self.url.clone()
    }

    /// Sets what every request from now on gets; those being answered are not changed.
    pub(crate) fn script(&self, fault: Fault) {
        *lock(&self.shared.fault) = fault;
    }

    /// How many requests were read so far; connections without a whole request do not count.
    pub(crate) fn calls(&self) -> usize {
        lock(&self.shared.requests).len()
    }

    /// The requests so far, in the order they were read.
    pub(crate) fn requests(&self) -> Vec<Recorded> {
        lock(&self.shared.requests).clone()
    }

    /// Waits until that many requests were read, for a test that needs one to be under way.
    pub(crate) async fn wait_for_calls(&self, count: usize) {
        let mut seen = self.shared.count.subscribe();
        let reached = tokio::time::timeout(
            Duration::from_secs(30),
            seen.wait_for(|seen| *seen >= count),
        )
        .await;
        assert!(
            reached.is_ok(),
            "{count} requests awaited, {} came",
            self.calls()
        );
    }

    /// Lets the requests held now go on; later ones are held again.
    pub(crate) fn release(&self) {
        self.shared.releases.send_modify(|releases| *releases += 1);
    }
}

impl Drop for FaultyProvider {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// An address that refuses connections: its port was free a moment ago.
pub(crate) fn closed_port_url() -> String {
    let listener =
        std::net::TcpListener::bind("127.0.0.1:0").unwrap_or_else(|e| panic!("no port: {e}"));
    let address = listener
        .local_addr()
        .unwrap_or_else(|e| panic!("no address: {e}"));
    format!("http://{address}/token")
}

async fn bind() -> TcpListener {
    TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap_or_else(|e| panic!("no port: {e}"))
}

fn url_of(listener: &TcpListener) -> String {
    let address = listener
        .local_addr()
        .unwrap_or_else(|e| panic!("no address: {e}"));
    format!("http://{address}/token")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Serves connections until aborted; the set takes them along.
async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                connections.spawn(serve(stream, Arc::clone(&shared)));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Reads one request and answers it. The hold begins before the request is counted, so whoever
/// waited for the count may release at once.
async fn serve(mut stream: TcpStream, shared: Arc<Shared>) {
    let Some(request) = read_request(&mut stream).await else {
        return;
    };
    let mut releases = shared.releases.subscribe();
    let fault = lock(&shared.fault).clone();
    lock(&shared.requests).push(request);
    shared.count.send_modify(|count| *count += 1);
    if matches!(fault, Fault::HoldThenJson(_)) && releases.changed().await.is_err() {
        return;
    }
    // A peer that has gone away is what many faults are about.
    let _ = answer(&mut stream, fault).await;
    let _ = stream.shutdown().await;
}

async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> Option<Recorded> {
    let mut received = Vec::new();
    let head_end = loop {
        if let Some(at) = received.windows(4).position(|four| four == b"\r\n\r\n") {
            break at;
        }
        read_some(stream, &mut received).await?;
    };
    let mut request = parse_head(&String::from_utf8_lossy(&received[..head_end]))?;
    let body_size: usize = request
        .header("content-length")
        .map_or(Some(0), |size| size.parse().ok())?;
    let body_start = head_end + 4;
    while received.len() < body_start + body_size {
        read_some(stream, &mut received).await?;
    }
    request.body =
        String::from_utf8_lossy(&received[body_start..body_start + body_size]).into_owned();
    Some(request)
}

/// `None` at the end of the stream.
async fn read_some(stream: &mut (impl AsyncRead + Unpin), received: &mut Vec<u8>) -> Option<()> {
    let count = stream.read_buf(received).await.ok()?;
    (count > 0).then_some(())
}

fn parse_head(head: &str) -> Option<Recorded> {
    let mut lines = head.split("\r\n");
    let (method, rest) = lines.next()?.split_once(' ')?;
    let (path_and_query, _) = rest.split_once(' ')?;
    let headers = lines.filter_map(|line| line.split_once(':'));
    Some(Recorded {
        method: method.to_owned(),
        path_and_query: path_and_query.to_owned(),
        headers: headers
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect(),
        body: String::new(),
    })
}

async fn answer(stream: &mut TcpStream, fault: Fault) -> std::io::Result<()> {
    match fault {
        Fault::Json(body) | Fault::HoldThenJson(body) => {
            whole(stream, 200, &[], &body.to_string()).await
        }
        Fault::Status(status, body) => whole(stream, status, &[], &body).await,
        Fault::StatusWithHeader(status, header, body) => {
            whole(stream, status, &[header], &body).await
        }
        Fault::Html => stream.write_all(HTML.as_bytes()).await,
        Fault::Truncated => stream.write_all(TRUNCATED.as_bytes()).await,
        Fault::TruncatedJson => whole(stream, 200, &[], HALF_A_JSON).await,
        Fault::CloseEarly => Ok(()),
        Fault::Hang => std::future::pending().await,
        Fault::Huge(size) => flood(stream, size).await,
        Fault::SlowDrip => drip(stream).await,
        Fault::Redirect(to) => whole(stream, 307, &[("location".to_owned(), to)], "").await,
        Fault::NotHttp => stream.write_all(b"SSH-2.0-OpenSSH_9.6\r\n").await,
    }
}

const HTML: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\nconnection: close\r\n\r\n\
    <!doctype html><title>Log in</title><p>Please log in to the network.";
const HALF_A_JSON: &str = r#"{"access_token": "half-a-tok"#;
const TRUNCATED: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 64\r\n\
    connection: close\r\n\r\n{\"access_token\": \"cut-short-";
/// The head of a body that only the end of the connection ends.
const ENDLESS: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n";

async fn whole(
    stream: &mut TcpStream,
    status: u16,
    headers: &[(String, String)],
    body: &str,
) -> std::io::Result<()> {
    let mut head = format!(
        "HTTP/1.1 {status} Scripted\r\nconnection: close\r\ncontent-length: {}\r\n",
        body.len()
    );
    if !headers
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case("content-type"))
    {
        head.push_str("content-type: application/json\r\n");
    }
    for (name, value) in headers {
        head.extend([name.as_str(), ": ", value.as_str(), "\r\n"]);
    }
    stream
        .write_all(format!("{head}\r\n{body}").as_bytes())
        .await
}

async fn flood(stream: &mut TcpStream, size: u64) -> std::io::Result<()> {
    stream.write_all(ENDLESS.as_bytes()).await?;
    let mut bytes = tokio::io::repeat(b'1').take(size);
    let mut chunk = Vec::with_capacity(CHUNK);
    while (&mut bytes)
        .take(CHUNK as u64)
        .read_to_end(&mut chunk)
        .await?
        > 0
    {
        stream.write_all(&chunk).await?;
        chunk.clear();
    }
    Ok(())
}

async fn drip(stream: &mut TcpStream) -> std::io::Result<()> {
    stream
        .write_all(format!("{ENDLESS}{{\"access_token\": \"").as_bytes())
        .await?;
    loop {
        tokio::time::sleep(DRIP).await;
        stream.write_all(b"x").await?;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Sends a request and gives the open connection.
    async fn send(provider: &FaultyProvider) -> TcpStream {
        let url = provider.url();
        let address = url.trim_start_matches("http://").trim_end_matches("/token");
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = "POST /token?a=b HTTP/1.1\r\nHost: here\r\nContent-Length: 7\r\n\r\nc=d&e=f";
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    }

    /// Sends a request and gives all that comes back.
    async fn ask(provider: &FaultyProvider, fault: Fault) -> String {
        provider.script(fault);
        let mut answer = String::new();
        send(provider)
            .await
            .read_to_string(&mut answer)
            .await
            .unwrap();
        answer
    }

    #[tokio::test]
    async fn each_fault_is_on_the_wire_what_it_says() {
        let provider = FaultyProvider::start().await;
        let header = || ("retry-after".to_owned(), "7".to_owned());
        let answers = [
            (
                Fault::Json(json!({"a": 1})),
                "HTTP/1.1 200",
                "\r\n\r\n{\"a\":1}",
            ),
            (
                Fault::Status(503, "busy".to_owned()),
                "HTTP/1.1 503",
                "\r\n\r\nbusy",
            ),
            (
                Fault::StatusWithHeader(429, header(), String::new()),
                "HTTP/1.1 429",
                "retry-after: 7\r\n\r\n",
            ),
            (Fault::Html, "HTTP/1.1 200", "to the network."),
            (Fault::Truncated, "HTTP/1.1 200", "cut-short-"),
            (Fault::TruncatedJson, "HTTP/1.1 200", HALF_A_JSON),
            (
                Fault::Redirect("http://x/".to_owned()),
                "HTTP/1.1 307",
                "location: http://x/\r\n\r\n",
            ),
            (Fault::CloseEarly, "", ""),
            (Fault::NotHttp, "SSH-2.0", "\r\n"),
        ];
        let count = answers.len();
        for (fault, start, end) in answers {
            let answer = ask(&provider, fault).await;
            assert!(
                answer.starts_with(start) && answer.ends_with(end),
                "{answer}"
            );
        }
        assert_eq!(provider.calls(), count);
    }

    #[tokio::test]
    async fn requests_are_recorded_whole() {
        let provider = FaultyProvider::start().await;
        ask(&provider, Fault::CloseEarly).await;
        let request = provider.requests().remove(0);
        assert_eq!(
            (request.method.as_str(), request.path_and_query.as_str()),
            ("POST", "/token?a=b")
        );
        assert_eq!(
            (request.header("host"), request.body.as_str()),
            (Some("here"), "c=d&e=f")
        );
    }

    #[tokio::test]
    async fn held_requests_go_on_when_released() {
        let provider = Arc::new(FaultyProvider::start().await);
        provider.script(Fault::HoldThenJson(json!({"held": true})));
        let (mut first, mut second) = (send(&provider).await, send(&provider).await);
        provider.wait_for_calls(2).await;
        let mut byte = [0];
        assert!(
            first.try_read(&mut byte).is_err(),
            "answered before the release"
        );
        provider.release();
        for stream in [&mut first, &mut second] {
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            assert!(answer.ends_with("{\"held\":true}"), "{answer}");
        }
    }

    #[tokio::test]
    async fn a_huge_body_has_the_size_asked_for() {
        let provider = FaultyProvider::start().await;
        let answer = ask(&provider, Fault::Huge(200_001)).await;
        assert_eq!(answer.len(), ENDLESS.len() + 200_001);
    }

    #[tokio::test]
    async fn a_huge_body_stops_when_the_peer_closes() {
        let listener = bind().await;
        let peer = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        drop(peer);
        assert!(flood(&mut stream, u64::MAX).await.is_err());
    }

    #[tokio::test]
    async fn a_drip_comes_a_byte_at_a_time_and_a_hang_ends_with_the_provider() {
        let provider = FaultyProvider::start().await;
        provider.script(Fault::SlowDrip);
        let mut drip = vec![0; ENDLESS.len() + "{\"access_token\": \"xx".len()];
        send(&provider).await.read_exact(&mut drip).await.unwrap();
        assert!(drip.ends_with(b"\"xx"));
        provider.script(Fault::Hang);
        let mut hanging = send(&provider).await;
        provider.wait_for_calls(2).await;
        drop(provider);
        let mut answer = Vec::new();
        let _ = hanging.read_to_end(&mut answer).await;
        assert!(answer.is_empty());
    }

    #[tokio::test]
    async fn a_closed_port_refuses() {
        let url = closed_port_url();
        let address = url.trim_start_matches("http://").trim_end_matches("/token");
        assert!(TcpStream::connect(address).await.is_err());
    }
}
