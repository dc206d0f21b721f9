//! What reads requests, for the targets in `fuzz/`; not part of the API.
//!
//! Each function reads what anybody may send and panics where two readings of it differ.

use http::Request;
use serde_json::Value;

use super::body::JsonBody;
use super::gate::{Shown, demand_one_host, shown};
use super::peer::{Origin, Peer, origin};
use super::query::{Query, flag};
use super::{Problem, guard, hit, inputs, keys, log, report, tokens, trials};
use crate::api_key::ApiKey;
use crate::networks::Networks;
use crate::realm::Definition;
use crate::service::{ApiKeyEdit, NewApiKey, RealmEdit, SecretEdit, ServiceError};

/// Reads the fields of a request's head that say who sent it and to whom.
///
/// # Panics
/// A peer that is not a trusted proxy, or a trusted one, is taken for somebody else than it says.
pub fn head(request: &Request<()>, peer: &Peer, trusted: &Networks) {
    let headers = request.headers();
    if let Shown::Key(text) = shown(headers)
        && let Some(key) = ApiKey::read(text)
    {
        assert!(text.contains(key.id().as_str()), "another id");
    }
    // Each of them may refuse.
    let _ = demand_one_host(request);
    let _ = guard::demand_local(request);
    let _ = guard::demand_no_page(request, peer);
    let is_forwarded = headers.contains_key("forwarded") || headers.contains_key("x-forwarded-for");
    match origin(peer, headers, trusted) {
        Origin::Known(address) if address == peer.address => {
            assert!(!is_forwarded || trusted.contain(address), "unnamed");
        }
        Origin::Known(address) => {
            assert!(is_forwarded && trusted.contain(peer.address), "forged");
            assert!(!trusted.contain(address), "a proxy taken for a client");
        }
        Origin::Unknown => assert!(is_forwarded, "unknown without a proxy"),
    }
}

/// Reads a query in every way in which a route does.
///
/// # Panics
/// The hit path and the router read different asks for a token.
pub fn query(text: &str) {
    let query = Query::read(text);
    if let Ok(page) = query.page() {
        assert!((1..=1000).contains(&page.limit), "{}", page.limit);
    }
    for name in ["cascade", "force", "strict"] {
        // It may be refused.
        let _ = query.flag(name);
    }
    let _ = log::instant(&query, "from");
    let ask = tokens::Ask::read(&query, None);
    demand_reasons(ask.as_ref().err());
    let Some((realm, key)) = hit::plain_ask(text) else {
        return;
    };
    if realm.is_empty() || key.is_empty() {
        return;
    }
    let ask = ask.unwrap_or_else(|problem| panic!("refused by the router only: {problem:?}"));
    assert_eq!((ask.realm.as_str(), ask.key.as_str()), (&*realm, &*key));
    assert!(!ask.flush && ask.min_ttl_ms.is_none(), "not a plain ask");
}

/// Reads a body in every way in which a route does.
///
/// # Panics
/// A body is refused for no reason.
pub fn body(bytes: &[u8]) {
    let read = JsonBody::read(bytes);
    demand_reasons(read.as_ref().err());
    let Ok(body) = read else {
        return;
    };
    demand_reasons(keys::read_overlap(&body).err().as_ref());
    let ask = tokens::Ask::read(&Query::read(""), body.0.as_ref());
    demand_reasons(ask.err().as_ref());
    let Some(document) = body.0 else {
        return;
    };
    demand_reasons(report::Report::read(&document).err().as_ref());
    demand_reasons(inputs::read(&document).err().as_ref());
    for realm in [None, Some("r")] {
        demand_reasons(trials::Ask::read(&document, realm).err().as_ref());
    }
    edits(&document);
}

/// Reads a document as each of the things that are posted.
fn edits(document: &Value) {
    demand_issues(SecretEdit::read(document).err());
    demand_issues(NewApiKey::read(document).err());
    demand_issues(ApiKeyEdit::read(document).err());
    demand_issues(RealmEdit::read(document).err());
    let config = document.get("config");
    let code = document.get("logic_code").and_then(Value::as_str);
    if let Err(issues) = Definition::read(config, code) {
        assert!(!issues.is_empty(), "refused for no reason");
    }
    // It may be refused.
    let _ = flag("flush", &document.to_string());
}

fn demand_reasons(problem: Option<&Problem>) {
    let Some(problem) = problem else {
        return;
    };
    assert!(problem.has_reasons(), "refused for no reason: {problem:?}");
}

fn demand_issues(error: Option<ServiceError>) {
    demand_reasons(error.map(Problem::from).as_ref());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_queries_and_bodies_are_read_or_refused_for_a_reason() {
        for text in [
            "",
            "realm=r&key=k",
            "realm=&key=k",
            "realm=r&realm=s&key=%FF&flush=",
            "realm=r&key=k&flush=true&flush=0",
            "realm=r&key=k&min_ttl=",
            "page=0&pageSize=1001",
            "%",
            "=&&=",
        ] {
            query(text);
        }
        for text in [
            "",
            " ",
            "{",
            "null",
            "[]",
            "{}",
            r#"{"realm":"r","key":"k","token":"t"}"#,
            r#"{"overlap":{},"value":1,"inputs":[],"forced":"x"}"#,
        ] {
            body(text.as_bytes());
        }
    }

    #[test]
    fn heads_are_read_alike_from_trusted_peers_and_others() {
        for trusted in ["", "10.0.0.0/8", "unix"] {
            for forwarded in [None, Some("192.0.2.1, 10.0.0.2"), Some(""), Some("x")] {
                let mut request = Request::builder().uri("/").header("x-api-key", "tsk_");
                if let Some(forwarded) = forwarded {
                    request = request.header("x-forwarded-for", forwarded);
                }
                let request = request.body(()).unwrap();
                for peer in [Peer::default(), Peer::at("10.0.0.1".parse().unwrap())] {
                    head(&request, &peer, &trusted.parse().unwrap());
                }
            }
        }
    }
}
