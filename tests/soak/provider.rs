//! The provider of all realms: issues tokens after each realm's rules, and has its moods.
//!
//! Each instance reaches it through a door of its own (the server's `upstream.proxy_url`), so that
//! it knows who asks.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::response::{IntoResponse as _, Response};
use serde_json::json;

use crate::book::{Book, UnderWay};
use crate::dice::Dice;
use crate::outages::Place;
use crate::realms::FETCH_TIMEOUT;

/// How calls go while it lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    /// Answers soon.
    Well,
    /// Takes its time, within a fetch's.
    Slow,
    /// Issues, and answers when nobody waits any more.
    TooLate,
    /// Never answers, and issues nothing.
    Hangs,
    /// Issues, begins to answer and hangs up.
    HangsUp,
    /// 503, and issues nothing.
    Busy,
    /// 500, although it has issued.
    Fails,
}

impl Mood {
    /// All but the good one.
    pub(crate) const BAD: [Self; 6] = [
        Self::Slow,
        Self::TooLate,
        Self::Hangs,
        Self::HangsUp,
        Self::Busy,
        Self::Fails,
    ];

    fn issues(self) -> bool {
        match self {
            Self::Well | Self::Slow | Self::TooLate | Self::HangsUp | Self::Fails => true,
            Self::Hangs | Self::Busy => false,
        }
    }
}

/// A mood and for how many of a hundred calls it counts.
#[derive(Clone, Copy)]
pub(crate) struct Spell {
    pub(crate) mood: Mood,
    pub(crate) percent: u64,
}

/// The provider of all clusters.
pub(crate) struct Provider {
    book: Arc<Book>,
    dice: Mutex<Dice>,
    /// By cluster.
    spells: Mutex<HashMap<usize, Spell>>,
}

/// Where one instance comes in.
#[derive(Clone)]
struct Door {
    provider: Arc<Provider>,
    place: Place,
}

impl Provider {
    pub(crate) fn new(book: Arc<Book>, seed: u64) -> Arc<Self> {
        Arc::new(Self {
            book,
            dice: Mutex::new(Dice::of(seed)),
            spells: Mutex::default(),
        })
    }

    /// A door for one instance; answers its URL.
    #[expect(clippy::disallowed_methods, reason = "it lives as long as the soak")]
    pub(crate) async fn open_door(self: &Arc<Self>, place: Place) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let door = Door {
            provider: Arc::clone(self),
            place,
        };
        let router = axum::Router::new().fallback(answer).with_state(door);
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        url
    }

    /// What calls of a cluster meet from now on; `None`: nothing.
    pub(crate) fn enchant(&self, cluster: usize, spell: Option<Spell>) {
        let mut spells = self.spells.lock().unwrap();
        match spell {
            Some(spell) => spells.insert(cluster, spell),
            None => spells.remove(&cluster),
        };
    }

    /// The mood of one call, and how long the way there and back takes.
    fn roll(&self, cluster: usize) -> (Mood, Duration, Duration) {
        let spell = self.spells.lock().unwrap().get(&cluster).copied();
        let mut dice = self.dice.lock().unwrap();
        let mood = spell
            .filter(|spell| dice.roll(100) < spell.percent)
            .map_or(Mood::Well, |spell| spell.mood);
        let mut leg =
            |least, most| dice.between(Duration::from_millis(least), Duration::from_millis(most));
        match mood {
            Mood::Slow => (mood, leg(100, 500), leg(100, 500)),
            Mood::TooLate => (mood, leg(100, 500), FETCH_TIMEOUT + leg(300, 1500)),
            Mood::Well | Mood::Hangs | Mood::HangsUp | Mood::Busy | Mood::Fails => {
                (mood, leg(5, 40), leg(5, 40))
            }
        }
    }
}

/// A call that was read. It has its effect also when the caller goes away.
async fn answer(
    State(door): State<Door>,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    let number = |name: &str| query.get(name).and_then(|text| text.parse::<u64>().ok());
    let Some((account, credentials)) = number("account").zip(number("credentials")) else {
        return (http::StatusCode::BAD_REQUEST, "no account").into_response();
    };
    let Door { provider, place } = door;
    let account = usize::try_from(account).unwrap();
    let under_way = provider.book.arrive(account, credentials, place);
    let (mood, there, back) = provider.roll(place.cluster);
    let issued = issue(&provider.book, &under_way, there, mood).await;
    tokio::time::sleep(back).await;
    reply(&provider.book, &under_way, mood, issued).await
}

/// In a task of its own, since the provider does not know whether anybody still waits.
#[expect(clippy::disallowed_methods, reason = "it ends by itself")]
async fn issue(
    book: &Arc<Book>,
    under_way: &UnderWay,
    there: Duration,
    mood: Mood,
) -> Option<(String, Duration)> {
    let (book, name) = (Arc::clone(book), under_way.name());
    let issued = tokio::spawn(async move {
        tokio::time::sleep(there).await;
        mood.issues().then(|| book.issue(name))
    });
    issued.await.unwrap()
}

async fn reply(
    book: &Book,
    under_way: &UnderWay,
    mood: Mood,
    issued: Option<(String, Duration)>,
) -> Response {
    match (mood, issued) {
        (Mood::Well | Mood::Slow | Mood::TooLate, Some((token, told))) => {
            book.answer(under_way, told);
            axum::Json(json!({"access_token": token, "expires_in": told.as_secs()})).into_response()
        }
        (Mood::HangsUp, _) => {
            let parts = [
                Ok(Bytes::from_static(b"{\"access_token\": \"cut-")),
                Err(std::io::Error::other("it hangs up")),
            ];
            Body::from_stream(futures_util::stream::iter(parts)).into_response()
        }
        (Mood::Hangs, _) => std::future::pending().await,
        (Mood::Fails, _) => {
            (http::StatusCode::INTERNAL_SERVER_ERROR, "out of order").into_response()
        }
        (Mood::Busy | Mood::Well | Mood::Slow | Mood::TooLate, _) => {
            (http::StatusCode::SERVICE_UNAVAILABLE, "busy").into_response()
        }
    }
}
