//! Who sent a request: asked once for each, before anything else is done for it.
//!
//! The gate refuses few requests by itself. A caller that it does not know goes on, to the routes
//! that are open to everybody; all others refuse it, by [`Allowed`](super::caller::Allowed).

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota};
use http::{HeaderMap, HeaderName, header};

use super::caller::{Caller, Standing};
use super::peer::{Origin, Peer, origin};
use super::{Problem, guard};
use crate::api_key::Scopes;
use crate::clock::{Clock, whole_seconds};
use crate::networks::Networks;
use crate::service::{ApiKeys, RateLeft};
use crate::telemetry::{Metrics, SignIn};

/// What callers without an API key may do.
#[derive(Clone, Debug)]
pub enum Keyless {
    /// Nothing but what is open to everybody.
    Nothing,
    /// Everything, on this machine: in `dev`.
    Everything,
    /// Those in some networks are as role `app`.
    Tokens {
        /// Which networks.
        networks: Networks,
        /// Which tokens.
        scopes: Arc<Scopes>,
    },
}

/// What stands before every answer: of the hit path and of the router.
#[derive(Clone)]
pub struct Gate(Arc<Parts>);

struct Parts {
    api_keys: ApiKeys,
    keyless: Keyless,
    trusted_proxies: Networks,
    /// Keys that did not work, by the address that showed them.
    failures: DefaultKeyedRateLimiter<Option<IpAddr>>,
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
}

/// What the gate says of a request.
pub(super) struct Admission {
    /// Who sent it; or the answer to a request that gets no other, whatever its route.
    pub(super) said: Result<Standing, Problem>,
    /// What its API key has left of its rate, if the caller should know.
    pub(super) left: Option<RateLeft>,
}

/// Tells a caller of its rate: `RateLimit` and `RateLimit-Policy` of
/// draft-ietf-httpapi-ratelimit-headers-11.
pub(super) fn tell_rate(left: RateLeft, headers: &mut HeaderMap) {
    const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
    const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
    let RateLeft { limit, left, wait } = left;
    let seconds = whole_seconds(wait).max(1);
    let fields = [
        (POLICY, format!("\"default\";q={limit};w=1")),
        (RATE_LIMIT, format!("\"default\";r={left};t={seconds}")),
    ];
    for (name, value) in fields {
        if let Ok(value) = value.parse() {
            headers.insert(name, value);
        }
    }
}

/// Refused before any route.
#[derive(Clone, Debug)]
struct Refused(Problem);

const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// How many keys that do not work an address may show a minute; the same number at once.
const FAILURES_A_MINUTE: NonZeroU32 = NonZeroU32::new(60).unwrap();

/// So many addresses are remembered before those that are quiet again are forgotten.
const MOST_ADDRESSES: usize = 10_000;

impl Gate {
    /// `keyless`: what callers without an API key may do.
    #[must_use]
    pub fn new(
        api_keys: ApiKeys,
        keyless: Keyless,
        trusted_proxies: Networks,
        metrics: Arc<Metrics>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self(Arc::new(Parts {
            api_keys,
            keyless,
            trusted_proxies,
            failures: DefaultKeyedRateLimiter::keyed(Quota::per_minute(FAILURES_A_MINUTE)),
            metrics,
            clock,
        }))
    }

    /// Who sent a request.
    pub(super) fn admit<B>(&self, request: &http::Request<B>, peer: &Peer) -> Admission {
        match self.stand(request, peer) {
            Ok((standing, left)) => Admission {
                said: Ok(standing),
                left,
            },
            Err((problem, left)) => Admission {
                said: Err(problem),
                left,
            },
        }
    }

