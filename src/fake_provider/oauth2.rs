//! An `OAuth2` server for client credentials: each token is new and all of them work until their
//! end.
//!
//! Source: RFC 6749 §2.3.1 (client authentication), §4.4 (the grant), §5 (answers); RFC 6750 §3
//! (the challenge). A JSON body is not in the RFC; some providers want one.

mod refusal;
mod request;

use std::collections::VecDeque;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, PRAGMA};
use axum::http::{HeaderMap, HeaderName};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use self::refusal::Refusal;
use self::request::TokenRequest;
use super::issued::Issued;
use super::{Api, FakeProvider, Lives, OAUTH2_CLIENT_ID};
use crate::clock::Timestamp;

const PREFIX: &str = "oauth2-";
/// Living tokens remembered; beyond it the oldest stops working early.
const MOST_TOKENS: usize = 10_000;
/// RFC 6749 §5.1: an answer with a token is not to be cached.
const NOT_CACHED: [(HeaderName, &str); 2] = [(CACHE_CONTROL, "no-store"), (PRAGMA, "no-cache")];

/// The tokens of the one client, newest first.
#[derive(Default)]
pub(super) struct Client {
    tokens: VecDeque<Issued>,
}

impl Client {
    fn issue(&mut self, now: Timestamp, lives: &Lives) -> Issued {
        while self
            .tokens
            .back()
            .is_some_and(|oldest| oldest.has_expired(now))
        {
            self.tokens.pop_back();
        }
        self.tokens.truncate(MOST_TOKENS - 1);
        let token = Issued::new(PREFIX, now, lives.oauth2);
        self.tokens.push_front(token.clone());
        token
    }

    fn check(&self, text: &str, now: Timestamp) -> Result<(), Refusal> {
        let works = self
            .tokens
            .iter()
            .any(|token| token.text == text && !token.has_expired(now));
        if works {
            Ok(())
        } else {
            Err(Refusal::InvalidToken)
        }
    }
}

pub(super) fn routes() -> Router<FakeProvider> {
    Router::new()
        .route("/oauth2/token", post(create_token))
        .route("/oauth2/userinfo", get(show_userinfo))
}

async fn create_token(
    State(provider): State<FakeProvider>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<([(HeaderName, &'static str); 2], Json<Value>), Refusal> {
    provider.locked(|ledger, now| {
        *ledger.calls.of(Api::Oauth2) += 1;
        TokenRequest::read(&headers, &body)?.check()?;
        let token = ledger.oauth2.issue(now, &provider.lives);
        let expires_in = token.expires_in(now);
        let answer =
            json!({"access_token": token.text, "token_type": "Bearer", "expires_in": expires_in});
        Ok((NOT_CACHED, Json(answer)))
    })
}

async fn show_userinfo(
    State(provider): State<FakeProvider>,
    headers: HeaderMap,
) -> Result<Json<Value>, Refusal> {
    let token = bearer(&headers).ok_or(Refusal::NoToken)?;
    provider.locked(|ledger, now| ledger.oauth2.check(token, now))?;
    Ok(Json(
        json!({"sub": OAUTH2_CLIENT_ID, "name": "Demo client"}),
    ))
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_expired_and_the_too_many_are_forgotten() {
        let (mut client, lives) = (Client::default(), Lives::default());
        let start = Timestamp::from_epoch_ms(0);
        for _ in 0..=MOST_TOKENS {
            client.issue(start, &lives);
        }
        assert_eq!(client.tokens.len(), MOST_TOKENS);
        client.issue(start.plus(Duration::from_mins(5)), &lives);
        assert_eq!(client.tokens.len(), 1);
    }
}
