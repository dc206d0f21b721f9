//! The only wiring: which part is given which.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;

use crate::clock::{Clock, Timestamp};
use crate::config::Config;
use crate::http::Api;
use crate::realm::DEFAULT_LIFE;
use crate::service::memory::Memory;
use crate::service::sync::Sync;
use crate::service::{
    Calls, InputFiles, Realms, Refresher, RefresherSettings, Renewal, RenewalParts,
    RenewalSettings, Secrets, Tokens,
};
use crate::store::{DueToken, Store};
use crate::tasks::Tasks;
use crate::telemetry::Metrics;
use crate::upstream::{SetupError, TokenSource, Upstream};

/// Everything a process serves with.
#[derive(Clone)]
pub struct App {
    /// What handlers work with.
    pub api: Api,
    /// Follows other instances.
    pub sync: Arc<Sync>,
    /// Background work.
    pub tasks: Tasks,
    /// Where everything is kept.
    pub store: Arc<dyn Store>,
    /// What was fetched here, until the refresher takes it.
    scheduled: Arc<Mutex<Option<mpsc::UnboundedReceiver<DueToken>>>>,
}

/// A lease outlives the fetch it is for by this much.
const LEASE_MARGIN: Duration = Duration::from_secs(2);

/// How often what is old is removed.
const TIDY_EVERY: Duration = Duration::from_hours(1);

/// How often all that is held is compared with the store.
const SWEEP_EVERY: Duration = Duration::from_mins(1);

impl App {
    /// Wires the parts over a store and a clock.
    ///
    /// # Errors
    /// When the HTTP client cannot be set up.
    pub fn build(
        config: &Config,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, SetupError> {
        let egress = config
            .upstream
            .egress()
            .map_err(|wrong| SetupError::of(wrong.0))?;
        let upstream = Upstream::new(
            config.upstream.limits(),
            egress,
            config.upstream.proxy_url.as_deref(),
        )?;
        Ok(Self::over(config, store, clock, Arc::new(upstream)))
    }

    /// The same over any source of tokens.
    #[must_use]
    pub fn over(
        config: &Config,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        upstream: Arc<dyn TokenSource>,
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
        let sync = Sync::new(store.clone(), tokens.clone(), Arc::clone(&clock));
        watch_expiries(&metrics, memory, Arc::clone(&clock));
        let refresher = Refresher::new(
            Arc::clone(&store),
            tokens.clone(),
            Arc::clone(&clock),
            tasks.clone(),
            RefresherSettings {
                idle_after: config.renewal.idle_after(),
                sweep_interval: config.renewal.sweep_interval(),
            },
        );
        let api = Api {
            refresher,
            realms: Realms::new(store.clone(), tokens.clone(), Arc::clone(&clock)),
            secrets: Secrets::new(store.clone(), tokens.clone(), Arc::clone(&clock)),
            calls: Calls::new(store.clone(), Arc::clone(&clock), config.renewal.keep_log()),
            tokens,
            readiness: Arc::default(),
            loopback_only: !config.server.insecure_no_auth,
            metrics,
            clock,
        };
        Self {
            api,
            sync: Arc::new(sync),
            tasks,
            store,
            scheduled: Arc::new(Mutex::new(Some(scheduled))),
        }
    }

    /// Starts renewing ahead of expiry, once.
    pub fn refresh_ahead(&self) {
        let scheduled = self
            .scheduled
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(scheduled) = scheduled {
            self.tasks
                .spawn("refresher", self.api.refresher.clone().run(scheduled));
        }
    }

    /// Starts following other instances: a look each `interval`, tidying each hour.
    pub fn follow(&self, interval: Duration) {
        let app = self.clone();
        self.tasks.spawn("follow", async move {
            let mut last = app.look(None).await;
            let began = tokio::time::Instant::now();
            let (mut next_sweep, mut next_tidying) = (began + SWEEP_EVERY, began + TIDY_EVERY);
            loop {
                tokio::select! {
                    () = app.tasks.stopping() => return,
                    () = tokio::time::sleep(interval) => last = app.look(last).await,
                }
                if tokio::time::Instant::now() >= next_sweep {
                    next_sweep = tokio::time::Instant::now() + SWEEP_EVERY;
                    if let Err(error) = app.sync.sweep().await {
                        tracing::debug!(%error, "the store could not be swept; the next sweep will do");
                    }
                    app.api.tokens.memory().drop_expired(app.api.clock.now());
                    app.api.refresher.tell_asks().await;
                }
                if tokio::time::Instant::now() >= next_tidying {
                    next_tidying = tokio::time::Instant::now() + TIDY_EVERY;
                    app.sync.tidy().await;
                    app.api.calls.prune().await;
                }
            }
        });
    }

    async fn look(&self, last: Option<Timestamp>) -> Option<Timestamp> {
        let was_away = self.api.tokens.memory().away_since().is_some();
        match self.sync.look(last).await {
            Ok(began) => {
                if was_away {
                    tracing::info!("the database answers again");
                }
                Some(began)
            }
            Err(error) => {
                if !was_away {
                    tracing::error!(%error, "the database is away; tokens in memory are served on");
                }
                last
            }
        }
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
