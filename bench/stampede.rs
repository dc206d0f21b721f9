//! 10,000 callers at once, over three instances, want a token that nobody has: the service beside a
//! naive one.
//!
//! `make bench` runs it. The naive one has the same cache and neither coalescing nor lease. Nothing
//! is asserted but that each caller is answered: machines differ, ratios tell.

#![expect(clippy::unwrap_used, reason = "a measurement fails by panicking")]

#[path = "../tests/process/crowd.rs"]
#[expect(dead_code, reason = "made for the tests in tests/process")]
mod crowd;
#[path = "../tests/process/program.rs"]
#[expect(
    dead_code,
    unused_imports,
    unused_macros,
    reason = "made for the tests in tests/process"
)]
mod program;
mod role;

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use token_server::clock::{Clock as _, MachineClock};

use crowd::Caller;
use program::{Program, new_database};
use role::Role;

const CALLERS: usize = 10_000;
const INSTANCES: usize = 3;
/// How long the provider takes for each call.
const LATENCY: Duration = Duration::from_millis(500);
const ROUNDS: usize = 3;
/// Connections made at once, so that no queue of a listener runs over.
const CONNECT_AT_ONCE: usize = 200;

/// What came of one stampede.
struct Round {
    calls: u64,
    /// From the first ask to the first call, milliseconds; `None`: there was no call.
    called_after_ms: Option<i64>,
    p50: Duration,
    p99: Duration,
    longest: Duration,
    /// Requests that were sent before the first answer came.
    together: usize,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    raise_file_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--provide"] => runtime.block_on(role::provide(LATENCY)),
        ["--naive", provider] => runtime.block_on(role::be_naive(provider.to_owned())),
        _ => runtime.block_on(compare()),
    }
}

/// Up to what the system allows, for this process and those it starts.
fn raise_file_limit() {
    let pid = std::process::id().to_string();
    let hard = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let hard = hard
        .lines()
        .find(|line| line.starts_with("Max open files"))
        .and_then(|line| line.split_whitespace().nth(4));
    if let Some(hard) = hard {
        // Where it may not be raised, connecting tells.
        let _ = std::process::Command::new("prlimit")
            .args(["--pid", &pid, &format!("--nofile={hard}:{hard}")])
            .status();
    }
}

#[expect(clippy::print_stdout, reason = "its result")]
async fn compare() {
    let provider = Role::start(&["--provide"]);
    let url = format!("http://{}/token", provider.address);
    let folder = tempfile::tempdir().unwrap();
    let (database, on) = database(folder.path()).await;
    println!(
        "{CALLERS} callers at once over {INSTANCES} instances, nothing cached; provider {LATENCY:?}; {on}\n"
    );
    println!(
        "| | round | provider calls | first call after, ms | p50, ms | p99, ms | longest, ms | in flight together |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|---:|");
    let (mut ours, mut naive): (Vec<Round>, Vec<Round>) = (Vec::new(), Vec::new());
    for number in 1..=ROUNDS {
        let [cold, warm] = naive_round(&provider, &url).await;
        show("naive", number, &cold);
        show("naive, again: all held", number, &warm);
        naive.push(cold);
        let [cold, warm] = our_round(&provider, &url, &database, number).await;
        show("token-server", number, &cold);
        show("token-server, again: all held", number, &warm);
        ours.push(cold);
    }
    ratios(&median(ours), &median(naive));
}

async fn database(folder: &std::path::Path) -> (String, &'static str) {
    #[expect(clippy::disallowed_methods, reason = "what tests/run exports")]
    match std::env::var("TEST_MYSQL_URL") {
        Ok(server) => (new_database(&server).await, "MariaDB"),
        Err(_) => (
            format!("sqlite:{}", folder.join("stampede.db").display()),
            "one SQLite file",
        ),
    }
}

async fn naive_round(provider: &Role, url: &str) -> [Round; 2] {
    let instances: Vec<_> = (0..INSTANCES)
        .map(|_| Role::start(&["--naive", url]))
        .collect();
    let addresses: Vec<_> = instances.iter().map(|role| role.address.as_str()).collect();
    stampede(provider, &addresses, "k").await
}

