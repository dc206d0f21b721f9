//! Any bytes as a response, in every format and unit.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use token_server::realm::{Definition, RawResponse};

#[path = "facts.rs"]
mod facts;

static DEFINITIONS: LazyLock<Vec<Definition>> = LazyLock::new(|| {
    let units = [
        "seconds",
        "milliseconds",
        "minutes",
        "epoch_seconds",
        "epoch_milliseconds",
        "rfc3339",
        "date",
        "duration_dhm",
    ];
    let formats = ["json", "xml", "form", "text"];
    let all = formats
        .iter()
        .flat_map(|format| units.iter().map(move |unit| (format, unit)));
    let config = |(format, unit): (&&str, &&str)| {
        serde_json::json!({"response": {"format": format, "strip_prefix": "&&"}, "requests": [{"url": "https://x.example"}],
            "inputs": {"r": {"from": "rotating", "required": false}}, "save": {"r": {"from": "$.r", "expires": {"path": "$.e", "unit": unit}}},
            "success_when": {"path": "$.code", "equals": 0, "missing_ok": true},
            "token": ["$.t", "$", "text", "header:x", "cookie:c"], "expires": {"path": ["$.e", "$"], "unit": unit},
            "outputs": {"o": "$.o", "h": "{{ token }}"}, "errors": {"code": "$.code", "config": ["4*"]}})
    };
    let read = |config: serde_json::Value| {
        Definition::read(Some(&config), None).expect("a good definition")
    };
    all.map(config).map(read).chain([read(serde_json::json!({"requests": [{"url": "https://x.example"}], "token": "$.t", "expires": "jwt_exp"}))]).collect()
});

fuzz_target!(|data: &[u8]| {
    let Some((first, body)) = data.split_first() else {
        return;
    };
    let definition = &DEFINITIONS[usize::from(*first) % DEFINITIONS.len()];
    let status = if first % 7 == 0 { 400 } else { 200 };
    let headers = vec![
        (
            "set-cookie".to_owned(),
            String::from_utf8_lossy(body).into_owned(),
        ),
        ("x".to_owned(), "h".to_owned()),
    ];
    let raw = RawResponse {
        status,
        headers,
        body: body.to_vec(),
    };
    if let Some(recipe) = definition.recipe() {
        let _ = recipe
            .rehearse(facts::of(definition), vec![raw], false)
            .report(false);
    }
});
