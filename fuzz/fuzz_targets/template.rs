//! Any text as a template, in a URL, a header, a form, JSON and text.
#![no_main]

use libfuzzer_sys::fuzz_target;
use token_server::realm::Definition;

#[path = "facts.rs"]
mod facts;

fuzz_target!(|text: &str| {
    let config = serde_json::json!({
        "inputs": {"a": {}, "key": {"secret": true}, "none": {"required": false}},
        "vars": {"v": text, "w": {"json": {"x": text}}, "j": {"jwt": {"alg": "HS256", "key": "key", "claims": {"c": text}}}},
        "token": "var:v", "expires": "never",
        "requests": [{"url": "https://x.example", "text": "{{ a }}"},
                     {"url": "https://x.example/", "query": {"q": text}, "headers": {"X-H": text}, "json": {"m": text, "v": "{{ w }}"}}]});
    let Ok(definition) = Definition::read(Some(&config), None) else {
        return;
    };
    if let Some(recipe) = definition.recipe() {
        let _ = recipe
            .rehearse(facts::of(&definition), vec![facts::good_response(); 2], true)
            .report(true);
    }
});
