//! The realm language against what real providers want: their requests, their answers, their
//! signatures.

#![expect(clippy::unwrap_used, reason = "a test; the line tells which")]

mod catalog;
mod checking;
mod costs;
mod example;
mod exchange;
mod found;
mod hosts;
mod jwt;
mod keys;
mod leaks;
mod misfits;
mod program;
mod providers;
mod refusals;
mod robust;
mod schema;
mod secrecy;
mod signing;
mod traps;
mod xml;
