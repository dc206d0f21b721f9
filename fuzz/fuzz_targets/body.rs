//! Any bytes as a body: of a realm, a secret, an API key, a report, a trial, a pushed input.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| token_server::http::fuzzing::body(data));
