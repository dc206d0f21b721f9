//! `[renewal]`

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{ConfigError, within};

/// Waiting for and following other instances.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RenewalSettings {
    /// How long a caller waits for a token at most. Default 25 s.
    /// `TOKEN_SERVER__RENEWAL__WAIT_SECONDS`
    pub wait_seconds: f64,
    /// How often to look for what other instances wrote. Default 1 s.
    /// `TOKEN_SERVER__RENEWAL__SYNC_INTERVAL_SECONDS`
    pub sync_interval_seconds: f64,
    /// Whether tokens are renewed ahead of their expiry in the background. Default true; false
    /// where the process is frozen between requests, and `POST /api/cron/refresh` is called
    /// instead. `TOKEN_SERVER__RENEWAL__BACKGROUND`
    pub background: bool,
    /// Secrets nobody asked for in so many hours are not renewed ahead. Default 24.
    /// `TOKEN_SERVER__RENEWAL__IDLE_AFTER_HOURS`
    pub idle_after_hours: f64,
    /// How often the store is looked through for tokens that other instances left due. Default 60
    /// s. `TOKEN_SERVER__RENEWAL__SWEEP_INTERVAL_SECONDS`
    pub sweep_interval_seconds: f64,
    /// How long the log of fetches is kept, in days; quotas are counted in it. Default 8.
    /// `TOKEN_SERVER__RENEWAL__KEEP_LOG_DAYS`
    pub keep_log_days: u32,
}

impl Default for RenewalSettings {
    fn default() -> Self {
        Self {
            wait_seconds: 25.0,
            sync_interval_seconds: 1.0,
            background: true,
            idle_after_hours: 24.0,
            sweep_interval_seconds: 60.0,
            keep_log_days: 8,
        }
    }
}

impl RenewalSettings {
    /// See the field.
    #[must_use]
    pub fn wait(&self) -> Duration {
        Duration::from_secs_f64(self.wait_seconds)
    }

    /// See the field.
    #[must_use]
    pub fn sync_interval(&self) -> Duration {
        Duration::from_secs_f64(self.sync_interval_seconds)
    }

    /// See the field.
    #[must_use]
    pub fn keep_log(&self) -> Duration {
        Duration::from_hours(24 * u64::from(self.keep_log_days))
    }

    /// See the field.
    #[must_use]
    pub fn idle_after(&self) -> Duration {
        Duration::from_secs_f64(self.idle_after_hours * 3600.0)
    }

    /// See the field.
    #[must_use]
    pub fn sweep_interval(&self) -> Duration {
        Duration::from_secs_f64(self.sweep_interval_seconds)
    }

    /// How long after the last look memory is served unasked: two looks; half the realm's overlap
    /// if that is longer.
    #[must_use]
    pub fn trust_for(&self) -> Duration {
        self.sync_interval() * 2
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        within("renewal.wait_seconds", self.wait_seconds, 0.1, 600.0)?;
        within(
            "renewal.sweep_interval_seconds",
            self.sweep_interval_seconds,
            0.1,
            3600.0,
        )?;
        if !(0.01..=8784.0).contains(&self.idle_after_hours) {
            return Err(ConfigError(
                "renewal.idle_after_hours: expected 0.01 to 8784".to_owned(),
            ));
        }
        if !(8..=3660).contains(&self.keep_log_days) {
            let why = "a quota's window is up to 7 days long and counted in the log";
            return Err(ConfigError(format!(
                "renewal.keep_log_days: expected 8 to 3660: {why}"
            )));
        }
        within(
            "renewal.sync_interval_seconds",
            self.sync_interval_seconds,
            0.05,
            600.0,
        )
    }
}
