//! What is counted and measured. Labels hold realm ids, keys and fixed words; never a credential or
//! a token.

use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeLabelSet, EncodeMetric as _, text::encode,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::secret::SecretId;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AskLabels {
    outcome: &'static str,
    source: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SourceLabel {
    source: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct UpstreamLabels {
    realm: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RealmLabel {
    realm: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: String,
    method: &'static str,
    status: u16,
}

/// How a request showed who it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignIn {
    /// By an API key that works, or a certificate that stands for one.
    Ok,
    /// By its network.
    Anonymous,
    /// It shows no API key.
    Missing,
    /// The API key does not work.
    Wrong,
    /// The same, too often from one address.
    Limited,
}

impl SignIn {
    const ALL: [(Self, &'static str); 5] = [
        (Self::Ok, "ok"),
        (Self::Anonymous, "anonymous"),
        (Self::Missing, "missing"),
        (Self::Wrong, "wrong"),
        (Self::Limited, "limited"),
    ];
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

const KNOWN_METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
/// Seconds; out of memory it is microseconds, through a provider seconds.
const ASK_BUCKETS: [f64; 12] = [
    0.000_01, 0.000_05, 0.000_1, 0.000_5, 0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 25.0,
];
/// Seconds; a fetch may take 10 s.
const UPSTREAM_BUCKETS: [f64; 10] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Seconds; a caller may wait 25 s.
const REQUEST_BUCKETS: [f64; 12] = [
    0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 25.0,
];

/// All metrics of the process.
#[derive(Debug)]
pub struct Metrics {
    registry: std::sync::Mutex<Registry>,
    asks: Family<AskLabels, Counter>,
    ask_seconds: Family<SourceLabel, Histogram, fn() -> Histogram>,
    /// The commonest ask, looked up once.
    memory_hits: (Counter, Histogram),
    upstream_calls: Family<UpstreamLabels, Counter>,
    upstream_seconds: Family<RealmLabel, Histogram, fn() -> Histogram>,
    foreign_refreshes: Family<RealmLabel, Counter>,
    requests: Family<RequestLabels, Counter>,
    request_seconds: Histogram,
    /// In the order of [`SignIn::ALL`], looked up once.
    sign_ins: [Counter; 5],
    refused_connections: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All at zero.
    #[must_use]
    pub fn new() -> Self {
        let asks = Family::<AskLabels, Counter>::default();
        let ask_seconds: Family<SourceLabel, Histogram, fn() -> Histogram> =
            Family::new_with_constructor(|| Histogram::new(ASK_BUCKETS));
        let memory_hits = (
            asks.get_or_create_owned(&AskLabels {
                outcome: "ok",
                source: "memory",
            }),
            ask_seconds.get_or_create_owned(&SourceLabel { source: "memory" }),
        );
        let sign_ins = Family::<OutcomeLabel, Counter>::default();
        let metrics = Self {
            registry: std::sync::Mutex::new(Registry::with_prefix("token_server")),
            asks,
            ask_seconds,
            memory_hits,
            upstream_calls: Family::default(),
            upstream_seconds: Family::new_with_constructor(|| Histogram::new(UPSTREAM_BUCKETS)),
            foreign_refreshes: Family::default(),
            requests: Family::default(),
            request_seconds: Histogram::new(REQUEST_BUCKETS),
            refused_connections: Counter::default(),
            sign_ins: SignIn::ALL
                .map(|(_, outcome)| sign_ins.get_or_create_owned(&OutcomeLabel { outcome })),
        };
        metrics.register();
        metrics.registry().register(
            "authentications",
            "Requests by how they showed who they come from",
            sign_ins,
        );
        metrics
    }

    fn register(&self) {
        let mut registry = self.registry();
        registry.register(
            "token_requests",
            "Asks for a token, by outcome and source",
            self.asks.clone(),
        );
        registry.register(
            "refused_connections",
            "Connections that were refused, as there were too many",
            self.refused_connections.clone(),
        );
        let seconds = self.ask_seconds.clone();
        registry.register_with_unit(
            "token_request_duration",
            "Time to answer, by source",
            Unit::Seconds,
            seconds,
        );
        let calls = self.upstream_calls.clone();
        registry.register(
            "upstream_calls",
            "Calls of a provider, by realm and outcome",
            calls,
        );
        registry.register(
            "foreign_refreshes",
            "Tokens that died early although nobody here replaced them, by realm",
            self.foreign_refreshes.clone(),
        );
        let seconds = self.upstream_seconds.clone();
        registry.register_with_unit(
            "upstream_duration",
            "Time a provider took",
            Unit::Seconds,
            seconds,
        );
        registry.register(
            "http_requests",
            "HTTP requests, by route, method and status",
            self.requests.clone(),
        );
        let seconds = self.request_seconds.clone();
        registry.register_with_unit(
            "http_request_duration",
            "Time to answer",
            Unit::Seconds,
            seconds,
        );
    }

    /// Counts a connection that was refused, as there were too many.
    pub fn count_refused_connection(&self) {
        self.refused_connections.inc();
    }

    /// Adds how many connections there are, and the days left of the certificate, looked up at each
    /// scrape; `None`: there is none.
    pub fn watch_listener(
        &self,
        connections: impl Fn() -> usize + Send + Sync + 'static,
        days_left: impl Fn() -> Option<f64> + Send + Sync + 'static,
    ) {
        self.registry().register_collector(Box::new(Listening {
            connections: Box::new(connections),
            days_left: Box::new(days_left),
        }));
    }

    /// Counts how a request showed who it comes from.
    pub fn count_sign_in(&self, outcome: SignIn) {
        let known = SignIn::ALL.iter().position(|(one, _)| *one == outcome);
        if let Some(counter) = known.and_then(|place| self.sign_ins.get(place)) {
            counter.inc();
        }
    }

    /// Adds the seconds to expiry of each held token, listed anew by `list` at each scrape.
    pub fn watch_expiries(&self, list: impl Fn() -> Vec<(SecretId, f64)> + Send + Sync + 'static) {
        self.registry().register_collector(Box::new(Expiries {
            list: Box::new(list),
        }));
    }

    /// Counts an ask for a token and its time: `ok` and its source, or a code and `none`.
    pub fn count_ask(&self, outcome: &'static str, source: &'static str, took: Duration) {
        let (count, seconds) = &self.memory_hits;
        if (outcome, source) == ("ok", "memory") {
            count.inc();
            seconds.observe(took.as_secs_f64());
            return;
        }
        self.asks
            .get_or_create(&AskLabels { outcome, source })
            .inc();
        self.ask_seconds
            .get_or_create(&SourceLabel { source })
            .observe(took.as_secs_f64());
    }

    /// Counts a call of a provider.
    pub fn count_upstream(&self, realm: &str, outcome: &'static str, took: Duration) {
        self.upstream_calls
            .get_or_create(&UpstreamLabels {
                realm: realm.to_owned(),
                outcome,
            })
            .inc();
        self.upstream_seconds
            .get_or_create(&RealmLabel {
                realm: realm.to_owned(),
            })
            .observe(took.as_secs_f64());
    }

    /// Counts a token that died early although nobody here replaced it.
    pub fn count_foreign(&self, realm: &str) {
        self.foreign_refreshes
            .get_or_create(&RealmLabel {
                realm: realm.to_owned(),
            })
            .inc();
    }

    /// Counts an HTTP request; `route` is the pattern, not the path.
    pub fn count_request(&self, route: &str, method: &str, status: u16, took: Duration) {
        // Clients may send any word as a method; a label has few values.
        let method = KNOWN_METHODS
            .iter()
            .find(|known| **known == method)
            .copied()
            .unwrap_or("other");
        let labels = RequestLabels {
            route: route.to_owned(),
            method,
            status,
        };
        self.requests.get_or_create(&labels).inc();
        self.request_seconds.observe(took.as_secs_f64());
    }

    /// Everything in the OpenMetrics text format.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String does not fail.
        let _ = encode(&mut text, &self.registry());
        text
    }

    fn registry(&self) -> std::sync::MutexGuard<'_, Registry> {
        self.registry
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

struct Listening {
    connections: Box<dyn Fn() -> usize + Send + Sync>,
    days_left: Box<dyn Fn() -> Option<f64> + Send + Sync>,
}

impl std::fmt::Debug for Listening {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Listening")
    }
}

impl Collector for Listening {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let help = "Connections of the API that are open";
        let open = u64::try_from((self.connections)()).unwrap_or_default();
        let gauge = encoder.encode_descriptor("connections", help, None, MetricType::Gauge)?;
        ConstGauge::new(open).encode(gauge)?;
        if let Some(days) = (self.days_left)() {
            let help = "Days until the certificate of the listener expires";
            let gauge = encoder.encode_descriptor(
                "certificate_days_left",
                help,
                None,
                MetricType::Gauge,
            )?;
            ConstGauge::new(days).encode(gauge)?;
        }
        Ok(())
    }
}

struct Expiries {
    list: Box<dyn Fn() -> Vec<(SecretId, f64)> + Send + Sync>,
}

impl std::fmt::Debug for Expiries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Expiries")
    }
}

impl Collector for Expiries {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let help = "Seconds until the held token of a secret expires; tokens that never expire are left out";
        let mut family = encoder.encode_descriptor(
            "token_expires_in",
            help,
            Some(&Unit::Seconds),
            MetricType::Gauge,
        )?;
        for (secret, seconds) in (self.list)() {
            let labels = [("realm", secret.realm), ("key", secret.key)];
            ConstGauge::new(seconds).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
