//! The only wiring: which part is given which, and the life of a process.

mod lifecycle;
mod services;

use crate::config::Config;
use crate::http::{Api, Door, Gate};

pub use lifecycle::{Server, StartError, open_store};
pub use services::Services;

/// The way in to these services, as the configuration has it.
#[must_use]
pub fn door(services: &Services, config: &Config) -> Door {
    let api = Api {
        tokens: services.tokens.clone(),
        realms: services.realms.clone(),
        secrets: services.secrets.clone(),
        refresher: services.refresher.clone(),
        calls: services.calls.clone(),
        readiness: services.readiness.clone(),
        metrics: services.metrics.clone(),
        clock: services.clock.clone(),
    };
    Door::new(Gate::new(!config.server.insecure_no_auth), api)
}
