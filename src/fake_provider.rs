//! A provider inside the process: three token APIs that behave as `WeChat`, `WeCom` and an `OAuth2`
//! server do.
//!
//! `token-server dev` serves it on loopback, so that a newcomer gets a token without the internet
//! or an account; the integration tests serve it with a hand-moved clock and count its calls. Each
//! API has a way to try a token out, so that a test can see whether a token handed out works.
//!
//! It knows one account per API, and no state outlives it. What each API keeps is bounded: the
//! newest two tokens of `WeChat` and `WeCom`, the newest ten thousand of `OAuth2`.
//!
//! It is not a proof that anything works with the real providers: it says what we believe about
//! them, so a belief that is wrong here is wrong in the presets too. It knows no IP allow-lists,
//! quotas or outages. Faults are played by the scripted provider of the integration tests.

mod basic_auth;
mod errcode;
mod issued;
mod oauth2;
#[cfg(test)]
mod tests;
mod wechat;
mod wecom;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{Query, State};
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use self::errcode::Errcode;
use crate::clock::{Clock, Timestamp};

/// The `appid` the `WeChat` API knows.
pub const WECHAT_APPID: &str = "wx-demo-appid";
/// The `secret` of [`WECHAT_APPID`].
pub const WECHAT_SECRET: &str = "demo-wechat-secret";
/// The `corpid` the `WeCom` API knows.
pub const WECOM_CORPID: &str = "ww-demo-corp";
/// The `corpsecret` of [`WECOM_CORPID`].
pub const WECOM_SECRET: &str = "demo-wecom-secret";
/// The client the `OAuth2` API knows.
pub const OAUTH2_CLIENT_ID: &str = "demo-client";
/// The secret of [`OAUTH2_CLIENT_ID`].
pub const OAUTH2_CLIENT_SECRET: &str = "demo-client-secret";

/// One of the token APIs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    /// `GET /cgi-bin/token`: every call makes a new token and retires the one before.
    Wechat,
    /// `GET /cgi-bin/gettoken`: the same token while it is valid.
    Wecom,
    /// `POST /oauth2/token`: every call makes a new token, all of them work.
    Oauth2,
}

/// How long the tokens live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lives {
    /// A `WeChat` token that no newer one replaced; 2 hours.
    pub wechat: Duration,
    /// A `WeChat` token after a newer one was made; 5 minutes, cut short by its own end.
    pub wechat_grace: Duration,
    /// A `WeCom` token; 2 hours. With less than a second left a new one is made.
    pub wecom: Duration,
    /// An `OAuth2` token; 5 minutes.
    pub oauth2: Duration,
}

impl Default for Lives {
    fn default() -> Self {
        Self {
            wechat: Duration::from_hours(2),
            wechat_grace: Duration::from_mins(5),
            wecom: Duration::from_hours(2),
            oauth2: Duration::from_mins(5),
        }
    }
}

/// The provider; a clone shares the tokens and the counts.
#[derive(Clone)]
pub struct FakeProvider {
    clock: Arc<dyn Clock>,
    lives: Lives,
    ledger: Arc<Mutex<Ledger>>,
}

impl FakeProvider {
    /// A provider that has issued nothing yet, with the lives of the real ones.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self::with_lives(clock, Lives::default())
    }

    /// The same with other lives, e.g. of seconds, to watch a renewal.
    #[must_use]
    pub fn with_lives(clock: Arc<dyn Clock>, lives: Lives) -> Self {
        Self {
            clock,
            lives,
            ledger: Arc::default(),
        }
    }

    /// All its paths, to be served as they are.
    pub fn router(&self) -> Router {
        Router::new()
            .merge(wechat::routes())
            .merge(wecom::routes())
            .merge(oauth2::routes())
            .route("/cgi-bin/getcallbackip", get(show_ip_list))
            .route("/cgi-bin/get_api_domain_ip", get(show_ip_list))
            .route("/calls", get(show_calls))
            .with_state(self.clone())
    }

    /// How many times a token was asked for, refused requests included; trying a token out does not
    /// count.
    #[must_use]
    pub fn calls(&self, which: Api) -> u64 {
        self.locked(|ledger, _| *ledger.calls.of(which))
    }

    /// Does something to the ledger, at one time; the time is read under the lock and so never runs
    /// backwards in it.
    fn locked<R>(&self, act: impl FnOnce(&mut Ledger, Timestamp) -> R) -> R {
        let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        act(&mut ledger, self.clock.now())
    }
}

/// What was issued and asked for.
#[derive(Default)]
struct Ledger {
    wechat: wechat::Account,
    wecom: wecom::App,
    oauth2: oauth2::Client,
    calls: Calls,
}

/// Token calls by API; the body of `GET /calls`.
#[derive(Clone, Copy, Default, Serialize)]
struct Calls {
    wechat: u64,
    wecom: u64,
    oauth2: u64,
}

impl Calls {
    fn of(&mut self, which: Api) -> &mut u64 {
        match which {
            Api::Wechat => &mut self.wechat,
            Api::Wecom => &mut self.wecom,
            Api::Oauth2 => &mut self.oauth2,
        }
    }
}

async fn show_calls(State(provider): State<FakeProvider>) -> Json<Calls> {
    Json(provider.locked(|ledger, _| ledger.calls))
}

#[derive(Deserialize)]
struct TokenToTry {
    #[serde(default)]
    access_token: String,
}

/// The two paths that `WeChat` and `WeCom` both have; the token says whose answer it is.
async fn show_ip_list(
    State(provider): State<FakeProvider>,
    Query(query): Query<TokenToTry>,
) -> Result<Json<Value>, Errcode> {
    let token = query.access_token.as_str();
    if token.starts_with(wecom::PREFIX) {
        provider.locked(|ledger, now| ledger.wecom.check(token, now))?;
        Ok(Json(
            json!({"errcode": 0, "errmsg": "ok", "ip_list": ["127.0.0.1"]}),
        ))
    } else {
        provider.locked(|ledger, now| ledger.wechat.check(token, now))?;
        Ok(Json(json!({"ip_list": ["127.0.0.1"]})))
    }
}
