//! A day of a thousand secrets.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use token_server::clock::Clock as _;
use token_server::secret::SecretId;
use tokio::time::Instant;

use crate::dice::Dice;
use crate::provider::LIFE;
use crate::world::{Instance, World};

const DAY: Duration = Duration::from_hours(24);
const SECRETS: usize = 1000;

/// What callers saw.
#[derive(Debug, Default)]
struct Seen {
    answers: u64,
    failures: u64,
    dead: Vec<String>,
}

/// A caller of one secret, who asks some instance every few minutes and uses the token at once.
async fn call(
    world: Arc<World>,
    instances: Arc<Mutex<Vec<Instance>>>,
    id: SecretId,
    number: u64,
    seen: Arc<Mutex<Seen>>,
) {
    let (mut dice, end) = (Dice::of(number), Instant::now() + DAY);
    while Instant::now() < end {
        tokio::time::sleep(dice.between(Duration::from_mins(1), Duration::from_mins(10))).await;
        let instance = {
            let instances = instances.lock().unwrap();
            let chosen = usize::try_from(dice.roll(instances.len() as u64)).unwrap();
            instances[chosen].clone()
        };
        let answer = instance.services.tokens.get(id.borrowed()).await;
        let mut seen = seen.lock().unwrap();
        match answer {
            Ok(answer) => {
                seen.answers += 1;
                let lives = answer
                    .life
                    .expires_at
                    .is_some_and(|at| at > world.clock.now());
                if !lives || !world.provider.lets_in(&id.key, answer.token.expose()) {
                    seen.dead.push(format!(
                        "{id} version {} at {:?}",
                        answer.version,
                        world.clock.now()
                    ));
                }
            }
            Err(_) => seen.failures += 1,
        }
    }
}

/// One machine's clock is set, one process dies with what it has under way, another starts.
async fn mishaps(world: &World, instances: &Mutex<Vec<Instance>>) {
    tokio::time::sleep(Duration::from_hours(6)).await;
    instances.lock().unwrap()[0].machine.set_wrong(7);
    tokio::time::sleep(Duration::from_hours(6)).await;
    // The one whose clock is ahead: others take its tokens over, whose expiry it wrote down.
    let dead = instances.lock().unwrap().remove(2);
    dead.services.tasks.stop(Duration::ZERO).await;
    tokio::time::sleep(Duration::from_mins(5)).await;
    let fresh = world.start(3).await;
    instances.lock().unwrap().push(fresh);
}

#[tokio::test(start_paused = true)]
async fn a_day_of_a_thousand_secrets_on_clocks_ten_minutes_apart() {
    let world = Arc::new(World::failing_one_in(50));
    let mut started = Vec::new();
    for wrong_minutes in [-10, 0, 10] {
        started.push(world.start(wrong_minutes).await);
    }
    let ids = world.save(&started[0], SECRETS).await;
    let (instances, seen) = (
        Arc::new(Mutex::new(started)),
        Arc::new(Mutex::new(Seen::default())),
    );
    let callers = ids.iter().zip(1..).map(|(id, number)| {
        call(
            Arc::clone(&world),
            Arc::clone(&instances),
            id.clone(),
            number,
            Arc::clone(&seen),
        )
    });
    tokio::join!(
        futures_util::future::join_all(callers),
        mishaps(&world, &instances)
    );

    let seen = seen.lock().unwrap();
    assert!(
        seen.dead.is_empty(),
        "{} dead tokens of {}: {:?}",
        seen.dead.len(),
        seen.answers,
        &seen.dead[..1]
    );
    assert!(seen.answers > 200_000, "{seen:?}");
    // The first fetch of a secret may fail; later ones fail behind the callers' backs.
    assert!(seen.failures < 100, "{seen:?}");
    // Due five minutes before expiry at the earliest.
    let most = DAY.as_secs() / (LIFE.as_secs() - 300) + 1;
    for id in &ids {
        let fetches = world.provider.fetches(&id.key);
        assert_eq!(fetches.most_under_way, 1, "{id}");
        // One more for the clock that was set, and for the process that died after it had sent.
        assert!(
            (12..=most + 2).contains(&fetches.issued),
            "{id}: {} issued",
            fetches.issued
        );
        assert!(fetches.refused < 10, "{id}: {} refused", fetches.refused);
    }
}
