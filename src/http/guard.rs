//! Keeps web pages away from callers' answers where no API key is asked for.
//!
//! A page that the operator visits can send requests to 127.0.0.1, and by rebinding its own name to
//! 127.0.0.1 read the answers too. A page cannot know an API key, so requests that show one are not
//! looked at. Without one, a request to this machine must be addressed to it, and must not come from
//! a page of another origin. Browsers say so: in `Origin`, and where they send none, as for an
//! image, in `Sec-Fetch-Site`.

use http::uri::Authority;
use http::{HeaderMap, Method, header};

use super::Problem;
use super::peer::Peer;

/// Refuses what is not addressed to this machine, and what a page of another origin sends.
///
/// # Errors
/// 403.
pub(super) fn demand_local<B>(request: &http::Request<B>) -> Result<(), Problem> {
    if !host(request.headers()).is_some_and(is_this_machine) {
        return Err(Problem::forbidden(
            "without an API key only requests addressed to this machine are answered, like http://127.0.0.1",
        ));
    }
    demand_same_origin(request)
}

/// Refuses what a page of another origin sends, and on this machine what is not addressed to it.
///
/// # Errors
/// 403.
pub(super) fn demand_no_page<B>(request: &http::Request<B>, peer: &Peer) -> Result<(), Problem> {
    if peer.address.is_some_and(|address| address.is_loopback()) {
        return demand_local(request);
    }
    demand_same_origin(request)
}

fn host(headers: &HeaderMap) -> Option<&str> {
    headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
}

fn demand_same_origin<B>(request: &http::Request<B>) -> Result<(), Problem> {
    let headers = request.headers();
    let mut origins = headers.get_all(header::ORIGIN).iter();
    let is_foreign = origins.any(|origin| {
        let origin = origin.to_str().unwrap_or_default();
        origin.split_once("://").map(|(_, site)| site) != host(headers)
    });
    if is_foreign || (is_sent_by_another_origin(headers) && !is_visit(request)) {
        return Err(Problem::forbidden(
            "without an API key web pages of other sites are not answered",
        ));
    }
    Ok(())
}

/// Whether a browser says that a page of another origin made the request; another port is another
/// origin too, but the same site. Other clients say nothing.
fn is_sent_by_another_origin(headers: &HeaderMap) -> bool {
    let mut sites = headers.get_all("sec-fetch-site").iter();
    sites.any(|site| site != "same-origin" && site != "none")
}

/// Whether a link was followed to a page that hands out nothing, like `/docs`: not in a frame, and
/// not to the API.
fn is_visit<B>(request: &http::Request<B>) -> bool {
    let says = |name: &str, word: &str| {
        request
            .headers()
            .get(name)
            .is_some_and(|value| value == word)
    };
    request.method() == Method::GET
        && !request.uri().path().starts_with("/api")
        && says("sec-fetch-mode", "navigate")
        && says("sec-fetch-dest", "document")
}

fn is_this_machine(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else {
        return false;
    };
    if authority.as_str().contains('@') {
        return false;
    }
    let name = authority
        .host()
        .trim_start_matches('[')
        .trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || name
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_this_machine() {
        for host in [
            "127.0.0.1:8080",
            "127.0.0.1",
            "localhost:1",
            "LOCALHOST",
            "[::1]:8080",
            "127.8.0.1",
        ] {
            assert!(is_this_machine(host), "{host}");
        }
        for host in [
            "evil.example",
            "127.0.0.1.evil.example",
            "10.0.0.1:8080",
            "localhost.evil",
            "",
            "a b",
            "@",
            "evil@127.0.0.1",
        ] {
            assert!(!is_this_machine(host), "{host}");
        }
    }
}
