//! The lease protocol, model-checked: the real renewal of several instances over the store in
//! memory, in every order of their calls, with crashes, leases that end under their holders, edits
//! and failing statements in between.
//!
//! The checker is stateright. A state is a schedule: to look at it, the real code is run again from
//! the start along that schedule, one call of the store or the provider at a time. Two schedules
//! count as one state when the stored rows, the provider, the clock and what each instance has been
//! answered are the same.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod instance;
mod protocol;
mod run;
