//! Any text as a path and as a location.
#![no_main]

use libfuzzer_sys::fuzz_target;
use token_server::realm::{Location, Path};

fuzz_target!(|text: &str| {
    let document = serde_json::json!({"a": {"b": [1, {"c": "x"}]}, "data": {"token": "t"}});
    if let Ok(path) = Path::read(text) {
        let _ = path.find(&document);
    }
    let _ = Location::read(text);
});