    fn stand<B>(
        &self,
        request: &http::Request<B>,
        peer: &Peer,
    ) -> Result<(Standing, Option<RateLeft>), (Problem, Option<RateLeft>)> {
        let plain = |problem| (problem, None);
        let unpaced = |standing| (standing, None);
        demand_small_head(request).map_err(plain)?;
        demand_one_host(request).map_err(plain)?;
        let headers = request.headers();
        let now = self.0.clock.now();
        let caller = match shown(headers) {
            Shown::Key(key) => self.0.api_keys.verify(key, now),
            Shown::Nothing => {
                let Some(certificate) = &peer.certificate else {
                    let standing = self.keyless(request, peer).map_err(plain)?;
                    return Ok(unpaced(standing));
                };
                self.0.api_keys.find_by_certificate(certificate)
            }
            Shown::Nonsense => None,
        };
        let Some(key) = caller else {
            return Ok(unpaced(self.unknown_key(headers, peer)));
        };
        self.0.metrics.count_sign_in(SignIn::Ok);
        key.note_use(now, || self.address(headers, peer));
        match key.pace() {
            Ok(left) => Ok((Standing::Known(Caller::Key(key)), left)),
            Err(left) => Err((Problem::too_fast(key.rate(), left.wait), Some(left))),
        }
    }

    fn keyless<B>(&self, request: &http::Request<B>, peer: &Peer) -> Result<Standing, Problem> {
        let caller = match &self.0.keyless {
            Keyless::Nothing => None,
            Keyless::Everything => {
                // It guards all there is, as it did before there were keys.
                guard::demand_local(request)?;
                Some(Caller::Developer)
            }
            Keyless::Tokens { networks, scopes } => {
                let from = origin(peer, request.headers(), &self.0.trusted_proxies);
                let is_inside = matches!(from, Origin::Known(address) if networks.contain(address));
                match guard::demand_no_page(request, peer) {
                    Err(problem) if is_inside => return Ok(Standing::Unknown(problem)),
                    Err(_) | Ok(()) => {}
                }
                is_inside.then(|| Caller::Anonymous(Arc::clone(scopes)))
            }
        };
        let outcome = if caller.is_some() {
            SignIn::Anonymous
        } else {
            SignIn::Missing
        };
        self.0.metrics.count_sign_in(outcome);
        Ok(caller.map_or_else(
            || Standing::Unknown(Problem::unauthorized()),
            Standing::Known,
        ))
    }

    fn unknown_key(&self, headers: &HeaderMap, peer: &Peer) -> Standing {
        if !self.0.api_keys.is_loaded() {
            return Standing::Unknown(Problem::keys_not_read());
        }
        let address = self.address(headers, peer);
        if self.0.failures.len() > MOST_ADDRESSES {
            self.0.failures.retain_recent();
        }
        match self.0.failures.check_key(&address) {
            Ok(()) => {
                self.0.metrics.count_sign_in(SignIn::Wrong);
                Standing::Unknown(Problem::unauthorized())
            }
            Err(not_yet) => {
                self.0.metrics.count_sign_in(SignIn::Limited);
                let wait = not_yet.wait_time_from(DefaultClock::default().now());
                Standing::Unknown(Problem::too_many_failures(wait))
            }
        }
    }

    fn address(&self, headers: &HeaderMap, peer: &Peer) -> Option<IpAddr> {
        match origin(peer, headers, &self.0.trusted_proxies) {
            Origin::Known(address) => address,
            Origin::Unknown => peer.address,
        }
    }
}

/// What a request shows of an API key.
pub(super) enum Shown<'a> {
    /// No field for one.
    Nothing,
    /// This text.
    Key(&'a str),
    /// Something that cannot be a key, or two different ones.
    Nonsense,
}

/// The API key that a request shows.
pub(super) fn shown(headers: &HeaderMap) -> Shown<'_> {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    let (bearer, second) = (all.next(), all.next());
    let mut others = headers.get_all(X_API_KEY).iter();
    let other = others.next();
    let second = second.or(others.next());
    let text = match (bearer, other) {
        (None, None) => return Shown::Nothing,
        (Some(_), Some(_)) => return Shown::Nonsense,
        (Some(bearer), None) => bearer.to_str().ok().and_then(bearer_token),
        (None, Some(key)) => key.to_str().ok(),
    };
    match text {
        Some(text) if second.is_none() => Shown::Key(text),
        _ => Shown::Nonsense,
    }
}

