//! The token API of a `WeCom` app: the same token while it is valid, with what is left of its life.
//!
//! Source: refusals and their order (a missing `corpsecret` before a missing `corpid`, the token
//! before the other parameters) as `qyapi.weixin.qq.com` answered made-up values in a public record
//! of 2026-09-11. 40001 for a wrong secret is from the vendor's table of codes,
//! work.weixin.qq.com/api/doc page 90313.

use axum::extract::{Query, State};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::errcode::Errcode;
use super::issued::Issued;
use super::{Api, FakeProvider, Lives, WECOM_CORPID, WECOM_SECRET};
use crate::clock::Timestamp;

/// What the token of a `WeCom` app begins with here; the real ones cannot be told apart like this.
pub(super) const PREFIX: &str = "wecom-";
const CORPID_MISSING: Errcode = Errcode::new(41002, "corpid missing");
const SECRET_MISSING: Errcode = Errcode::new(41004, "corpsecret missing");
const WRONG_CORPID: Errcode = Errcode::new(40013, "invalid corpid");
const WRONG_SECRET: Errcode = Errcode::new(40001, "invalid credential");
const WRONG_TOKEN: Errcode = Errcode::new(40014, "invalid access_token");
const USERID_MISSING: Errcode = Errcode::new(41009, "userid missing");

/// The tokens of the one app: the newest, and the one before, remembered to be called expired and
/// not unknown.
#[derive(Default)]
pub(super) struct App {
    newest: Option<Issued>,
    before: Option<Issued>,
}

impl App {
    /// The token of the moment, a new one when less than a second is left of it.
    fn issue(&mut self, now: Timestamp, lives: &Lives) -> Issued {
        if let Some(token) = self
            .newest
            .as_ref()
            .filter(|token| token.expires_in(now) > 0)
        {
            return token.clone();
        }
        let token = Issued::new(PREFIX, now, lives.wecom);
        self.before = self.newest.replace(token.clone());
        token
    }

    /// Whether a call with this token is let in.
    pub(super) fn check(&self, text: &str, now: Timestamp) -> Result<(), Errcode> {
        if text.is_empty() {
            return Err(Errcode::TOKEN_MISSING);
        }
        let mut known = self.newest.iter().chain(&self.before);
        let token = known.find(|token| token.text == text).ok_or(WRONG_TOKEN)?;
        if token.has_expired(now) {
            Err(Errcode::TOKEN_EXPIRED)
        } else {
            Ok(())
        }
    }
}

pub(super) fn routes() -> Router<FakeProvider> {
    Router::new()
        .route("/cgi-bin/gettoken", get(show_token))
        .route("/cgi-bin/user/get", get(show_user))
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct TokenRequest {
    corpid: String,
    corpsecret: String,
}

impl TokenRequest {
    fn check(&self) -> Result<(), Errcode> {
        match (self.corpid.as_str(), self.corpsecret.as_str()) {
            (_, "") => Err(SECRET_MISSING),
            ("", _) => Err(CORPID_MISSING),
            (WECOM_CORPID, WECOM_SECRET) => Ok(()),
            (WECOM_CORPID, _) => Err(WRONG_SECRET),
            _ => Err(WRONG_CORPID),
        }
    }
}

async fn show_token(
    State(provider): State<FakeProvider>,
    Query(request): Query<TokenRequest>,
) -> Result<Json<Value>, Errcode> {
    provider.locked(|ledger, now| {
        *ledger.calls.of(Api::Wecom) += 1;
        request.check()?;
        let token = ledger.wecom.issue(now, &provider.lives);
        let expires_in = token.expires_in(now);
        Ok(Json(json!({
            "errcode": 0, "errmsg": "ok", "access_token": token.text, "expires_in": expires_in,
        })))
    })
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct UserRequest {
    access_token: String,
    userid: String,
}

async fn show_user(
    State(provider): State<FakeProvider>,
    Query(request): Query<UserRequest>,
) -> Result<Json<Value>, Errcode> {
    provider.locked(|ledger, now| ledger.wecom.check(&request.access_token, now))?;
    if request.userid.is_empty() {
        return Err(USERID_MISSING);
    }
    Ok(Json(
        json!({"errcode": 0, "errmsg": "ok", "userid": request.userid, "name": "Demo user"}),
    ))
}
