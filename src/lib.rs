//! token-server
pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod failure;
pub mod fake_provider;
pub mod http;
pub mod import;
pub mod realm;
pub mod secret;
pub mod service;
pub mod store;
pub mod tasks;
pub mod telemetry;
pub mod token;
pub mod upstream;
