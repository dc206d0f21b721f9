//! token-server hands applications the API tokens of third-party providers, fetched once per
//! expiry.
//!
//! ```text
//! http ──▶ service::tokens.get(realm, key)
//!             fresh    → answer from memory
//!             ageing   → answer from memory, renew behind the caller's back
//!             missing  → renew, once per secret in this process
//!                           └▶ store: renewed elsewhere meanwhile? take it
//!                           └▶ lease (one holder over all instances) → upstream.fetch → store (fenced) → memory
//! flush ──▶ the same renewal
//! ```
//!
//! Modules are layers: `http → service → {realm, upstream, store}`; `realm` knows none of the
//! others. `app` wires them, `cli` runs them. `api_key`, `clock`, `failure`, `secret`, `tasks`, `telemetry`
//! and `token` are used by all.

pub mod api_key;
pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
mod failpoint;
pub mod failure;
pub mod fake_provider;
pub mod http;
pub mod import;
pub mod json;
pub mod networks;
pub mod realm;
pub mod secret;
pub mod service;
pub mod store;
pub mod tasks;
pub mod telemetry;
pub mod token;
pub mod upstream;
