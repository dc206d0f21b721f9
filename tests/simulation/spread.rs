//! Ten thousand secrets fetched in the same second, and when each of them is renewed.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use token_server::app::Services;
use token_server::clock::{Clock as _, ManualClock, Timestamp};
use token_server::config::{Config, Environment};
use token_server::failure::Failure;
use token_server::realm::{RawResponse, Request};
use token_server::secret::SecretId;
use token_server::service::{RealmEdit, SecretEdit};
use token_server::store::{DueWindow, MemoryStore, TokenStore as _};
use token_server::upstream::TokenSource;

const SECRETS: usize = 10_000;
const LIFE: Duration = Duration::from_hours(2);
/// Renewals begin at most this long before expiry, and at least half as long (LANGUAGE.md, "When to
/// renew").
const AHEAD: Duration = Duration::from_mins(5);
/// No tenth of the window may have more than this, in hundredths of the mean.
const MOST: usize = 150;

/// Answers at once.
struct Instantly;

#[async_trait]
impl TokenSource for Instantly {
    async fn send(&self, _: &Request, _: Duration) -> Result<RawResponse, Failure> {
        Ok(RawResponse::json(
            200,
            &json!({"access_token": "token", "expires_in": LIFE.as_secs()}),
        ))
    }
}

/// Fetches the tokens of these keys through the real service, and reads when each is due; seconds
/// into the window.
async fn dues(keys: impl Iterator<Item = String>) -> Vec<f64> {
    let clock = Arc::new(ManualClock::at(Timestamp::from_epoch_ms(1_795_478_400_000)));
    let store = Arc::new(MemoryStore::new(clock.clone()));
    let config = Config::load_without_file(&Environment::of(&[]), &[]).unwrap();
    let services = Services::over(
        &config,
        store.clone(),
        clock.clone(),
        Arc::new(Instantly),
        None,
    );
    let realm = json!({"id": "r", "config": {"url": "http://provider.invalid/token", "method": "GET",
        "token_path": "access_token", "expires_in_path": "expires_in"}});
    services
        .realms
        .save(&RealmEdit::read(&realm).unwrap())
        .await
        .unwrap();
    for key in keys {
        let secret = json!({"realm": "r", "key": key});
        services
            .secrets
            .save(&SecretEdit::read(&secret).unwrap())
            .await
            .unwrap();
        services
            .tokens
            .get(SecretId::new("r", key).borrowed())
            .await
            .unwrap();
    }
    let (now, most) = (clock.now(), u64::try_from(SECRETS).unwrap() + 1);
    let window = DueWindow {
        by: now.plus(LIFE),
        asked_since: now,
        grants_by: now,
    };
    let committed = store.list_due(&window, None, most).await.unwrap();
    let begins = now.plus(LIFE).minus(AHEAD);
    assert!(
        committed.iter().all(|due| due.due_at >= begins),
        "before the window"
    );
    committed
        .iter()
        .map(|due| due.due_at.since(begins).as_secs_f64())
        .collect()
}

/// How many fall into each of so many equal parts of the window.
fn histogram(dues: &[f64], parts: usize) -> Vec<usize> {
    let window = AHEAD.as_secs_f64() / 2.0;
    let mut counts = vec![0; parts];
    for due in dues {
        let ends = (1..parts).map(|part| {
            window * f64::from(u32::try_from(part).unwrap())
                / f64::from(u32::try_from(parts).unwrap())
        });
        counts[ends.filter(|end| due >= end).count()] += 1;
    }
    counts
}

#[tokio::test]
async fn secrets_fetched_in_the_same_second_are_renewed_evenly_over_the_window() {
    let counted = |name: fn(usize) -> String| (0..SECRETS).map(name);
    let namings = [
        (
            "app-0 … app-9999",
            counted(|number| format!("app-{number}")),
        ),
        (
            "wx and 16 hex digits",
            counted(|number| format!("wx{:016x}", 0x5f3a_0000_0000_0000 + number)),
        ),
    ];
    for (naming, keys) in namings {
        let dues = dues(keys).await;
        assert_eq!(dues.len(), SECRETS, "{naming}");
        assert!(
            dues.iter().all(|due| *due <= AHEAD.as_secs_f64() / 2.0),
            "{naming}: after the window"
        );
        let tenths = histogram(&dues, 10);
        print(naming, &dues, &tenths);
        let fullest = tenths.iter().max().unwrap();
        assert!(fullest * 100 <= SECRETS / 10 * MOST, "{naming}: {tenths:?}");
    }
}

/// The histogram in 5 s steps, where `make spread` asks for it.
#[expect(clippy::print_stdout, reason = "what `make spread` is for")]
fn print(naming: &str, dues: &[f64], tenths: &[usize]) {
    #[expect(clippy::disallowed_methods, reason = "set by `make spread`")]
    if std::env::var("PRINT_SPREAD").is_err() {
        return;
    }
    let counts = histogram(dues, 30);
    let mut text = format!("{naming}\n");
    for (step, count) in counts.iter().enumerate() {
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "{:>4} s {count:>5} {}",
            step * 5,
            "█".repeat(count / 8)
        );
    }
    let mean = dues.len() / 10;
    let (least, most) = (tenths.iter().min().unwrap(), tenths.iter().max().unwrap());
    let busiest = histogram(dues, 150).into_iter().max().unwrap();
    println!(
        "{text}tenths: {least} to {most}, mean {mean}; busiest second: {busiest}, mean {}\n",
        dues.len() / 150
    );
}
