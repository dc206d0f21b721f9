//! Callers: a few of each cluster ask on and on; storms of many at once.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::book::Wish;
use crate::cluster::{Address, Cluster};
use crate::dice::Dice;
use crate::judge::{Asked, Judge, Kind};
use crate::program::admin_client_builder;
use crate::realms::Secret;

/// Callers of a cluster who ask on and on.
const CALLERS: u64 = 12;
/// Between two asks of one caller.
const PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(250));
/// Of a hundred asks so many want another token.
const WISHES: u64 = 3;
/// Callers of a storm.
const STORM: usize = 40;
/// No caller waits so long; it is the judge who says what is too long.
const GIVES_UP: Duration = Duration::from_mins(2);

/// Idle connections are given up long before the server does so (75 s): else an ask may meet the
/// end of one, which a process that stood still makes likelier.
const KEPT: Duration = Duration::from_secs(10);

/// Who asks, and who judges what came.
#[derive(Clone)]
pub(crate) struct Callers {
    pub(crate) judge: Arc<Judge>,
    client: reqwest::Client,
}

impl Callers {
    pub(crate) fn new(judge: Arc<Judge>) -> Self {
        let client = admin_client_builder()
            .timeout(GIVES_UP)
            .pool_idle_timeout(KEPT)
            .build()
            .unwrap();
        Self { judge, client }
    }

    /// Asks on and on until this is dropped.
    pub(crate) async fn keep_asking(&self, cluster: &Cluster, seed: u64) {
        join_all((1..=CALLERS).map(|number| self.ask_on(cluster, Dice::of(seed + number)))).await;
    }

    async fn ask_on(&self, cluster: &Cluster, mut dice: Dice) {
        loop {
            tokio::time::sleep(dice.between(PAUSE.0, PAUSE.1)).await;
            let addresses = cluster.addresses();
            let Some(address) = pick(&addresses, &mut dice) else {
                continue;
            };
            let secret = *pick(&cluster.secrets, &mut dice).unwrap();
            let kind = match dice.roll(100) {
                roll if roll < WISHES => Kind::Flush,
                roll if roll < 2 * WISHES => Kind::Report,
                _ => Kind::Plain,
            };
            self.ask(address.clone(), secret, kind).await;
        }
    }

    /// Many at once, at all processes, want another token than the held one.
    pub(crate) async fn storm(&self, cluster: &Cluster, secret: Secret, kind: Kind) {
        let addresses = cluster.addresses();
        let asks = addresses
            .iter()
            .cycle()
            .take(if addresses.is_empty() { 0 } else { STORM });
        join_all(asks.map(|address| self.ask(address.clone(), secret, kind))).await;
    }

    /// Asks and has the answer judged; whether it brought a token that works.
    pub(crate) async fn ask(&self, address: Address, secret: Secret, kind: Kind) -> bool {
        let path = format!(
            "{}/api/token?realm={}&key={}",
            address.url, secret.realm.id, secret.key
        );
        let (request, wish) = match kind {
            Kind::Plain => (self.client.get(path), None),
            Kind::Flush => (
                self.client.get(format!("{path}&flush=true")),
                Some(Wish::Flush),
            ),
            Kind::Report => {
                let Some(version) = self.judge.version(address.process, secret.account) else {
                    return false;
                };
                let body = json!({"realm": secret.realm.id, "key": secret.key, "version": version});
                let report = self
                    .client
                    .post(format!("{}/api/token/report", address.url));
                (report.body(body.to_string()), Some(Wish::Report))
            }
        };
        let book = &self.judge.book;
        let wish = wish.map(|wish| book.wish(secret.account, wish));
        let sent = Instant::now();
        let answer = answer_of(request).await;
        // An ask that failed may be followed behind the caller's back.
        if let Some(wish) =
            wish.filter(|_| answer.as_ref().is_some_and(|(status, _)| *status == 200))
        {
            book.wish_answered(secret.account, wish);
        }
        let got = Instant::now();
        self.judge.judge(&Asked {
            address,
            secret,
            kind,
            sent,
            got,
            answer,
        })
    }

    /// Posts new credentials of a secret; where that fails it is not known whether they are stored.
    pub(crate) async fn edit(&self, address: Address, secret: Secret) {
        let credentials = self.judge.book.post(secret.account);
        let body = secret.document(credentials).to_string();
        let request = self
            .client
            .post(format!("{}/api/secret", address.url))
            .body(body);
        if let Some((200, _)) = answer_of(request).await {
            self.judge
                .edited(secret.account, credentials, address.process);
        }
    }
}

/// `None`: no whole answer came.
async fn answer_of(request: reqwest::RequestBuilder) -> Option<(u16, Value)> {
    let response = request.send().await.ok()?;
    let status = response.status().as_u16();
    let text = response.text().await.ok()?;
    Some((status, serde_json::from_str(&text).unwrap_or(Value::Null)))
}

/// One of these.
pub(crate) fn pick<'a, T>(of: &'a [T], dice: &mut Dice) -> Option<&'a T> {
    let number = dice.roll(of.len().max(1) as u64);
    of.get(usize::try_from(number).unwrap())
}
