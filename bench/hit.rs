//! What a hit costs with an API key, against one without: instructions (valgrind) and CPU time.
//!
//! `make bench` runs it. Requests are written to a connection in memory and answered by hyper, the
//! door and the hit path, as those of a socket are. Nothing is asserted: ratios tell.

#![expect(clippy::unwrap_used, reason = "a measurement fails by panicking")]
#![expect(clippy::print_stdout, reason = "its result")]

use std::convert::Infallible;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use secrecy::ExposeSecret as _;
use serde_json::json;
use token_server::app::{Services, door};
use token_server::clock::SystemClock;
use token_server::config::Config;
use token_server::failure::Failure;
use token_server::http::{Door, Keyless, Peer};
use token_server::realm::{RawResponse, Request};
use token_server::secret::SecretId;
use token_server::service::{NewApiKey, RealmEdit, SecretEdit};
use token_server::store::MemoryStore;
use token_server::upstream::TokenSource;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// A provider that answers at once.
struct Instantly;

#[async_trait]
impl TokenSource for Instantly {
    async fn send(&self, _: &Request, _: Duration) -> Result<RawResponse, Failure> {
        let token = json!({"access_token": "an-invented-token", "expires_in": 7200});
        Ok(RawResponse::json(200, &token))
    }
}

/// Who asks.
const CALLERS: [&str; 2] = ["without", "with"];
/// Requests of a run under valgrind, and so many more of the second one: what starting costs is in
/// both.
const COUNTED: usize = 2_000;
/// Requests of a run whose time is taken.
const TIMED: usize = 200_000;
const ROUNDS: usize = 5;

fn main() {
    let arguments: Vec<_> = std::env::args().collect();
    if let [_, run, caller, requests] = &arguments[..]
        && run == "run"
    {
        hits(caller == "with", requests.parse().unwrap());
        return;
    }
    println!("A hit with an API key, and without one where none is asked for:\n");
    println!("| | without | with | with ÷ without |\n|---|---:|---:|---:|");
    if let Some([without, with]) = instructions() {
        println!(
            "| instructions | {without:.0} | {with:.0} | {:.3} |",
            with / without
        );
    } else {
        println!("| instructions | valgrind is not here | | |");
    }
    let [without, with] = CALLERS.map(microseconds);
    println!(
        "| CPU time, µs (median of {ROUNDS}) | {without:.2} | {with:.2} | {:.3} |",
        with / without
    );
}

/// Instructions of a request.
fn instructions() -> Option<[f64; 2]> {
    let of = |caller: &str, requests: usize| {
        let output = Command::new("valgrind")
            .args([
                "--tool=cachegrind",
                "--cache-sim=no",
                "--cachegrind-out-file=/dev/null",
            ])
            .arg(std::env::current_exe().unwrap())
            .args(["run", caller, &requests.to_string()])
            .output()
            .ok()?;
        let words = String::from_utf8(output.stderr).unwrap();
        let line = words
            .lines()
            .find(|line| line.contains("I refs:") || line.contains("I   refs:"))?;
        let digits: String = line
            .rsplit(':')
            .next()?
            .chars()
            .filter(char::is_ascii_digit)
            .collect();
        digits.parse::<f64>().ok()
    };
    let mut all = [0.0; 2];
    for (place, caller) in all.iter_mut().zip(CALLERS) {
        let more = of(caller, 2 * COUNTED)? - of(caller, COUNTED)?;
        *place = more / f64::from(u32::try_from(COUNTED).unwrap());
    }
    Some(all)
}

/// CPU time of a request; the runs of both kinds take turns.
fn microseconds(caller: &str) -> f64 {
    let mut all: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let output = Command::new(std::env::current_exe().unwrap())
                .args(["run", caller, &TIMED.to_string()])
                .output()
                .unwrap();
            String::from_utf8(output.stdout)
                .unwrap()
                .trim()
                .parse::<f64>()
                .unwrap()
        })
        .collect();
    all.sort_by(f64::total_cmp);
    all[ROUNDS / 2]
}

/// Asks so often, and prints the CPU time of one in µs.
fn hits(with_key: bool, requests: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let (door, request) = prepared(with_key).await;
        let (mut client, server) = tokio::io::duplex(1 << 16);
        let service = service_fn(move |request| {
            let door = door.clone();
            async move { Ok::<_, Infallible>(door.answer(request, &Peer::default()).await) }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(server), service);
        let mut connection = std::pin::pin!(connection);
        let asking = async {
            let mut answer = vec![0; 4096];
            let began = cpu_time();
            for _ in 0..requests {
                client.write_all(request.as_bytes()).await.unwrap();
                let length = client.read(&mut answer).await.unwrap();
                assert!(answer[..length].starts_with(b"HTTP/1.1 200"));
            }
            cpu_time().saturating_sub(began).as_secs_f64() * 1e6
                / f64::from(u32::try_from(requests).unwrap())
        };
        tokio::select! {
            spent = asking => println!("{spent}"),
            ended = &mut connection => panic!("the connection ended: {ended:?}"),
        }
    });
}

/// Of this process; valgrind knows no finer clock of it.
fn cpu_time() -> Duration {
    let spent = std::fs::read_to_string("/proc/self/schedstat").unwrap();
    let nanoseconds = spent.split_whitespace().next().unwrap();
    Duration::from_nanos(nanoseconds.parse().unwrap())
}

async fn prepared(with_key: bool) -> (Door, String) {
    let clock = Arc::new(SystemClock::default());
    let store = Arc::new(MemoryStore::new(clock.clone()));
    let config = Config::default();
    let services = Services::over(&config, store, clock, Arc::new(Instantly), None);
    services.sync.look(None).await.unwrap();
    let realm = json!({"id": "wxgzh", "config": {"url": "http://provider.invalid/token", "method": "GET",
        "token_path": "access_token", "expires_in_path": "expires_in"}});
    services
        .realms
        .save(&RealmEdit::read(&realm).unwrap())
        .await
        .unwrap();
    let id = SecretId::new("wxgzh", "my-app");
    let secret = json!({"realm": id.realm, "key": id.key});
    services
        .secrets
        .save(&SecretEdit::read(&secret).unwrap())
        .await
        .unwrap();
    services.tokens.get(id.borrowed()).await.unwrap();
    let mut field = String::new();
    let mut keyless = Keyless::Everything;
    if with_key {
        let new = NewApiKey::read(&json!({"role": "app", "scopes": ["wx*:*"]})).unwrap();
        let made = services.api_keys.create(new).await.unwrap();
        services.sync.look(None).await.unwrap();
        field = format!(
            "authorization: Bearer {}\r\n",
            made.key.text().expose_secret()
        );
        keyless = Keyless::Nothing;
    }
    let request = format!(
        "GET /api/token?realm=wxgzh&key=my-app HTTP/1.1\r\nhost: 127.0.0.1:8080\r\nuser-agent: bench\r\n{field}\
         accept: */*\r\n\r\n"
    );
    (door(&services, &config, keyless).unwrap(), request)
}
