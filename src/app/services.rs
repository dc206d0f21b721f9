//! Which part is given which; no HTTP inside.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::api_key::ApiKey;
use crate::clock::Clock;
use crate::config::Config;
use crate::realm::DEFAULT_LIFE;
use crate::service::memory::Memory;
use crate::service::sync::Sync;
use crate::service::{
    ApiKeys, Calls, InputFiles, Readiness, Realms, Refresher, RefresherSettings, Renewal,
    RenewalParts, RenewalSettings, Secrets, Tokens, Upkeep, UpkeepParts,
};
use crate::store::Store;
use crate::tasks::Tasks;
use crate::telemetry::Metrics;
use crate::upstream::{OwnListeners, SetupError, TokenSource, Upstream};

/// All that a process can do, whoever asks: HTTP, a function's event, a command.
#[derive(Clone)]
pub struct Services {
    /// Tokens.
    pub tokens: Tokens,
    /// Realms.
    pub realms: Realms,
    /// Secrets.
    pub secrets: Secrets,
    /// API keys.
    pub api_keys: ApiKeys,
    /// The log of calls.
    pub calls: Calls,
    /// Renews ahead of expiry.
    pub refresher: Refresher,
    /// Follows other instances.
    pub sync: Arc<Sync>,
    /// The loops.
    pub upkeep: Upkeep,
    /// Whether the process can serve.
    pub readiness: Arc<Readiness>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Background work.
    pub tasks: Tasks,
    /// Where everything is kept.
    pub store: Arc<dyn Store>,
    /// What this process listens on: note each listener here, so that no realm calls it.
    pub own_listeners: OwnListeners,
}

/// A lease outlives the fetch it is for by this much.
const LEASE_MARGIN: Duration = Duration::from_secs(2);

impl Services {
    /// Wires the parts over a store and a clock. `admin`: an API key of the configuration that works
    /// beside those of the store.
    ///
    /// # Errors
    /// When the HTTP client cannot be set up.
    pub fn build(
        config: &Config,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        admin: Option<&ApiKey>,
    ) -> Result<Self, SetupError> {
        let egress = config
            .upstream
            .egress()
            .map_err(|wrong| SetupError::of(wrong.0))?;
        let authorities = config.upstream.authorities();
        let own_listeners = OwnListeners::default();
        let upstream = Upstream::new(
            config.upstream.limits(),
            egress.sparing(&own_listeners),
            config.upstream.proxy_url.as_deref(),
            authorities.map_err(|wrong| SetupError::of(wrong.0))?,
        )?;
        Ok(Self {
            own_listeners,
            ..Self::over(config, store, clock, Arc::new(upstream), admin)
        })
    }

    /// The same over any source of tokens.
    #[must_use]
    pub fn over(
        config: &Config,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        upstream: Arc<dyn TokenSource>,
        admin: Option<&ApiKey>,
    ) -> Self {
        let tasks = Tasks::default();
        let metrics = Arc::new(Metrics::new());
        let memory = Arc::new(Memory::new());
        let (schedule, scheduled) = mpsc::unbounded_channel();
        let parts = RenewalParts {
            store: Arc::clone(&store),
            upstream,
            clock: Arc::clone(&clock),
            memory: Arc::clone(&memory),
            metrics: Arc::clone(&metrics),
            files: InputFiles::below(config.inputs.file_root.clone()),
            tasks: tasks.clone(),
            schedule,
        };
        let renewal = Renewal::new(parts, renewal_settings(config));
        let tokens = Tokens::new(
            Arc::new(renewal),
            tasks.clone(),
            config.renewal.wait(),
            config.renewal.background,
        );
        let api_keys = ApiKeys::with_admin(store.clone(), Arc::clone(&clock), admin);
        let followed = (tokens.clone(), api_keys.clone());
        let sync = Arc::new(Sync::new(store.clone(), followed, Arc::clone(&clock)));
        watch_expiries(&metrics, memory, Arc::clone(&clock));
        let refresher = Refresher::new(
            Arc::clone(&store),
            tokens.clone(),
            Arc::clone(&clock),
            tasks.clone(),
            refresher_settings(config),
        );
        let calls = Calls::new(store.clone(), Arc::clone(&clock), config.renewal.keep_log());
        let upkeep = UpkeepParts {
            sync: Arc::clone(&sync),
            refresher: refresher.clone(),
            tokens: tokens.clone(),
            api_keys: api_keys.clone(),
            calls: calls.clone(),
            clock: Arc::clone(&clock),
            tasks: tasks.clone(),
        };
        Self {
            realms: Realms::new(store.clone(), tokens.clone(), Arc::clone(&clock)),
            secrets: Secrets::new(store.clone(), tokens.clone(), Arc::clone(&clock)),
            api_keys,
            calls,
            refresher,
            sync,
            upkeep: Upkeep::new(upkeep, scheduled),
            readiness: Arc::default(),
            metrics,
            clock,
            tasks,
            store,
            tokens,
            own_listeners: OwnListeners::default(),
        }
    }
}

fn refresher_settings(config: &Config) -> RefresherSettings {
    RefresherSettings {
        idle_after: config.renewal.idle_after(),
        sweep_interval: config.renewal.sweep_interval(),
    }
}

fn renewal_settings(config: &Config) -> RenewalSettings {
    RenewalSettings {
        fetch_timeout: config.upstream.timeout(),
        lease_margin: LEASE_MARGIN,
        wait: config.renewal.wait(),
        default_life: DEFAULT_LIFE,
        idle_after: config.renewal.idle_after(),
        trust_for: config.renewal.trust_for(),
        response_bytes: config.upstream.max_response_bytes,
    }
}

fn watch_expiries(metrics: &Metrics, memory: Arc<Memory>, clock: Arc<dyn Clock>) {
    metrics.watch_expiries(move || {
        let now = clock.now();
        let mut expiries = Vec::new();
        memory.visit(|id, entry| {
            if let Some(expires_at) = entry.life.expires_at {
                #[expect(
                    clippy::cast_precision_loss,
                    reason = "a lifetime in ms is far below 2^52"
                )]
                let left_ms = expires_at.epoch_ms().saturating_sub(now.epoch_ms()) as f64;
                expiries.push((id.clone(), left_ms / 1000.0));
            }
        });
        expiries
    });
}
