//! Secrets that a request sends over `http://`, where anybody on the way can read them.
//!
//! Saving such a realm warns; whether a request is sent is decided where its address is known
//! (`upstream`), since hosts that are not public are exempt.

use std::net::{Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

use super::recipe::templates::request_templates;
use super::recipe::{BodyTemplate, Form, Recipe, RequestTemplate};

/// The warnings of a definition.
pub(super) fn warnings(recipe: &Recipe) -> Vec<String> {
    let requests = recipe.requests.iter().chain(&recipe.refresh_requests);
    let plain = requests.filter(|request| is_plain(request) && has_secrets(recipe, request));
    let warning = |request: &RequestTemplate| {
        let mend = if recipe.form == Form::Function {
            "use https://"
        } else {
            "use https://, or set insecure_http to true if the provider has none"
        };
        format!(
            "{}: secrets are sent over http://, where anybody on the way can read them; unless the host's address is \
             private, serve refuses to send this request: {mend}",
            request.url.pointer()
        )
    };
    plain.map(warning).collect()
}

/// Whether it is meant to go over `http://` to a host that may be public, and does not say so.
fn is_plain(request: &RequestTemplate) -> bool {
    if request.insecure_http || !request.url.begins_with("http://") {
        return false;
    }
    let text = request.url.as_literal().and_then(|text| text.as_str());
    match text.and_then(|text| Url::parse(text).ok()?.host().map(|host| host.to_owned())) {
        Some(Host::Ipv4(address)) => !is_private_v4(address),
        Some(Host::Ipv6(address)) => !is_private_v6(address),
        Some(Host::Domain(name)) => {
            let last = name.trim_end_matches('.').rsplit('.').next();
            last != Some("localhost")
        }
        // A part of it is worked out.
        None => true,
    }
}

fn is_private_v4(address: Ipv4Addr) -> bool {
    address.is_private() || address.is_loopback() || address.is_link_local()
}

fn is_private_v6(address: Ipv6Addr) -> bool {
    let is_mapped = address.to_ipv4_mapped().is_some_and(is_private_v4);
    is_mapped || address.is_loopback() || (address.segments()[0] & 0xfe00) == 0xfc00
}

/// Whether a secret may go into a request, as far as its definition shows.
fn has_secrets(recipe: &Recipe, request: &RequestTemplate) -> bool {
    if recipe.form == Form::Inherited {
        let templates = request_templates(request);
        return templates
            .iter()
            .any(|template| template.dollar_name().is_some());
    }
    matches!(request.body, BodyTemplate::Secret)
        || !recipe.depends_on.is_empty()
        || recipe.inputs.iter().any(|input| input.secret)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::realm::Definition;

    fn is_warned_of(config: &Value) -> bool {
        let definition = Definition::read(Some(config), None).unwrap();
        let warnings = definition.warnings();
        warnings
            .iter()
            .any(|warning| warning.contains("over http://"))
    }

    #[test]
    fn secrets_over_http_to_hosts_that_may_be_public_are_warned_of() {
        for (url, expected) in [
            ("http://api.example.com/t", true),
            ("HTTP://api.example.com/t", true),
            ("http://{{ host }}/t", true),
            ("http://1.1.1.1/t", true),
            ("http://[2606:4700::1]/t", true),
            ("https://api.example.com/t", false),
            ("{{ host }}/t", false),
            ("http://localhost:81/t", false),
            ("http://127.0.0.1/t", false),
            ("http://10.1.2.3/t", false),
            ("http://[fd00::1]/t", false),
            ("http://[::ffff:10.1.2.3]/t", false),
        ] {
            let general = |secret: bool, insecure: bool| {
                json!({"inputs": {"s": {"secret": secret}, "host": {"secret": false}}, "token": "$.t", "expires": {"lifetime": 60},
                    "requests": [{"url": url, "form": {"s": "{{ s }}"}, "insecure_http": insecure}]})
            };
            assert_eq!(is_warned_of(&general(true, false)), expected, "{url}");
            assert!(!is_warned_of(&general(false, false)), "{url}: no secret");
            assert!(!is_warned_of(&general(true, true)), "{url}: said so");
        }
    }

    #[test]
    fn all_forms_are_looked_at_and_can_say_that_it_is_meant() {
        let url = "http://api.example.com/t";
        let inherited = |value: &str| {
            json!({"url": url, "method": "GET", "token_path": "t", "expires_in_path": "e",
                "arguments": [{"name": "a", "place": "url", "value": value}]})
        };
        assert!(is_warned_of(&inherited("$key_1")));
        assert!(!is_warned_of(&inherited("literal")));
        let mut said = inherited("$key_1");
        said["insecure_http"] = true.into();
        assert!(!is_warned_of(&said));
        let oauth2 = json!({"oauth2": {"token_endpoint": url}});
        assert!(is_warned_of(&oauth2));
        let said = json!({"oauth2": {"token_endpoint": url, "insecure_http": true}});
        assert!(!is_warned_of(&said));
        let function = Definition::read(None, Some(url)).unwrap();
        assert!(
            function
                .warnings()
                .iter()
                .any(|warning| warning.contains("over http://"))
        );
    }
}
