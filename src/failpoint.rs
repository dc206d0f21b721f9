//! Places where a test stops the process, to kill it there.
//!
//! Only with the feature `failpoints`, which the tested program is built with and the shipped one
//! is not: then `FAILPOINTS=lease_claimed=5000` stops it at that point for 5 s. Not the crate
//! `fail`: it pulls in a `rand` that changes the features of half the dependencies, and all would
//! be built twice.

/// Stops here if the environment says so; tells the log first.
#[cfg(feature = "failpoints")]
pub(crate) fn crash_point(name: &'static str) {
    #[expect(
        clippy::disallowed_methods,
        reason = "no setting: the shipped program does not have it"
    )]
    let armed = std::env::var("FAILPOINTS").unwrap_or_default();
    let Some(("", after)) = armed.split_once(name) else {
        return;
    };
    let milliseconds = after
        .strip_prefix('=')
        .and_then(|text| text.parse().ok())
        .unwrap_or_default();
    tracing::warn!(name, "at a crash point");
    // Other tasks go on.
    #[expect(
        clippy::disallowed_methods,
        reason = "it sleeps, which is what it is for"
    )]
    tokio::task::block_in_place(|| {
        std::thread::sleep(std::time::Duration::from_millis(milliseconds));
    });
}

/// Does nothing.
#[cfg(not(feature = "failpoints"))]
pub(crate) fn crash_point(_: &'static str) {}
