//! The token API of a `WeChat` official account, the classic one: a new token each time, the one
//! before works on for five minutes, the one before that is dead at once.
//!
//! The codes are the vendor's; the order in which wrong parameters are reported is an assumption,
//! except that nothing at all is known to be answered with 41002.

use axum::extract::{Query, State};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::errcode::Errcode;
use super::issued::Issued;
use super::{Api, FakeProvider, Lives, WECHAT_APPID, WECHAT_SECRET};
use crate::clock::Timestamp;

const PREFIX: &str = "wechat-";
const APPID_MISSING: Errcode = Errcode::new(41002, "appid missing");
const SECRET_MISSING: Errcode = Errcode::new(41004, "appsecret missing");
const WRONG_GRANT_TYPE: Errcode = Errcode::new(40002, "invalid grant_type");
const WRONG_APPID: Errcode = Errcode::new(40013, "invalid appid");
const WRONG_SECRET: Errcode = Errcode::new(40125, "invalid appsecret");
const WRONG_TOKEN: Errcode = Errcode::new(
    40001,
    "invalid credential, access_token is invalid or not latest",
);

/// The tokens of the one account: the newest, and the one it replaced. Any other is forgotten,
/// which is to be dead.
#[derive(Default)]
pub(super) struct Account {
    newest: Option<Issued>,
    replaced: Option<Replaced>,
}

struct Replaced {
    token: Issued,
    grace_ends_at: Timestamp,
}

impl Account {
    fn issue(&mut self, now: Timestamp, lives: &Lives) -> Issued {
        let token = Issued::new(PREFIX, now, lives.wechat);
        let grace_ends_at = now.plus(lives.wechat_grace);
        let before = self.newest.replace(token.clone());
        self.replaced = before.map(|token| Replaced {
            token,
            grace_ends_at,
        });
        token
    }

    /// Whether a call with this token is let in.
    pub(super) fn check(&self, text: &str, now: Timestamp) -> Result<(), Errcode> {
        if text.is_empty() {
            return Err(Errcode::TOKEN_MISSING);
        }
        let newest = self.newest.as_ref().filter(|token| token.text == text);
        let in_grace = || {
            self.replaced
                .as_ref()
                .filter(|old| now < old.grace_ends_at)
                .map(|old| &old.token)
        };
        let token = newest
            .or_else(|| in_grace().filter(|token| token.text == text))
            .ok_or(WRONG_TOKEN)?;
        if token.has_expired(now) {
            Err(Errcode::TOKEN_EXPIRED)
        } else {
            Ok(())
        }
    }
}

pub(super) fn routes() -> Router<FakeProvider> {
    Router::new().route("/cgi-bin/token", get(create_token))
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct TokenRequest {
    grant_type: String,
    appid: String,
    secret: String,
}

impl TokenRequest {
    fn check(&self) -> Result<(), Errcode> {
        match (
            self.grant_type.as_str(),
            self.appid.as_str(),
            self.secret.as_str(),
        ) {
            (_, "", _) => Err(APPID_MISSING),
            (_, _, "") => Err(SECRET_MISSING),
            ("client_credential", WECHAT_APPID, WECHAT_SECRET) => Ok(()),
            ("client_credential", WECHAT_APPID, _) => Err(WRONG_SECRET),
            ("client_credential", _, _) => Err(WRONG_APPID),
            _ => Err(WRONG_GRANT_TYPE),
        }
    }
}

async fn create_token(
    State(provider): State<FakeProvider>,
    Query(request): Query<TokenRequest>,
) -> Result<Json<Value>, Errcode> {
    provider.locked(|ledger, now| {
        *ledger.calls.of(Api::Wechat) += 1;
        request.check()?;
        let token = ledger.wechat.issue(now, &provider.lives);
        Ok(Json(
            json!({"access_token": token.text, "expires_in": token.expires_in(now)}),
        ))
    })
}
