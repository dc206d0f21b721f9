//! Structured logs: text on a terminal, JSON elsewhere.

use std::io::IsTerminal as _;

use tracing_subscriber::fmt::format::FmtSpan;

use crate::config::{LogFormat, LogSettings};

/// Starts logging to standard error. A second call changes nothing.
///
/// # Errors
/// When the filter cannot be read; names it.
pub fn start(settings: &LogSettings) -> Result<(), String> {
    let filter = settings.parsed().map_err(|error| error.0)?;
    let is_terminal = std::io::stderr().is_terminal();
    let as_json = match settings.format {
        LogFormat::Auto => !is_terminal,
        LogFormat::Json => true,
        LogFormat::Text => false,
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_span_events(FmtSpan::NONE)
        .with_writer(std::io::stderr)
        .with_target(false);
    // A second call finds the first one's subscriber in place.
    let _ = if as_json {
        builder
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .try_init()
    } else {
        builder.with_ansi(is_terminal).compact().try_init()
    };
    Ok(())
}
