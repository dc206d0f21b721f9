//! Many callers of one instance, each on a connection of its own.
//!
//! Plain TCP, so that a test knows when all requests are on their way.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::program::{PATIENCE, Program, admin_key};

/// The plain ask for the token of realm `r`, key `k`.
pub(crate) const ASK: &str = "GET /api/token?realm=r&key=k HTTP/1.1\r\nhost: localhost\r\n\r\n";
/// The same with a flush.
pub(crate) const FLUSH: &str =
    "GET /api/token?realm=r&key=k&flush=true HTTP/1.1\r\nhost: localhost\r\n\r\n";

/// A report that the token of realm `r`, key `k` with this version was refused.
pub(crate) fn report(version: i64) -> String {
    let body = format!(r#"{{"realm":"r","key":"k","version":{version}}}"#);
    let length = body.len();
    format!(
        "POST /api/token/report HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n{body}"
    )
}

/// What a caller got.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Just before the request was sent.
    pub(crate) asked_at: Instant,
    pub(crate) took: Duration,
    pub(crate) status: u16,
    pub(crate) body: Value,
}

/// One caller with its connection.
pub(crate) struct Caller {
    stream: BufReader<TcpStream>,
    asked_at: Instant,
}

impl Caller {
    /// Connected to `HOST:PORT`.
    pub(crate) async fn of(address: &str) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream: BufReader::new(stream),
            asked_at: Instant::now(),
        }
    }

    async fn send(&mut self, request: &str) {
        let key = &admin_key().0;
        let named = format!("\r\nauthorization: Bearer {key}\r\nhost: ");
        let request = request.replacen("\r\nhost: ", &named, 1);
        self.asked_at = Instant::now();
        self.stream.write_all(request.as_bytes()).await.unwrap();
    }

    /// `None`: the connection ended, as the instance did.
    async fn answer(&mut self) -> Option<Answer> {
        let read = tokio::time::timeout(PATIENCE, self.read()).await;
        let (status, body) = read.unwrap_or_else(|_| panic!("no answer within {PATIENCE:?}"))?;
        Some(Answer {
            asked_at: self.asked_at,
            took: self.asked_at.elapsed(),
            status,
            body,
        })
    }

    /// Asks and waits.
    pub(crate) async fn ask(&mut self, request: &str) -> Answer {
        self.send(request).await;
        self.answer()
            .await
            .unwrap_or_else(|| panic!("the instance hung up"))
    }

    async fn read(&mut self) -> Option<(u16, Value)> {
        let status = self.line().await?.split(' ').nth(1)?.parse().ok()?;
        let mut size = 0;
        loop {
            let line = self.line().await?.to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(length) = line.strip_prefix("content-length:") {
                size = length.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; size];
        self.stream.read_exact(&mut body).await.ok()?;
        Some((status, serde_json::from_slice(&body).unwrap()))
    }

    async fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let count = self.stream.read_line(&mut line).await.ok()?;
        (count > 0).then(|| line.trim_end().to_owned())
    }
}

/// Callers of one instance.
pub(crate) struct Crowd {
    pub(crate) callers: Vec<Caller>,
}

impl Crowd {
    /// So many, connected.
    pub(crate) async fn at(program: &Program, count: usize) -> Self {
        let address = program.url.trim_start_matches("http://");
        Self {
            callers: join_all((0..count).map(|_| Caller::of(address))).await,
        }
    }

    /// All ask; returns when all requests are on their way.
    pub(crate) async fn send(&mut self, request: &str) {
        join_all(self.callers.iter_mut().map(|caller| caller.send(request))).await;
    }

    /// What each got; `None` for those whose instance ended.
    pub(crate) async fn outcomes(&mut self) -> Vec<Option<Answer>> {
        join_all(self.callers.iter_mut().map(Caller::answer)).await
    }

    /// What each got.
    pub(crate) async fn answers(&mut self) -> Vec<Answer> {
        let outcomes = self.outcomes().await;
        outcomes
            .into_iter()
            .map(|outcome| outcome.unwrap_or_else(|| panic!("the instance hung up")))
            .collect()
    }
}