/// New processes, as with the naive one, and a secret that nobody has asked for.
async fn our_round(provider: &Role, url: &str, database: &str, number: usize) -> [Round; 2] {
    let programs: Vec<_> = (0..INSTANCES)
        .map(|_| Program::serve(database, &[], &[]))
        .collect();
    for program in &programs {
        program.wait_for_status("/readyz", 200).await;
    }
    let realm = json!({"id": "r", "config": {"url": url, "method": "GET", "token_path": "access_token",
        "expires_in_path": "expires_in"}});
    let key = format!("round-{number}");
    programs[0].post("/api/realm", &realm).await;
    programs[0]
        .post("/api/secret", &json!({"realm": "r", "key": key}))
        .await;
    let addresses: Vec<_> = programs
        .iter()
        .map(|program| program.url.trim_start_matches("http://"))
        .collect();
    stampede(provider, &addresses, &key).await
}

/// All ask at once, and once more when the token is held: what the machine needs for so many asks
/// is in both.
async fn stampede(provider: &Role, addresses: &[&str], key: &str) -> [Round; 2] {
    let request = format!("GET /api/token?realm=r&key={key} HTTP/1.1\r\nhost: localhost\r\n\r\n");
    let mut callers = Vec::with_capacity(CALLERS);
    while callers.len() < CALLERS {
        let some = addresses
            .iter()
            .cycle()
            .skip(callers.len() % addresses.len())
            .take(CONNECT_AT_ONCE);
        callers.extend(join_all(some.map(|address| Caller::of(address))).await);
    }
    [
        ask_all(provider, &mut callers, &request).await,
        ask_all(provider, &mut callers, &request).await,
    ]
}

async fn ask_all(provider: &Role, callers: &mut [Caller], request: &str) -> Round {
    let (before, _) = calls(provider).await;
    let began_ms = MachineClock.now().epoch_ms();
    let answers = join_all(callers.iter_mut().map(|caller| caller.ask(request))).await;
    let first = answers
        .iter()
        .map(|answer| answer.asked_at + answer.took)
        .min()
        .unwrap();
    let mut waits: Vec<_> = answers.iter().map(|answer| answer.took).collect();
    waits.sort();
    for answer in &answers {
        assert!(
            answer.status == 200 && answer.body["token"].is_string(),
            "{answer:?}"
        );
    }
    let (after, first_ms) = calls(provider).await;
    Round {
        calls: after - before,
        called_after_ms: (first_ms > 0).then_some(first_ms - began_ms),
        p50: waits[waits.len() / 2],
        p99: waits[waits.len() * 99 / 100],
        longest: waits[waits.len() - 1],
        together: answers
            .iter()
            .filter(|answer| answer.asked_at < first)
            .count(),
    }
}

/// How many calls came so far, and when the first since the last count came (0: none).
async fn calls(provider: &Role) -> (u64, i64) {
    let mut caller = Caller::of(&provider.address).await;
    let answer = caller
        .ask("GET /calls HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await;
    (
        answer.body["calls"].as_u64().unwrap(),
        answer.body["first_ms"].as_i64().unwrap(),
    )
}

fn median(mut rounds: Vec<Round>) -> Round {
    rounds.sort_by_key(|round| round.p99);
    rounds.swap_remove(ROUNDS / 2)
}

#[expect(clippy::print_stdout, reason = "its result")]
fn show(name: &str, number: usize, round: &Round) {
    let ms = |duration: Duration| duration.as_millis();
    let Round {
        calls,
        called_after_ms,
        p50,
        p99,
        longest,
        together,
    } = round;
    let called = called_after_ms.map_or_else(|| "–".to_owned(), |ms| ms.to_string());
    println!(
        "| {name} | {number} | {calls} | {called} | {} | {} | {} | {together} |",
        ms(*p50),
        ms(*p99),
        ms(*longest)
    );
}

#[expect(clippy::print_stdout, reason = "its result")]
fn ratios(ours: &Round, naive: &Round) {
    let share = |duration: Duration| duration.as_secs_f64() / LATENCY.as_secs_f64();
    println!(
        "\n| median round by p99 | token-server | naive | naive ÷ token-server |\n|---|---:|---:|---:|"
    );
    #[expect(clippy::cast_precision_loss, reason = "counts of calls are small")]
    let times = naive.calls as f64 / ours.calls as f64;
    println!(
        "| provider calls | {} | {} | {times:.0} × |",
        ours.calls, naive.calls
    );
    for (name, ours, naive) in [
        ("p50", ours.p50, naive.p50),
        ("p99", ours.p99, naive.p99),
        ("longest", ours.longest, naive.longest),
    ] {
        let (ours, naive) = (share(ours), share(naive));
        println!(
            "| {name} ÷ the provider's latency | {ours:.2} × | {naive:.2} × | {:.2} × |",
            naive / ours
        );
    }
}
