//! Any JSON as a realm's config: it is read or refused, and what was read can be rehearsed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use token_server::realm::Definition;

#[path = "facts.rs"]
mod facts;

fuzz_target!(|data: &[u8]| {
    let Ok(config) = serde_json::from_slice::<serde_json::Value>(data) else {
        return;
    };
    let Ok(definition) = Definition::read(Some(&config), None) else {
        return;
    };
    let _ = definition.warnings();
    let _ = definition.fetches_like(&definition);
    if let Some(recipe) = definition.recipe() {
        let facts = facts::of(&definition);
        let responses = vec![facts::good_response(); 10];
        let _ = recipe.rehearse(facts, responses, false).report(false);
    }
});
