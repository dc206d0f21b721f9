//! Whether the refresher keeps up: so many secrets fetched together, all renewed ahead of their expiry.
//!
//! Simulated time over the store in memory, the real service; the provider takes 0.4 s on average. The cost is this
//! machine's time for a whole life of all tokens, by secret, as a ratio to the smallest number of secrets.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement: it fails by panicking and prints a table"
)]

#[path = "../tests/simulation/dice.rs"]
mod dice;
#[expect(dead_code, reason = "the simulation uses the rest")]
#[path = "../tests/simulation/provider.rs"]
mod provider;
#[expect(dead_code, reason = "the simulation uses the rest")]
#[path = "../tests/simulation/world.rs"]
mod world;

use std::time::Duration;

use token_server::clock::{Clock as _, MachineClock};

use crate::provider::LIFE;
use crate::world::World;

/// From the earliest renewal to expiry.
const MARGIN: Duration = Duration::from_mins(5);

struct Measured {
    ms_by_secret: f64,
    /// When the last renewal came, before its token's expiry.
    spare: Duration,
}

async fn measure(secrets: usize) -> Measured {
    let world = World::failing_one_in(u64::MAX);
    let instance = world.start(0).await;
    let ids = world.save(&instance, secrets).await;
    let began = world.clock.now();
    let asks = ids.iter().map(|id| instance.app.api.tokens.get(id.borrowed()));
    assert!(futures_util::future::join_all(asks).await.iter().all(Result::is_ok));
    world.provider.take_calls();
    let real = MachineClock.now();
    tokio::time::sleep(LIFE).await;
    let took = MachineClock.now().since(real);
    let calls = world.provider.take_calls();
    assert_eq!(calls.len(), secrets, "each was renewed once, and none was missed");
    let last = calls.into_iter().max().unwrap();
    assert!(world.provider.fetches(&ids[0].key).most_under_way == 1);
    instance.app.tasks.stop(Duration::ZERO).await;
    let ms = took.as_secs_f64() * 1000.0;
    #[expect(clippy::cast_precision_loss, reason = "a count far below 2^52")]
    let ms_by_secret = ms / secrets as f64;
    Measured { ms_by_secret, spare: began.plus(LIFE).since(last) }
}

fn main() {
    println!(
        "| secrets | cost by secret, ratio | last renewal before expiry (margin {} s) |",
        MARGIN.as_secs()
    );
    println!("|---:|---:|---:|");
    let mut first = None;
    for secrets in [1_000, 10_000, 100_000] {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        let Measured { ms_by_secret, spare } = runtime.block_on(measure(secrets));
        let ratio = ms_by_secret / *first.get_or_insert(ms_by_secret);
        println!("| {secrets} | {ratio:.2} | {:.0} s |", spare.as_secs_f64());
    }
}
