//! What a rehearsal starts from: every input has a value.

use token_server::clock::Timestamp;
use token_server::realm::{Definition, Facts, RawResponse};
use token_server::secret::SecretId;

pub fn of(definition: &Definition) -> Facts {
    let inputs = definition
        .input_names()
        .into_iter()
        .map(|name| (name.to_owned(), "7".to_owned()));
    Facts {
        secret: SecretId::new("r", "k"),
        inputs: inputs.collect(),
        tokens: [("base".to_owned(), "base-token".into())]
            .into_iter()
            .collect(),
        has_saved: false,
        forced: true,
        now: Timestamp::from_epoch_ms(1_760_000_000_000),
        uuid: "00000000-0000-4000-8000-000000000001".to_owned(),
        nonce: "0123456789abcdef0123456789abcdef".to_owned(),
    }
}

#[allow(dead_code)]
pub fn good_response() -> RawResponse {
    RawResponse::json(
        200,
        &serde_json::json!({"access_token": "t", "token": "t", "expires_in": 7200, "data": {"a": ["x"]}}),
    )
}
