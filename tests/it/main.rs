//! The real app on real ports: a temporary SQLite, a hand-moved clock, a scripted provider.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod access;
mod bad_input;
mod bases;
mod catalog;
mod costs;
mod description;
mod failures;
mod faulty_provider;
mod general;
mod grants;
mod harness;
mod hit_path;
mod hosts;
mod log;
mod log_lines;
mod marks;
mod pauses;
mod policy;
mod realms;
mod refresher;
mod renewal;
mod report;
mod rotation;
mod scopes;
mod secrets;
mod store_away;
mod tokens;
mod trials;
