//! Logs and metrics.

pub mod logs;
mod metrics;

pub use metrics::{Metrics, SignIn};
