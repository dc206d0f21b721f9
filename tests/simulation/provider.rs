//! A provider that replaces its token with each fetch: the old one works on for five minutes. It
//! knows what works.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use token_server::clock::{Clock as _, Timestamp};
use token_server::failure::{Failure, FailureKind};
use token_server::realm::{RawResponse, Request};
use token_server::upstream::TokenSource;

use crate::dice::Dice;
use crate::world::SimClock;

pub(crate) const LIFE: Duration = Duration::from_hours(2);
const GRACE: Duration = Duration::from_mins(5);

#[derive(Default)]
struct Account {
    issued: u64,
    refused: u64,
    under_way: u64,
    most_under_way: u64,
    newest: Option<(String, Timestamp)>,
    replaced: Option<(String, Timestamp)>,
}

pub(crate) struct SimProvider {
    clock: Arc<SimClock>,
    accounts: Mutex<HashMap<String, Account>>,
    dice: Mutex<Dice>,
    /// One in so many fetches fails.
    fails_one_in: u64,
    /// When tokens were issued.
    calls: Mutex<Vec<Timestamp>>,
}

/// What became of one account's fetches.
pub(crate) struct Fetches {
    pub(crate) issued: u64,
    pub(crate) refused: u64,
    pub(crate) most_under_way: u64,
}

impl SimProvider {
    pub(crate) fn new(clock: Arc<SimClock>, fails_one_in: u64) -> Self {
        let (accounts, dice) = (Mutex::default(), Mutex::new(Dice::of(7)));
        Self {
            clock,
            accounts,
            dice,
            fails_one_in,
            calls: Mutex::default(),
        }
    }

    /// When tokens were issued since this was asked last.
    pub(crate) fn take_calls(&self) -> Vec<Timestamp> {
        std::mem::take(&mut *self.calls.lock().unwrap())
    }

    pub(crate) fn fetches(&self, app: &str) -> Fetches {
        let mut accounts = self.accounts.lock().unwrap();
        let account = accounts.entry(app.to_owned()).or_default();
        Fetches {
            issued: account.issued,
            refused: account.refused,
            most_under_way: account.most_under_way,
        }
    }

    /// Whether a call with this token would be let in now.
    pub(crate) fn lets_in(&self, app: &str, token: &str) -> bool {
        let (accounts, now) = (self.accounts.lock().unwrap(), self.clock.now());
        let Some(account) = accounts.get(app) else {
            return false;
        };
        let known = [&account.newest, &account.replaced].into_iter().flatten();
        known
            .into_iter()
            .any(|(text, until)| text == token && now < *until)
    }

    /// A new token, or a refusal.
    fn issue(&self, app: &str, fails: bool) -> Option<String> {
        let now = self.clock.now();
        let mut accounts = self.accounts.lock().unwrap();
        let account = accounts.entry(app.to_owned()).or_default();
        if fails {
            account.refused += 1;
            return None;
        }
        account.issued += 1;
        self.calls.lock().unwrap().push(now);
        let token = format!("{app}-{}", account.issued);
        let before = account.newest.replace((token.clone(), now.plus(LIFE)));
        account.replaced = before.map(|(text, until)| (text, until.min(now.plus(GRACE))));
        Some(token)
    }

    fn begin(&self, app: &str) -> UnderWay<'_> {
        let mut accounts = self.accounts.lock().unwrap();
        let account = accounts.entry(app.to_owned()).or_default();
        account.under_way += 1;
        account.most_under_way = account.most_under_way.max(account.under_way);
        UnderWay {
            provider: self,
            app: app.to_owned(),
        }
    }
}

struct UnderWay<'a> {
    provider: &'a SimProvider,
    app: String,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.provider
            .accounts
            .lock()
            .unwrap()
            .get_mut(&self.app)
            .unwrap()
            .under_way -= 1;
    }
}

#[async_trait]
impl TokenSource for SimProvider {
    async fn send(&self, request: &Request, timeout: Duration) -> Result<RawResponse, Failure> {
        let app = &app_of(request);
        let _under_way = self.begin(app);
        let (there, back, fails) = {
            let mut dice = self.dice.lock().unwrap();
            let mut leg = || dice.between(Duration::from_millis(5), Duration::from_millis(400));
            let (there, back) = (leg(), leg());
            (there, back, dice.roll(self.fails_one_in) == 0)
        };
        assert!(there + back < timeout);
        tokio::time::sleep(there).await;
        let issued = self.issue(app, fails);
        tokio::time::sleep(back).await;
        let token = issued.ok_or_else(|| Failure::new(FailureKind::Busy, "simulated"))?;
        Ok(RawResponse::json(
            200,
            &json!({"access_token": token, "expires_in": LIFE.as_secs()}),
        ))
    }
}

/// The credential that a request names: realms here send it as `appid`.
pub(crate) fn app_of(request: &Request) -> String {
    request
        .url
        .query_pairs()
        .find(|(name, _)| name == "appid")
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default()
}
