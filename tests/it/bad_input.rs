//! The bad-input table: clear errors, nothing lost, nothing stored that was not good.

use std::time::Duration;

use serde_json::{Value, json};
use token_server::upstream::client_builder;

use crate::faulty_provider::{Fault, closed_port_url};
use crate::harness::{World, good, secret};

#[tokio::test]
#[expect(
    clippy::too_many_lines,
    reason = "a table of cases, or one story from its beginning to its end"
)]
async fn wrong_realms_are_told_field_by_field() {
    let world = World::new().await;
    let server = world.serve().await;
    let config = |patch: &dyn Fn(&mut Value)| {
        let mut realm = world.realm();
        patch(&mut realm["config"]);
        realm.to_string()
    };
    let long = "x".repeat(51);
    for (body, places) in [
        ("{".to_owned(), vec![""]),
        ("[]".to_owned(), vec![""]),
        (String::new(), vec![""]),
        (r#"{"id": "r", "id": "r2"}"#.to_owned(), vec![""]),
        ("{}".to_owned(), vec!["/id"]),
        (json!({"id": ""}).to_string(), vec!["/id"]),
        (json!({"id": long}).to_string(), vec!["/id"]),
        (json!({"id": "a\u{7}b"}).to_string(), vec!["/id"]),
        (json!({"id": "a\u{202e}b"}).to_string(), vec!["/id"]),
        (json!({"id": "a\u{2028}b"}).to_string(), vec!["/id"]),
        (json!({"id": "a\u{e000}b"}).to_string(), vec!["/id"]),
        (json!({"id": "blank "}).to_string(), vec!["/id"]),
        (json!({"id": 7}).to_string(), vec!["/id"]),
        (json!({"id": ".."}).to_string(), vec!["/id"]),
        (
            config(&|c| {
                c["arguments"][0] =
                    json!({"name": "Content-Length", "place": "header", "value": "0"});
            }),
            vec!["/config/arguments/0/name"],
        ),
        (
            json!({"id": "r", "surplus": 1}).to_string(),
            vec!["/surplus"],
        ),
        (
            json!({"id": "r", "config": "x"}).to_string(),
            vec!["/config"],
        ),
        (
            json!({"id": "r", "config": {}}).to_string(),
            vec!["/config/url", "/config/method", "/config/token_path"],
        ),
        (
            json!({"id": "r", "logic_code": "no url"}).to_string(),
            vec!["/logic_code"],
        ),
        (
            json!({"id": "r", "logic_code": "file:///etc/passwd"}).to_string(),
            vec!["/logic_code"],
        ),
        (
            config(&|c| c["url"] = "ftp://x/".into()),
            vec!["/config/url"],
        ),
        (
            config(&|c| c["url"] = "/relative".into()),
            vec!["/config/url"],
        ),
        (
            config(&|c| c["method"] = "PUT".into()),
            vec!["/config/method"],
        ),
        (
            config(&|c| c["arguments"][1]["place"] = "cookie".into()),
            vec!["/config/arguments/1/place"],
        ),
        (
            config(&|c| c["arguments"][0]["value"] = json!({})),
            vec!["/config/arguments/0/value"],
        ),
        (
            config(&|c| c["token_path"] = "$..token".into()),
            vec!["/config/token_path"],
        ),
        (
            config(&|c| c["tokenpath"] = "x".into()),
            vec!["/config/tokenpath"],
        ),
    ] {
        let reply = server.post_text("/api/realm", body.clone()).await;
        assert_eq!(
            (reply.problem(), reply.places()),
            ((400, "invalid_request"), places),
            "{body}"
        );
        for error in reply.body["errors"].as_array().unwrap() {
            assert!(!error["detail"].as_str().unwrap().is_empty(), "{body}");
        }
    }
    assert_eq!(
        server.get("/api/realm").await.ok()["data"]["total"],
        0,
        "nothing was saved"
    );
}

#[tokio::test]
async fn wrong_secrets_are_told_field_by_field() {
    let world = World::new().await;
    let server = world.serve_realm().await;
    let (long, large) = ("x".repeat(201), "x".repeat(64 * 1024 + 1));
    for (body, places) in [
        (json!({"realm": "r", "key": ""}), vec!["/key"]),
        (json!({"realm": "r", "key": long}), vec!["/key"]),
        (json!({"realm": "r", "key": "a\nb"}), vec!["/key"]),
        (json!({"realm": "r"}), vec!["/key"]),
        (
            json!({"realm": "r", "key": "k", "key_1": 5}),
            vec!["/key_1"],
        ),
        (
            json!({"realm": "r", "key": "k", "key_0": "x"}),
            vec!["/key_0"],
        ),
        (
            json!({"realm": "r", "key": "k", "credentials": []}),
            vec!["/credentials"],
        ),
        (
            json!({"realm": "r", "key": "k", "credentials": {"big": large}}),
            vec!["/credentials/big"],
        ),
        (
            json!({"realm": "r", "key": "k", "key_1": "a", "credentials": {"key_1": "b"}}),
            vec!["/credentials/key_1"],
        ),
        (
            json!({"realm": "r", "key": "k", "expires_at": "soon"}),
            vec!["/expires_at"],
        ),
    ] {
        let reply = server.post("/api/secret", &body).await;
        assert_eq!(
            (reply.problem(), reply.places()),
            ((400, "invalid_request"), places),
            "{body:.200}"
        );
        assert!(
            !reply.body.to_string().contains("xxxxx"),
            "values are not repeated"
        );
    }
    assert_eq!(
        server.get("/api/secret/k?realm=r").await.ok()["version"],
        1,
        "nothing was changed"
    );
}

#[tokio::test]
async fn a_body_over_1_mib_is_413() {
    let world = World::new().await;
    let server = world.serve().await;
    let body = json!({"id": "r", "comment": "x".repeat(1 << 20)}).to_string();
    assert_eq!(
        server.post_text("/api/realm", body.clone()).await.problem(),
        (413, "body_too_large")
    );
    assert_eq!(
        server
            .post_text("/api/secret", body.clone())
            .await
            .problem(),
        (413, "body_too_large")
    );
    assert_eq!(
        server.get_with_body("/api/token", &body).await.problem(),
        (413, "body_too_large")
    );
}

#[tokio::test]
async fn pages_out_of_range_are_told_the_range() {
    let world = World::new().await;
    let server = world.serve().await;
    for (query, places) in [
        ("page=0", vec!["page"]),
        ("pageSize=100000", vec!["pageSize"]),
        ("page=-1&pageSize=x", vec!["page", "pageSize"]),
        ("page=99999999999999999999", vec!["page"]),
    ] {
        for list in ["/api/realm", "/api/secret"] {
            let reply = server.get(&format!("{list}?{query}")).await;
            assert_eq!(
                (reply.problem(), reply.places()),
                ((400, "invalid_request"), places.clone()),
                "{query}"
            );
            assert!(
                reply.body["detail"].as_str().unwrap().contains("from 1 to"),
                "{query}"
            );
        }
    }
}

#[tokio::test]
async fn unknown_paths_and_methods_are_problems_too() {
    let world = World::new().await;
    let server = world.serve().await;
    assert_eq!(
        server.get("/api/nothing").await.problem(),
        (404, "not_found")
    );
    for path in [
        "/api/realm/%ff",
        "/api/secret/%ff?realm=r",
        "/api/secret/%ff/status",
    ] {
        assert_eq!(
            server.get(path).await.problem(),
            (400, "invalid_request"),
            "{path}"
        );
    }
    for path in ["/api/secret/%ff/inputs/i", "/api/secret/k/inputs/%ff"] {
        let reply = server.put(path, &json!({"value": "v"})).await;
        assert_eq!(reply.problem(), (400, "invalid_request"), "{path}");
    }
    assert_eq!(
        server.delete("/api/realm").await.problem(),
        (405, "method_not_allowed")
    );
    assert_eq!(
        server.post("/api/token", &json!({})).await.problem(),
        (405, "method_not_allowed")
    );
}

/// What the provider does, and status and code of the answer.
fn faults() -> Vec<(Fault, u16, &'static str)> {
    let expiry = |value: Value| Fault::Json(json!({"access_token": "bad", "expires_in": value}));
    vec![
        (
            Fault::Json(json!({"errcode": 40013, "errmsg": "invalid appid"})),
            502,
            "config",
        ),
        (
            Fault::Status(401, r#"{"error":"invalid_client"}"#.to_owned()),
            502,
            "config",
        ),
        (Fault::Html, 502, "upstream_malformed"),
        (Fault::TruncatedJson, 502, "upstream_malformed"),
        (Fault::Truncated, 503, "upstream_unreachable"),
        (Fault::CloseEarly, 503, "upstream_unreachable"),
        (Fault::NotHttp, 503, "upstream_unreachable"),
        (Fault::Status(500, "oops".to_owned()), 503, "upstream_busy"),
        (Fault::Status(503, "{}".to_owned()), 503, "upstream_busy"),
        (Fault::Status(429, "{}".to_owned()), 503, "upstream_busy"),
        (
            Fault::Redirect("http://127.0.0.1:1/".to_owned()),
            502,
            "upstream_malformed",
        ),
        (Fault::Huge(100 << 20), 502, "upstream_malformed"),
        (Fault::Hang, 504, "upstream_timeout"),
        (Fault::SlowDrip, 504, "upstream_timeout"),
        (expiry(json!(-1)), 502, "upstream_malformed"),
        (expiry(json!(0)), 502, "upstream_malformed"),
        (expiry(json!("NaN")), 502, "upstream_malformed"),
        (expiry(json!("inf")), 502, "upstream_malformed"),
        (expiry(json!(1e300)), 502, "upstream_malformed"),
        (expiry(json!([1])), 502, "upstream_malformed"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_faulty_provider_gives_a_code_and_stores_nothing() {
    let world = World::new().await;
    let server = world
        .serve_with(&[("upstream.timeout_seconds", "0.7")])
        .await;
    server.post("/api/realm", &world.realm()).await.ok();
    server.post("/api/secret", &secret()).await.ok();
    for (fault, status, code) in faults() {
        world.provider.script(fault.clone());
        // Past the back-off of the failure before.
        world.advance(Duration::from_mins(11), &[&server]).await;
        let reply = server.token().await;
        assert_eq!(reply.problem(), (status, code), "{fault:?}: {reply:?}");
        assert!(
            !reply.body.to_string().contains("invented-secret"),
            "{reply:?}"
        );
        let id = token_server::secret::SecretId::new("r", "k");
        let row = world.store.find_token(&id).await.unwrap().unwrap();
        assert_eq!((row.token, row.version), (None, 0), "{fault:?}");
    }
    world.provider.script(Fault::Json(good("good", 7200)));
    world.advance(Duration::from_mins(11), &[&server]).await;
    assert_eq!(
        server.token().await.ok()["token"],
        "good",
        "and works again by itself"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_faulty_provider_costs_no_held_token() {
    let world = World::new().await;
    let server = world
        .serve_with(&[("upstream.timeout_seconds", "0.7")])
        .await;
    server.post("/api/realm", &world.realm()).await.ok();
    server.post("/api/secret", &secret()).await.ok();
    world.provider.script(Fault::Json(good("held", 100_000)));
    server.token().await.ok();
    for (fault, ..) in faults() {
        world.provider.script(fault.clone());
        world.advance(Duration::from_mins(11), &[&server]).await;
        let calls = world.provider.calls();
        assert_eq!(server.flush().await.ok()["token"], "held", "{fault:?}");
        assert_eq!(world.provider.calls(), calls + 1, "{fault:?}");
        assert_eq!(server.token().await.ok()["token"], "held", "{fault:?}");
    }
}

#[tokio::test]
async fn a_provider_that_refuses_connections_is_unreachable() {
    let world = World::new().await;
    let server = world.serve().await;
    let mut realm = world.realm();
    realm["config"]["url"] = closed_port_url().into();
    server.post("/api/realm", &realm).await.ok();
    server.post("/api/secret", &secret()).await.ok();
    let reply = server.token().await;
    assert_eq!(reply.problem(), (503, "upstream_unreachable"));
    assert_eq!(
        (
            &reply.body["retry_after"],
            reply.headers["retry-after"].to_str().unwrap()
        ),
        (&json!(1), "1")
    );
}

#[tokio::test]
async fn the_providers_code_and_message_reach_the_operator_masked() {
    let world = World::new().await;
    let server = world.serve_realm().await;
    let refusal = json!({"errcode": 40013, "errmsg": "invalid appid: invented-appid, rid: 1"});
    world.provider.script(Fault::Json(refusal));
    let reply = server.token().await;
    assert_eq!(reply.problem(), (502, "config"));
    assert_eq!(reply.body["provider_code"], "40013");
    assert_eq!(
        reply.body["provider_message"],
        "invalid appid: ******************, rid: 1"
    );
}

#[tokio::test]
async fn a_provider_says_when_to_come_back() {
    let world = World::new().await;
    let server = world.serve_realm().await;
    let header = ("Retry-After".to_owned(), "17".to_owned());
    world
        .provider
        .script(Fault::StatusWithHeader(503, header, "{}".to_owned()));
    let reply = server.token().await;
    assert_eq!(
        (reply.problem(), &reply.body["retry_after"]),
        ((503, "upstream_busy"), &json!(17))
    );
    assert_eq!(reply.headers["retry-after"], "17");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_half_sent_request_is_given_up() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let world = World::new().await;
    let server = world.serve().await;
    let address = server.url.trim_start_matches("http://").to_owned();
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(b"\x00\xff garbage\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    tokio::time::timeout(Duration::from_secs(5), read)
        .await
        .unwrap()
        .unwrap();
    assert!(
        String::from_utf8_lossy(&answer).starts_with("HTTP/1.1 400"),
        "{answer:?}"
    );
}

#[tokio::test]
async fn web_pages_of_other_sites_are_refused_while_there_is_no_authentication() {
    let world = World::new().await;
    let server = world.serve_realm().await;
    world.provider.script(Fault::Json(good("t", 7200)));
    server.token().await.ok();
    let own = server.url.trim_start_matches("http://").to_owned();
    let ask = |host: &str, origin: Option<&str>| {
        let request = client_builder()
            .unwrap()
            .build()
            .unwrap()
            .get(format!("{}/api/token?realm=r&key=k", server.url));
        let request = request.header("host", host);
        origin.map_or_else(
            || request.try_clone().unwrap(),
            |origin| request.try_clone().unwrap().header("origin", origin),
        )
    };
    for (host, origin, status) in [
        (own.as_str(), None, 200),
        (own.as_str(), Some(server.url.as_str()), 200),
        ("rebound.example", None, 403),
        (own.as_str(), Some("https://elsewhere.example"), 403),
        (own.as_str(), Some("null"), 403),
    ] {
        let answer = ask(host, origin).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{host} {origin:?}");
        assert!(status == 200 || !answer.text().await.unwrap().contains("\"t\""));
    }
}

#[tokio::test]
#[expect(
    clippy::too_many_lines,
    reason = "a table of cases, or one story from its beginning to its end"
)]
async fn what_a_page_of_another_origin_embeds_is_refused_and_a_visit_is_not() {
    let world = World::new().await;
    let server = world.serve_realm().await;
    world.provider.script(Fault::Json(good("t", 7200)));
    server.token().await.ok();
    let client = client_builder().unwrap().build().unwrap();
    let token = "/api/token?realm=r&key=k";
    for (path, site, mode, dest, status) in [
        (token, "cross-site", "no-cors", "image", 403),
        (
            "/api/token?realm=r&key=k&flush=true",
            "cross-site",
            "no-cors",
            "image",
            403,
        ),
        (token, "same-site", "no-cors", "script", 403),
        (token, "cross-site", "navigate", "document", 403),
        ("/api/realm", "same-site", "navigate", "document", 403),
        ("/healthz", "cross-site", "no-cors", "image", 403),
        ("/docs/", "cross-site", "navigate", "iframe", 403),
        ("/docs/", "cross-site", "navigate", "document", 200),
        ("/openapi.json", "cross-site", "navigate", "document", 200),
        (
            "/schema/realm.json",
            "same-site",
            "navigate",
            "document",
            200,
        ),
        ("/healthz", "cross-site", "navigate", "document", 200),
        (token, "same-origin", "cors", "empty", 200),
        (token, "none", "navigate", "document", 200),
    ] {
        let request = client
            .get(format!("{}{path}", server.url))
            .header("sec-fetch-site", site);
        let request = request
            .header("sec-fetch-mode", mode)
            .header("sec-fetch-dest", dest);
        let answer = request.send().await.unwrap();
        assert_eq!(
            answer.status().as_u16(),
            status,
            "{path} {site} {mode} {dest}"
        );
        let text = answer.text().await.unwrap();
        assert_eq!(
            text.contains("\"forbidden\""),
            status == 403,
            "{path}: {text}"
        );
    }
    let post = client
        .post(format!("{}/healthz", server.url))
        .header("sec-fetch-site", "cross-site");
    let post = post
        .header("sec-fetch-mode", "navigate")
        .header("sec-fetch-dest", "document");
    assert_eq!(
        post.send().await.unwrap().status().as_u16(),
        403,
        "a form that is sent is no visit"
    );
    assert_eq!(world.provider.calls(), 1);
}
