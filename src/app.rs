//! The only wiring: which part is given which, and the life of a process.

mod error;
mod lifecycle;
mod listening;
mod services;

use std::sync::Arc;

use crate::config::{Config, ConfigError};
use crate::http::{Api, Door, Gate, Keyless};

pub use error::StartError;
pub use lifecycle::{Server, open_store};
pub use services::Services;

/// What callers without an API key may do in `serve`.
///
/// # Errors
/// When a setting is wrong.
pub fn keyless(config: &Config) -> Result<Keyless, ConfigError> {
    let anonymous = config.auth.anonymous()?;
    Ok(
        anonymous.map_or(Keyless::Nothing, |anonymous| Keyless::Tokens {
            networks: anonymous.networks,
            scopes: Arc::new(anonymous.scopes),
        }),
    )
}

/// The way in to these services, as the configuration has it; `dev` lets callers without an API key
/// do everything on this machine.
///
/// # Errors
/// When a setting is wrong.
pub fn door(services: &Services, config: &Config, keyless: Keyless) -> Result<Door, ConfigError> {
    let api = Api {
        tokens: services.tokens.clone(),
        realms: services.realms.clone(),
        secrets: services.secrets.clone(),
        refresher: services.refresher.clone(),
        api_keys: services.api_keys.clone(),
        calls: services.calls.clone(),
        readiness: services.readiness.clone(),
        metrics: services.metrics.clone(),
        clock: services.clock.clone(),
    };
    let gate = Gate::new(
        services.api_keys.clone(),
        keyless,
        config.server.trusted_proxies()?,
        services.metrics.clone(),
        services.clock.clone(),
    );
    Ok(Door::new(gate, api))
}
