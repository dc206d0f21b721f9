//! Any text as a query: the hit path and the router read the same ask for a token.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| token_server::http::fuzzing::query(text));
