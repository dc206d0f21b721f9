//! Where requests may go: what is refused when a definition is saved, and what is not sent.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use token_server::clock::Timestamp;
use token_server::failure::{Failure, FailureKind};
use token_server::realm::{Definition, Facts, RawResponse, Request};
use token_server::secret::SecretId;

fn issues(config: &Value) -> Vec<String> {
    match Definition::read(Some(config), None) {
        Ok(_) => Vec::new(),
        Err(issues) => issues.into_iter().map(|issue| issue.pointer).collect(),
    }
}

#[test]
fn what_others_write_says_no_host_and_no_base() {
    let inputs = json!({"s": {}, "p": {"from": "pushed"}, "f": {"from": "file"}});
    let vars = json!({"of_p": "x{{ p }}", "of_s": "{{ s }}.example", "deep": "{{ of_p }}"});
    let url = "/config/requests/0/url";
    for (asked, key, expected) in [
        ("https://{{ s }}/", "{{ s }}", vec![]),
        ("https://{{ of_s }}/", "k", vec![]),
        ("https://a.example/{{ p }}?{{ f }}", "k", vec![]),
        ("https://{{ p }}/", "k", vec![url]),
        ("https://a.{{ f }}.example/", "k", vec![url]),
        ("{{ deep }}/x", "k", vec![url]),
        ("https://a.example{{ s }}", "k", vec![url]),
        ("https://a.example:443{{ s }}/x", "k", vec![url]),
        ("{{ s }}{{ of_s }}/x", "k", vec![]),
        ("http:///{{ p }}/t", "k", vec![url]),
        ("http:///{{ s }}/t", "k", vec![url]),
        ("{{ s }}//{{ p }}/t", "k", vec![]),
        ("{{ s }}://{{ s }}/t", "k", vec![url]),
        ("http://\\{{ p }}/t", "k", vec![url]),
        ("http://\t/{{ p }}/t", "k", vec![url]),
        (
            "https://a.example/",
            "{{ p }}",
            vec!["/config/depends_on/t/key"],
        ),
        (
            "https://a.example/",
            "{{ f }}",
            vec!["/config/depends_on/t/key"],
        ),
    ] {
        let config = json!({"inputs": inputs, "vars": vars, "requests": [{"url": asked}], "token": "$.t",
            "depends_on": {"t": {"realm": "other", "key": key}}});
        assert_eq!(issues(&config), expected, "{asked} {key}");
    }
    for (hosts, expected) in [
        (json!(["a.example", "*.b.example", "127.0.0.1:80"]), vec![]),
        (json!(["*.example"]), vec!["/config/hosts/0"]),
        (
            json!(["a.example", 7, "https://x/"]),
            vec!["/config/hosts/1", "/config/hosts/2"],
        ),
        (json!("a.example"), vec!["/config/hosts"]),
    ] {
        let config =
            json!({"requests": [{"url": "https://a.example/"}], "token": "$.t", "hosts": hosts});
        assert_eq!(issues(&config), expected, "{hosts}");
    }
}

/// The second request after an answer that names where it goes.
fn second(config: &Value, named: &str) -> Result<Option<Request>, Failure> {
    let definition = Definition::read(Some(config), None).unwrap();
    let facts = Facts {
        secret: SecretId::new("r", "k"),
        inputs: [("tenant", "t.other.example")].into_iter().collect(),
        tokens: BTreeMap::new(),
        has_saved: false,
        forced: false,
        now: Timestamp::from_epoch_ms(1_760_000_000_500),
        uuid: String::new(),
        nonce: String::new(),
    };
    let mut run = definition.recipe().unwrap().begin(facts).unwrap();
    run.next_request().unwrap().unwrap();
    run.take(RawResponse::json(200, &json!({"next": named})))
        .unwrap();
    run.next_request()
}

#[test]
#[expect(
    clippy::too_many_lines,
    reason = "a table of cases, one to three lines each"
)]
fn what_an_answer_names_lies_within_the_hosts() {
    for (url, hosts, named, is_sent) in [
        (
            "{{ steps[0].body.next }}/x",
            json!(["*.my.example"]),
            "https://a.my.example",
            true,
        ),
        (
            "{{ steps[0].body.next }}/x",
            json!(["*.my.example"]),
            "https://evil.example",
            false,
        ),
        (
            "{{ steps[0].body.next }}/x",
            json!(["*.my.example"]),
            "http://a.my.example",
            false,
        ),
        (
            "{{ steps[0].body.next }}/x",
            json!(["*.my.example"]),
            "https://a.my.example@evil.example",
            false,
        ),
        (
            "{{ steps[0].body.next }}/x",
            json!(["*.my.example"]),
            "https://a.my.example:8443",
            false,
        ),
        (
            "{{ steps[0].body.next }}/x",
            json!([]),
            "https://a.my.example",
            false,
        ),
        ("{{ v }}/x", json!(["a.my.example"]), "a.my.example", true),
        ("{{ v }}/x", json!(["a.my.example"]), "evil.example/", false),
        (
            "https://{{ tenant }}/{{ steps[0].body.next }}",
            json!([]),
            "@evil.example",
            true,
        ),
    ] {
        let config = json!({"inputs": {"tenant": {}}, "vars": {"v": "https://{{ steps[0].body.next }}"}, "hosts": hosts,
            "requests": [{"url": "https://{{ tenant }}/", "success_when": {"status": 200}}, {"url": url}], "token": "$.t"});
        match second(&config, named) {
            Ok(request) => {
                assert!(is_sent, "{url} {named}");
                let host = request.unwrap().url.host_str().unwrap().to_owned();
                assert!(
                    ["a.my.example", "t.other.example"].contains(&host.as_str()),
                    "{host}"
                );
            }
            Err(failure) => {
                assert!(!is_sent, "{url} {named}: {failure}");
                assert_eq!(failure.kind, FailureKind::Config, "{failure}");
                assert!(
                    failure
                        .detail
                        .starts_with("/config/requests/1/url: leads to a host"),
                    "{failure}"
                );
                assert!(!failure.detail.contains("evil"), "{failure}");
            }
        }
    }
}

