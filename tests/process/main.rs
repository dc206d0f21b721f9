//! The program as its users run it: its processes, its command line, real databases, real
//! providers, real SDKs.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod certificates;
mod chaos;
mod cli;
mod crowd;
mod database_tls;
mod dev;
mod exchange;
mod faults;
#[path = "../it/faulty_provider.rs"]
mod faulty_provider;
mod fleet;
mod galera;
mod grants;

mod holders;
mod instances;
mod issuer;
mod keys;
mod lifecycle;
mod listening;
mod logins;
mod memory;
mod moving;
mod mtls;
mod oidc;
mod outage;
mod paused;
mod peers;
mod program;
mod proxy;
mod read_only;
mod real_input;
mod schemathesis;
mod sdk;
mod servers;
mod storms;
