//! A soak: three processes on MariaDB and three on PostgreSQL, random faults from a seed, and
//! invariants that must hold all the time. `make soak MINUTES=10 SEED=7` runs it; started in any
//! other way it does nothing.
//!
//! It ends with a table of the invariants, also when it is interrupted, and with 1 if any was
//! broken.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod book;
mod callers;
mod cluster;
#[path = "../simulation/dice.rs"]
mod dice;
mod faults;
mod judge;
mod outages;
#[path = "../process/program.rs"]
#[expect(
    dead_code,
    unused_imports,
    unused_macros,
    reason = "made for the tests in tests/process"
)]
mod program;
mod provider;
#[path = "../process/proxy.rs"]
#[expect(dead_code, reason = "made for the tests in tests/process")]
mod proxy;
mod realms;
mod tally;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

use book::Book;
use callers::Callers;
use cluster::Cluster;
use dice::Dice;
use faults::Faults;
use judge::{Judge, Kind};
use outages::Outages;
use provider::Provider;
use tally::{Invariant, Tally, say};

/// How long after the last fault every process must give a working token of every secret: the
/// longest pause of a circuit (1 min), a lease whose holder was killed, and a fetch.
const RECOVERY: Duration = Duration::from_secs(60 + 4 + 2 + 4);

/// The databases, by the variables that tell where they are.
const SERVERS: [(&str, &str); 2] = [
    ("MariaDB", "TEST_MYSQL_URL"),
    ("PostgreSQL", "TEST_POSTGRES_URL"),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let number = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1)?.parse::<u64>().ok()
    };
    let Some(minutes) = number("--minutes").filter(|minutes| (1..=24 * 60).contains(minutes))
    else {
        say("the soak runs by `make soak MINUTES=10`, for up to a day; nothing was done");
        return ExitCode::SUCCESS;
    };
    let seed = number("--seed").unwrap_or_else(|| u64::from(std::process::id()));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()
        .unwrap();
    let broken = runtime.block_on(soak(Duration::from_mins(minutes), seed));
    if broken == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Runs it; answers how many checks failed.
async fn soak(lasts: Duration, seed: u64) -> u64 {
    let (outages, tally) = (Arc::new(Outages::default()), Arc::new(Tally::default()));
    let secrets = (0..SERVERS.len()).flat_map(realms::secrets_of).collect();
    let book = Arc::new(Book::new(secrets, Arc::clone(&outages), Arc::clone(&tally)));
    let provider = Provider::new(Arc::clone(&book), seed);
    let judge = Arc::new(Judge::new(
        Arc::clone(&book),
        Arc::clone(&outages),
        Arc::clone(&tally),
    ));
    let callers = Callers::new(judge);
    let mut all = Vec::new();
    for (number, (name, variable)) in SERVERS.into_iter().enumerate() {
        if let Some(server) = program::needed(variable) {
            let cluster = Cluster::start(name, number, &server, &provider, |account| {
                book.post(account)
            })
            .await;
            all.push(Faults {
                cluster: Arc::new(cluster),
                outages: Arc::clone(&outages),
                provider: Arc::clone(&provider),
                callers: callers.clone(),
            });
        }
    }
    say(&format!(
        "{} clusters for {lasts:?}, seed {seed}: make soak SEED={seed}",
        all.len()
    ));
    tokio::select! {
        () = trouble_and_recovery(&all, lasts, seed) => {}
        () = interrupted() => say("interrupted"),
    }
    for faults in &all {
        faults
            .cluster
            .seats
            .iter()
            .for_each(|seat| seat.kill(&outages));
    }
    let (fetches, issues) = book.totals();
    say(&format!(
        "{fetches} fetches, {issues} tokens, seed {seed}; logs in target/soak\n\n{}",
        tally.table()
    ));
    tally.broken()
}

async fn interrupted() {
    let mut term = signal(SignalKind::terminate()).unwrap();
    tokio::select! {
        _ = term.recv() => {}
        interrupt = tokio::signal::ctrl_c() => interrupt.unwrap(),
    }
}

async fn trouble_and_recovery(all: &[Faults], lasts: Duration, seed: u64) {
    let trouble = join_all(all.iter().map(|faults| trouble(faults, seed)));
    // It never ends by itself.
    let _ = tokio::time::timeout(lasts, trouble).await;
    say("the faults are over");
    join_all(all.iter().map(Faults::mend)).await;
    for faults in all {
        faults.outages.end_all();
    }
    join_all(all.iter().map(recover)).await;
}

async fn trouble(faults: &Faults, seed: u64) {
    let dice =
        |of: u64| Dice::of(seed.wrapping_mul(1000) + faults.cluster.number as u64 * 100 + of);
    tokio::join!(
        faults.callers.keep_asking(
            &faults.cluster,
            seed + 1_000_000 * faults.cluster.number as u64
        ),
        faults.befall(dice(1)),
        faults.enchant(dice(2)),
        faults.meddle(dice(3)),
    );
}

/// All is mended: every process gives a working token of every secret, in time.
async fn recover(faults: &Faults) {
    let mended = Instant::now();
    let pairs = faults.cluster.addresses().into_iter().flat_map(|address| {
        faults
            .cluster
            .secrets
            .iter()
            .map(move |secret| (address.clone(), *secret))
    });
    let took = join_all(pairs.map(async |(address, secret)| {
        let mut works = false;
        while !works && mended.elapsed() < RECOVERY {
            works = faults
                .callers
                .ask(address.clone(), secret, Kind::Plain)
                .await;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let story = || format!("{secret:?} of {address:?}");
        faults
            .callers
            .judge
            .tally
            .check(Invariant::Recovers, works, story);
        mended.elapsed()
    }))
    .await;
    let longest = took.into_iter().max().unwrap_or_default();
    say(&format!(
        "{}: all works again after {longest:?}",
        faults.cluster.name
    ));
}
