//! The recorded exchanges of the catalog, gone through in process.

use serde_json::{Map, Value};
use token_server::clock::Timestamp;
use token_server::realm::catalog::Preset;
use token_server::realm::{Definition, Facts, RawResponse, Recipe, Rehearsal};
use token_server::secret::{Credentials, SecretId};
use token_server::token::TokenText;

use crate::keys::filled;

/// Reads what a preset says.
pub(crate) fn definition(preset: &Preset) -> Definition {
    Definition::read(Some(&preset.config), None)
        .unwrap_or_else(|wrong| panic!("{}: {wrong:?}", preset.id))
}

/// When an example does not say when it is.
const NOW: i64 = 1_760_000_000;

/// The facts of an example, its keys filled in.
pub(crate) fn facts(example: &Value) -> Facts {
    let part = |name: &str| texts(&filled(&example[name]));
    let grant = part("grant");
    let has_saved = !grant.is_empty();
    let text = |name: &str, default: &str| example[name].as_str().unwrap_or(default).to_owned();
    Facts {
        secret: SecretId::new("realm", "key"),
        inputs: part("inputs")
            .into_iter()
            .chain(grant)
            .collect::<Credentials>(),
        tokens: part("tokens")
            .into_iter()
            .map(|(alias, text)| (alias, TokenText::from(text)))
            .collect(),
        has_saved,
        forced: false,
        now: Timestamp::from_epoch_ms(example["now"].as_i64().unwrap_or(NOW) * 1000),
        uuid: text("uuid", "00000000-0000-4000-8000-000000000001"),
        nonce: text("nonce", "0123456789abcdef0123456789abcdef"),
    }
}

fn texts(values: &Map<String, Value>) -> Vec<(String, String)> {
    let text = |value: &Value| {
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned)
    };
    let given = values.iter().filter(|(_, value)| !value.is_null());
    given
        .map(|(name, value)| (name.clone(), text(value)))
        .collect()
}

/// The answers of an example.
pub(crate) fn responses(example: &Value) -> Vec<RawResponse> {
    let responses = example["exchange"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|step| &step["answer"]);
    responses
        .map(|response| RawResponse::recorded(response).unwrap())
        .collect()
}

/// Goes through an example.
pub(crate) fn rehearsed(recipe: &Recipe, example: &Value, show_secrets: bool) -> Rehearsal {
    recipe.rehearse(facts(example), responses(example), show_secrets)
}
