//! Ten thousand secrets that were fetched in the same second: the refresher keeps up, and the
//! provider sees no burst.

use std::time::Duration;

use token_server::clock::{Clock as _, Timestamp};
use tokio::time::Instant;

use crate::provider::LIFE;
use crate::world::World;

const SECRETS: usize = 10_000;
/// Renewals lie in the second half of the default margin: from 5 to 2½ minutes before expiry.
const WINDOW: Duration = Duration::from_secs(150);
/// What a tenth may hold, as a multiple of the mean.
const MOST: f64 = 1.5;

/// How many calls fall into each of so many equal parts of the window, and how many beside it.
fn histogram(calls: &[Timestamp], begins: Timestamp, parts: usize) -> (Vec<usize>, usize) {
    let (mut counts, mut beside) = (vec![0; parts], 0);
    let part_ms = i64::try_from(WINDOW.as_millis()).unwrap() / i64::try_from(parts).unwrap();
    for call in calls {
        let after_ms = call.epoch_ms() - begins.epoch_ms();
        let part = usize::try_from(after_ms.div_euclid(part_ms))
            .ok()
            .filter(|part| *part < parts);
        part.map_or_else(|| beside += 1, |part| counts[part] += 1);
    }
    (counts, beside)
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_secrets_fetched_together_are_renewed_apart() {
    let world = World::failing_one_in(u64::MAX);
    let instance = world.start(0).await;
    let ids = world.save(&instance, SECRETS).await;
    let began = Instant::now();
    let started_at = world.clock.now();
    let asks = ids
        .iter()
        .map(|id| instance.services.tokens.get(id.borrowed()));
    assert!(
        futures_util::future::join_all(asks)
            .await
            .iter()
            .all(Result::is_ok)
    );
    assert!(
        began.elapsed() < Duration::from_secs(1),
        "{:?}",
        began.elapsed()
    );
    let first = world.provider.take_calls();
    assert_eq!(first.len(), SECRETS);

    tokio::time::sleep(LIFE).await;
    let calls = world.provider.take_calls();
    assert_eq!(calls.len(), SECRETS, "each was renewed once");
    let begins = started_at.plus(LIFE).minus(WINDOW * 2);
    let (tenths, beside) = histogram(&calls, begins, 10);
    let mean = f64::from(u32::try_from(SECRETS).unwrap()) / 10.0;
    let fullest = f64::from(u32::try_from(*tenths.iter().max().unwrap()).unwrap()) / mean;
    assert!(fullest <= MOST, "{tenths:?}");
    assert!(
        beside < SECRETS / 50,
        "{beside}: those that are due in its last second"
    );
}
