//! Simulated time: the real service of several instances over the store in memory, a day in
//! seconds.
//!
//! Time is Tokio's paused clock, which jumps to the next timer when nothing else is to be done.
//! Instances see it through machine clocks that are minutes apart, and correct them by the store's
//! as in production.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod burst;
mod day;
mod dice;
mod provider;
mod slow;
mod spread;
mod world;
