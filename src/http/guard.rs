//! Keeps web pages away from a server that has no authentication.
//!
//! A page that the operator visits can send requests to 127.0.0.1, and by rebinding its own name to
//! 127.0.0.1 read the answers too. So while there is no authentication and only loopback is
//! listened on, a request must be addressed to this machine and must not come from a page of
//! another origin. Browsers say so: in `Origin`, and where they send none, as for an image, in
//! `Sec-Fetch-Site`. `--insecure-no-auth` lifts this.

use http::uri::Authority;
use http::{HeaderMap, Method, header};

/// Why a request is refused, if it is.
pub(super) fn refusal<B>(request: &http::Request<B>) -> Option<&'static str> {
    let headers = request.headers();
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    if !host.is_some_and(is_this_machine) {
        return Some(
            "the server has no authentication yet and so answers only requests addressed to this machine, like \
             http://127.0.0.1; on a closed network, --insecure-no-auth lifts this",
        );
    }
    let origin = headers
        .get(header::ORIGIN)
        .map(|origin| origin.to_str().unwrap_or_default());
    let is_foreign =
        origin.is_some_and(|origin| origin.split_once("://").map(|(_, site)| site) != host);
    (is_foreign || (is_sent_by_another_origin(headers) && !is_visit(request))).then_some(
        "the server has no authentication yet and so answers no web pages of other sites",
    )
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
        ] {
            assert!(!is_this_machine(host), "{host}");
        }
    }
}