/// The token of `Bearer TOKEN`; the scheme in any case (RFC 9110 §11.1).
fn bearer_token(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then(|| token.trim_start_matches(' '))
}

/// The largest head, in bytes. hyper's own bound is on what it reads at once, and not exact.
const LARGEST_HEAD: usize = 64 << 10;

fn demand_small_head<B>(request: &http::Request<B>) -> Result<(), Problem> {
    let target = request.uri().path().len() + request.uri().query().map_or(0, str::len);
    let fields = request.headers().iter();
    let length = fields.map(|(name, value)| name.as_str().len() + value.len());
    if target + length.sum::<usize>() <= LARGEST_HEAD {
        return Ok(());
    }
    Err(Problem::head_too_large(LARGEST_HEAD))
}

/// RFC 9112 §3.2: a request names one host, and its target no other.
pub(super) fn demand_one_host<B>(request: &http::Request<B>) -> Result<(), Problem> {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let (host, second) = (hosts.next(), hosts.next());
    let authority = request.uri().authority();
    let is_same = match (host, authority) {
        (Some(host), Some(authority)) => host
            .as_bytes()
            .eq_ignore_ascii_case(authority.as_str().as_bytes()),
        _ => true,
    };
    if second.is_none() && is_same {
        return Ok(());
    }
    Err(Problem::invalid_at(
        "Host",
        "expected one Host field, the same as the authority of the request's target",
    ))
}

/// Lets the router know what the gate said.
pub(super) fn note<B>(request: &mut http::Request<B>, said: Result<Standing, Problem>) {
    match said {
        Ok(standing) => drop(request.extensions_mut().insert(standing)),
        Err(problem) => drop(request.extensions_mut().insert(Refused(problem))),
    }
}

/// Before every route: answers who was refused; here, and not before the router, so that a refusal
/// is counted with its route.
pub(super) async fn enforce(mut request: Request, next: Next) -> Response {
    match request.extensions_mut().remove::<Refused>() {
        Some(Refused(problem)) => problem.into_response(),
        None => next.run(request).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(fields: &[(&str, &str)]) -> String {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            let name: HeaderName = name.parse().unwrap();
            headers.append(name, value.parse().unwrap());
        }
        match shown(&headers) {
            Shown::Nothing => "nothing".to_owned(),
            Shown::Key(key) => key.to_owned(),
            Shown::Nonsense => "nonsense".to_owned(),
        }
    }

    #[test]
    fn a_key_is_shown_in_one_of_two_fields() {
        for (fields, expected) in [
            (&[][..], "nothing"),
            (&[("authorization", "Bearer k")], "k"),
            (&[("authorization", "bearer   k")], "k"),
            (&[("x-api-key", "k")], "k"),
            (&[("authorization", "Basic k")], "nonsense"),
            (&[("authorization", "k")], "nonsense"),
            (&[("authorization", "")], "nonsense"),
            (
                &[("authorization", "Bearer k"), ("x-api-key", "k")],
                "nonsense",
            ),
            (&[("x-api-key", "k"), ("x-api-key", "l")], "nonsense"),
            (
                &[("authorization", "Bearer k"), ("authorization", "Bearer l")],
                "nonsense",
            ),
        ] {
            assert_eq!(of(fields), expected, "{fields:?}");
        }
    }

    #[test]
    fn a_request_names_one_host() {
        let request = |target: &str, hosts: &[&str]| {
            let mut request = http::Request::builder().uri(target);
            for host in hosts {
                request = request.header("host", *host);
            }
            demand_one_host(&request.body(()).unwrap()).is_ok()
        };
        assert!(request("/", &["a"]) && request("/", &[]));
        assert!(request("http://A:1/", &["a:1"]) && request("http://a/", &[]));
        assert!(!request("/", &["a", "a"]) && !request("http://b/", &["a"]));
    }
}