/// The only request of a definition whose stored input `s` is this.
fn only(url: &str, s: &str) -> Result<Option<Request>, Failure> {
    let config = json!({"inputs": {"s": {}, "p": {"from": "pushed"}}, "requests": [{"url": url}], "token": "$.t"});
    first(&config, s)
}

fn first(config: &Value, s: &str) -> Result<Option<Request>, Failure> {
    let definition = Definition::read(Some(config), None).unwrap();
    let facts = Facts {
        secret: SecretId::new("r", "k"),
        inputs: [("s", s), ("p", "evil.example"), ("f", "of a file")]
            .into_iter()
            .collect(),
        tokens: [("t".to_owned(), "of another".into())]
            .into_iter()
            .collect(),
        has_saved: false,
        forced: false,
        now: Timestamp::from_epoch_ms(1_760_000_000_500),
        uuid: String::new(),
        nonce: String::new(),
    };
    let mut run = definition.recipe().unwrap().begin(facts).unwrap();
    run.next_request()
}

#[test]
fn what_stands_after_the_host_cannot_become_the_host() {
    for (url, s, leads_to) in [
        ("{{ s }}/{{ p }}/t", "https://a.example", Some("a.example")),
        (
            "{{ s }}/{{ p }}/t",
            "HTTPS://a.example/x",
            Some("a.example"),
        ),
        ("{{ s }}?{{ p }}", "https://a.example:81", Some("a.example")),
        ("{{ s }}//{{ p }}/t", "https://a.example", Some("a.example")),
        ("https://{{ s }}/{{ p }}", "a.example", Some("a.example")),
        (
            "https://{{ s }}/?q={{ p }}",
            "a.example/?x=a\\b",
            Some("a.example"),
        ),
        ("{{ s }}//{{ p }}/t", "http:", None),
        ("{{ s }}//{{ p }}/t", "https:", None),
        ("{{ s }}/{{ p }}/t", "http:", None),
        ("{{ s }}/{{ p }}/t", "http:/", None),
        ("{{ s }}/{{ p }}/t", "http://", None),
        ("{{ s }}/{{ p }}/t", "http:\\\\", None),
        ("{{ s }}/{{ p }}/t", "http:\t/", None),
        ("{{ s }}/{{ p }}/t", "\nhttp:/", None),
        ("{{ s }}/{{ p }}/t", "http:a.example", None),
        ("{{ s }}", "http:\\\\a.example", None),
        ("https://{{ s }}/{{ p }}", "", None),
        ("https://{{ s }}/{{ p }}", "/", None),
        ("https://{{ s }}/{{ p }}", "\t", None),
        ("https://{{ s }}/{{ p }}", "\\", None),
    ] {
        match only(url, s) {
            Ok(request) => {
                let url = request.unwrap().url;
                assert_eq!(url.host_str(), leads_to, "{s:?}");
            }
            Err(failure) => {
                assert_eq!(leads_to, None, "{url} {s:?}: {failure}");
                assert_eq!(failure.kind, FailureKind::Config, "{failure}");
            }
        }
    }
}

#[test]
fn a_stored_host_is_not_enough_for_what_is_not_stored_with_it() {
    let file = json!({"inputs": {"s": {}, "f": {"from": "file", "secret": false}}});
    let token = json!({"inputs": {"s": {}}, "depends_on": {"t": {"realm": "o", "key": "k"}}});
    for (kind, asked, hosts, is_sent) in [
        (&file, "{{ s }}/t", json!([]), false),
        (&file, "{{ s }}/t", json!(["*.my.example"]), true),
        (&file, "{{ s }}/t", json!(["*.other.example"]), false),
        (&file, "https://a.example/{{ s }}", json!([]), true),
        (&token, "{{ s }}/t", json!([]), false),
        (&token, "{{ s }}/t", json!(["*.my.example"]), true),
        (&token, "https://a.example/{{ s }}", json!([]), true),
    ] {
        let mut config = kind.clone();
        config["hosts"] = hosts;
        config["requests"] = json!([{"url": asked}]);
        config["token"] = json!("$.t");
        let sent = first(&config, "https://a.my.example");
        assert_eq!(sent.is_ok(), is_sent, "{config}");
        if let Err(failure) = sent {
            assert_eq!(failure.kind, FailureKind::Config, "{failure}");
            assert!(failure.detail.contains("leads to a host"), "{failure}");
        }
    }
}
