//! Instances, their clocks, and the store they share.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use serde_json::json;
use token_server::app::Services;
use token_server::clock::{Clock, SystemClock, Timestamp, millis};
use token_server::config::{Config, Environment};
use token_server::secret::SecretId;
use token_server::service::store_time::{compare, keep_on_store_time};
use token_server::service::{RealmEdit, SecretEdit};
use token_server::store::{MemoryStore, Store};
use tokio::time::Instant;

use crate::provider::SimProvider;

/// A machine's clock: simulated time, and by how much it is wrong.
pub(crate) struct SimClock {
    began: Instant,
    wrong_ms: AtomicI64,
}

/// 2026-11-24T00:00:00Z
const START_MS: i64 = 1_795_478_400_000;

impl SimClock {
    pub(crate) fn wrong_by(began: Instant, minutes: i64) -> Arc<Self> {
        let clock = Self {
            began,
            wrong_ms: AtomicI64::new(0),
        };
        clock.set_wrong(minutes);
        Arc::new(clock)
    }

    /// Somebody sets the machine's clock.
    pub(crate) fn set_wrong(&self, minutes: i64) {
        self.wrong_ms.store(minutes * 60_000, Ordering::Relaxed);
    }
}

impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        let passed = millis(self.began.elapsed()) + self.wrong_ms.load(Ordering::Relaxed);
        Timestamp::from_epoch_ms(START_MS + passed)
    }
}

/// One process.
#[derive(Clone)]
pub(crate) struct Instance {
    pub(crate) services: Services,
    pub(crate) machine: Arc<SimClock>,
}

/// All that instances share.
pub(crate) struct World {
    began: Instant,
    pub(crate) clock: Arc<SimClock>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) provider: Arc<SimProvider>,
}

impl World {
    /// With a provider that refuses one in so many calls.
    pub(crate) fn failing_one_in(calls: u64) -> Self {
        let began = Instant::now();
        let clock = SimClock::wrong_by(began, 0);
        let store = Arc::new(MemoryStore::new(clock.clone()));
        let provider = Arc::new(SimProvider::new(clock.clone(), calls));
        Self {
            began,
            clock,
            store,
            provider,
        }
    }

    /// A process on a machine whose clock is wrong by so many minutes, begun as `serve` does.
    pub(crate) async fn start(&self, wrong_minutes: i64) -> Instance {
        let flags = [("renewal.sync_interval_seconds", "20".to_owned())];
        let config = Config::load_without_file(&Environment::of(&[]), &flags).unwrap();
        let machine = SimClock::wrong_by(self.began, wrong_minutes);
        let clock = Arc::new(SystemClock::over(machine.clone()));
        compare(&clock, self.store.as_ref()).await.unwrap();
        let services = Services::over(
            &config,
            self.store.clone(),
            clock.clone(),
            self.provider.clone(),
            None,
        );
        keep_on_store_time(clock, self.store.clone(), &services.tasks);
        services.upkeep.follow(config.renewal.sync_interval());
        services.upkeep.refresh_ahead();
        Instance { services, machine }
    }

    /// Realm `r`, which replaces its token with an overlap of five minutes, and so many secrets.
    pub(crate) async fn save(&self, instance: &Instance, secrets: usize) -> Vec<SecretId> {
        let realm = json!({"id": "r", "config": {"url": "http://provider.invalid/token", "method": "GET",
            "token_path": "access_token", "expires_in_path": "expires_in",
            "arguments": [{"name": "appid", "place": "url", "value": "$key_1"}],
            "policy": {"reissue": "replaces", "overlap": "5m"}}});
        instance
            .services
            .realms
            .save(&RealmEdit::read(&realm).unwrap())
            .await
            .unwrap();
        let mut ids = Vec::new();
        for number in 0..secrets {
            let key = format!("app-{number}");
            let secret = json!({"realm": "r", "key": key, "key_1": key});
            instance
                .services
                .secrets
                .save(&SecretEdit::read(&secret).unwrap())
                .await
                .unwrap();
            ids.push(SecretId::new("r", key));
        }
        ids
    }
}
