//! Who may come in: every route with no key, a wrong one, each role, and foreign scopes.

use std::net::IpAddr;

use reqwest::Method;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use token_server::api_key::{Action, ApiKey, Role};
use token_server::config::{Config, Environment};
use token_server::http::{Keyless, Peer};
use token_server::service::NewApiKey;

use crate::faulty_provider::Fault;
use crate::harness::{Reply, Server, World, good, secret};

/// Each operation and what it needs; `None`: it is open to everybody.
const NEEDS: &[(&str, &str, Option<Action>)] = &[
    ("get", "/api/token", Some(Action::ReadToken)),
    ("post", "/api/token/report", Some(Action::Renew)),
    ("post", "/api/cron/refresh", Some(Action::Cron)),
    ("get", "/api/realm", Some(Action::Observe)),
    ("post", "/api/realm", Some(Action::Manage)),
    ("get", "/api/realm/{id}", Some(Action::Observe)),
    ("delete", "/api/realm/{id}", Some(Action::Manage)),
    ("post", "/api/realm/test", Some(Action::Manage)),
    ("post", "/api/realm/{id}/test", Some(Action::Observe)),
    ("get", "/api/secret", Some(Action::Observe)),
    ("post", "/api/secret", Some(Action::Manage)),
    ("get", "/api/secret/{key}", Some(Action::Observe)),
    ("delete", "/api/secret/{key}", Some(Action::Manage)),
    ("put", "/api/secret/{key}/inputs/{name}", Some(Action::Push)),
    ("get", "/api/secret/{key}/status", Some(Action::SeeStatus)),
    ("post", "/api/secret/{key}/retry", Some(Action::Retry)),
    ("post", "/api/secret/{key}/renew", Some(Action::Renew)),
    ("get", "/api/keys", Some(Action::Manage)),
    ("post", "/api/keys", Some(Action::Manage)),
    ("get", "/api/keys/{id}", Some(Action::Manage)),
    ("patch", "/api/keys/{id}", Some(Action::Manage)),
    ("delete", "/api/keys/{id}", Some(Action::Manage)),
    ("post", "/api/keys/{id}/rotate", Some(Action::Manage)),
    ("get", "/api/catalog", Some(Action::Observe)),
    ("get", "/api/catalog/{id}", Some(Action::Observe)),
    ("get", "/api/log", Some(Action::Observe)),
    ("get", "/schema/realm.json", None),
    ("get", "/healthz", None),
    ("get", "/readyz", None),
];

fn operations() -> Vec<(String, String)> {
    let description = serde_json::to_value(token_server::http::description()).unwrap();
    let mut all = Vec::new();
    for (path, item) in description["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            all.push((method.clone(), path.clone()));
        }
    }
    all
}

/// An instance where callers without a key may do nothing, and an admin's key.
pub(crate) async fn locked(world: &World) -> (Server, String) {
    let server = world.serve_keyless(&[], |_| Keyless::Nothing).await;
    let admin = key(&server, Role::Admin, &[]).await;
    (server, admin)
}

/// A new key.
pub(crate) async fn key(server: &Server, role: Role, scopes: &[&str]) -> String {
    let scopes = scopes.iter().map(|scope| scope.parse().unwrap());
    let new = NewApiKey {
        role,
        scopes: scopes.collect(),
        note: None,
        expires_at: None,
        rate: None,
        certificate: None,
    };
    let made = server.services.api_keys.create(new).await.unwrap();
    made.key.text().expose_secret().to_owned()
}

async fn ask(server: &Server, method: &str, path: &str, key: Option<&str>) -> Reply {
    let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
    server.ask(method, path, key, None).await
}

#[tokio::test]
async fn every_route_asks_for_the_role_that_it_needs() {
    let world = World::new().await;
    let (server, _) = locked(&world).await;
    let mut keys = Vec::new();
    for role in Role::ALL {
        let scopes: &[&str] = if role.needs_scope() { &["*:*"] } else { &[] };
        keys.push((role, key(&server, role, scopes).await));
    }
    let wrong = ApiKey::generate()
        .unwrap()
        .text()
        .expose_secret()
        .to_owned();
    for (method, path) in operations() {
        let needs = NEEDS.iter().find(|(m, p, _)| *m == method && *p == path);
        let (.., needs) = needs.unwrap_or_else(|| panic!("{method} {path} is not in the table"));
        let named = path
            .replace("{id}", "x")
            .replace("{key}", "x")
            .replace("{name}", "x");
        for shown in [None, Some(wrong.as_str()), Some("nonsense")] {
            let reply = ask(&server, &method, &named, shown).await;
            if needs.is_none() {
                assert_eq!(reply.status, 200, "{method} {path}");
                continue;
            }
            assert_eq!(reply.problem(), (401, "unauthorized"), "{method} {path}");
            assert_eq!(reply.headers["www-authenticate"], "Bearer");
        }
        for (role, key) in &keys {
            let reply = ask(&server, &method, &named, Some(key)).await;
            let may = needs.is_none_or(|action| role.may(action));
            assert_eq!(
                reply.status != 403,
                may,
                "{method} {path} {role:?}: {reply:?}"
            );
            assert_ne!(reply.status, 401, "{method} {path} {role:?}");
        }
    }
    assert_eq!(NEEDS.len(), operations().len());
    let unknown = ask(&server, "get", "/nowhere", None).await;
    assert_eq!(unknown.problem(), (404, "not_found"));
}

/// Text and headers, but for what is each request's own.
fn anonymous_part(reply: &Reply) -> (u16, Value, Vec<String>) {
    let mut names: Vec<_> = reply.headers.keys().map(ToString::to_string).collect();
    names.sort();
    (reply.status, reply.body.clone(), names)
}

#[tokio::test]
async fn whatever_is_wrong_with_a_key_the_answer_is_the_same() {
    let world = World::new().await;
    let (server, admin) = locked(&world).await;
    let made = |body: Value| {
        let (server, admin) = (&server, admin.as_str());
        async move {
            let reply = server
                .ask(Method::POST, "/api/keys", Some(admin), Some(&body))
                .await;
            assert_eq!(reply.status, 201, "{reply:?}");
            let key = reply.body["key"].as_str().unwrap().to_owned();
            (reply.body["id"].as_str().unwrap().to_owned(), key)
        }
    };
    let app = json!({"role": "app", "scopes": ["*:*"]});
    let (disabled, disabled_key) = made(app.clone()).await;
    let (revoked, revoked_key) = made(app.clone()).await;
    let soon = world.now_ms() + 60_000;
    let (_, expired_key) =
        made(json!({"role": "app", "scopes": ["*:*"], "expires_at": soon})).await;
    let off = json!({"disabled": true});
    let path = format!("/api/keys/{disabled}");
    server
        .ask(Method::PATCH, &path, Some(&admin), Some(&off))
        .await
        .ok();
    let path = format!("/api/keys/{revoked}");
    server
        .ask(Method::DELETE, &path, Some(&admin), None)
        .await
        .ok();
    world.clock.advance(std::time::Duration::from_mins(1));
    let mistyped = format!("{}x", &admin[..admin.len() - 1]);
    let unknown = ApiKey::generate().unwrap();
    let shown = [
        None,
        Some(disabled_key.as_str()),
        Some(revoked_key.as_str()),
        Some(expired_key.as_str()),
        Some(mistyped.as_str()),
        Some(unknown.text().expose_secret()),
        Some("Bearer"),
        Some(""),
    ];
    let expected = anonymous_part(&ask(&server, "get", "/api/token?realm=r&key=k", None).await);
    for key in shown {
        let reply = ask(&server, "get", "/api/token?realm=r&key=k", key).await;
        assert_eq!(anonymous_part(&reply), expected);
    }
}

#[tokio::test]
async fn a_token_outside_the_scopes_is_not_there() {
    let world = World::new().await;
    let (server, admin) = locked(&world).await;
    server
        .save_realm_as(&admin, &world.realm(), &secret())
        .await;
    world.provider.script(Fault::Json(good("t-1", 7200)));
    let inside = key(&server, Role::App, &["r:*"]).await;
    let outside = key(&server, Role::App, &["other:*", "r:other"]).await;
    for _ in 0..2 {
        let token = ask(&server, "get", "/api/token?realm=r&key=k", Some(&inside)).await;
        assert_eq!(token.ok()["token"], "t-1");
    }
    let calls = world.provider.calls();
    for query in ["", "&flush=true", "&min_ttl=9000000"] {
        let path = |realm: &str| format!("/api/token?realm={realm}&key=k{query}");
        let hidden = ask(&server, "get", &path("r"), Some(&outside)).await;
        let unknown = ask(&server, "get", &path("s"), Some(&outside)).await;
        assert_eq!(hidden.problem(), (400, "unknown_secret"));
        let renamed = hidden.body["detail"]
            .as_str()
            .unwrap()
            .replace("realm r", "realm s");
        assert_eq!(renamed, unknown.body["detail"]);
    }
    for (method, path, body) in [
        ("GET", "/api/secret/k/status?realm=r", None),
        ("GET", "/api/secret/k/status", None),
        ("POST", "/api/secret/k/renew?realm=r", None),
        (
            "POST",
            "/api/token/report",
            Some(json!({"realm": "r", "key": "k", "version": 1})),
        ),
    ] {
        let method: Method = method.parse().unwrap();
        let reply = server
            .ask(method, path, Some(&outside), body.as_ref())
            .await;
        assert_eq!(reply.body["code"], "unknown_secret", "{path}");
    }
    assert_eq!(world.provider.calls(), calls);
}

#[tokio::test]
async fn an_operator_renews_and_sees_no_token() {
    let world = World::new().await;
    let (server, admin) = locked(&world).await;
    server
        .save_realm_as(&admin, &world.realm(), &secret())
        .await;
    world.provider.script(Fault::Json(good("t-1", 7200)));
    let operator = key(&server, Role::Operator, &[]).await;
    let token = ask(&server, "get", "/api/token?realm=r&key=k", Some(&operator)).await;
    assert_eq!(token.problem(), (403, "role_not_allowed"));
    let retried = ask(&server, "post", "/api/secret/k/retry", Some(&operator))
        .await
        .ok();
    assert_eq!(
        (&retried["token_version"], &retried["token"]),
        (&json!(1), &Value::Null)
    );
    world.clock.advance(std::time::Duration::from_mins(1));
    world.provider.script(Fault::Json(good("t-2", 7200)));
    let renewed = ask(&server, "post", "/api/secret/k/renew", Some(&operator))
        .await
        .ok();
    assert_eq!(
        (&renewed["token_version"], &renewed["renewed"]),
        (&json!(2), &json!(true))
    );
    let report = json!({"realm": "r", "key": "k", "version": 2});
    world.clock.advance(std::time::Duration::from_mins(1));
    world.provider.script(Fault::Json(good("t-3", 7200)));
    let reported = server
        .ask(
            Method::POST,
            "/api/token/report",
            Some(&operator),
            Some(&report),
        )
        .await
        .ok();
    assert_eq!(
        (&reported["token_version"], &reported["token"]),
        (&json!(3), &Value::Null)
    );
    // An admin renews by the same route, and is answered no token either.
    world.clock.advance(std::time::Duration::from_mins(1));
    world.provider.script(Fault::Json(good("t-4", 7200)));
    let renewed = ask(&server, "post", "/api/secret/k/renew", Some(&admin))
        .await
        .ok();
    assert_eq!(
        (&renewed["token_version"], &renewed["token"]),
        (&json!(4), &Value::Null)
    );
    for text in ["t-1", "t-2", "t-3", "t-4"] {
        for answer in [&retried, &reported, &renewed] {
            assert!(
                !answer.to_string().contains(&format!("\"{text}\"")),
                "{answer}"
            );
        }
    }
}

/// Realms `r` and `s`, each with a secret `k`.
async fn two_realms() -> (World, Server, String) {
    let world = World::new().await;
    let (server, admin) = locked(&world).await;
    for realm in ["r", "s"] {
        let mut definition = world.realm();
        definition["id"] = realm.into();
        let mut credentials = secret();
        credentials["realm"] = realm.into();
        server
            .save_realm_as(&admin, &definition, &credentials)
            .await;
    }
    (world, server, admin)
}

#[tokio::test]
async fn lists_and_look_ups_show_what_the_scopes_allow() {
    let (world, server, admin) = two_realms().await;
    world.provider.script(Fault::Json(good("t", 7200)));
    world.provider.script(Fault::Json(good("u", 7200)));
    for realm in ["r", "s"] {
        ask(
            &server,
            "get",
            &format!("/api/token?realm={realm}&key=k"),
            Some(&admin),
        )
        .await
        .ok();
    }
    let operator = key(&server, Role::Operator, &["r:*"]).await;
    for path in ["/api/realm", "/api/secret", "/api/log"] {
        let all = ask(&server, "get", path, Some(&admin)).await.ok();
        assert_eq!(all["data"]["total"], 2, "{path}");
        let listed = ask(&server, "get", path, Some(&operator)).await.ok();
        assert_eq!(listed["data"]["total"], 1, "{path}");
        assert!(!listed.to_string().contains(r#""s""#), "{path}: {listed}");
    }
    // For the admin two realms have the key, for the operator one.
    assert_eq!(
        ask(&server, "get", "/api/secret/k", Some(&admin))
            .await
            .status,
        400
    );
    let found = ask(&server, "get", "/api/secret/k", Some(&operator))
        .await
        .ok();
    assert_eq!(found["realm"], "r");
    assert_eq!(
        ask(&server, "get", "/api/realm/s", Some(&operator))
            .await
            .problem(),
        (404, "unknown_realm")
    );
    assert_eq!(
        ask(&server, "get", "/api/secret/k?realm=s", Some(&operator))
            .await
            .problem(),
        (404, "unknown_secret")
    );
}

#[tokio::test]
async fn an_admin_of_some_secrets_changes_nothing_else() {
    let (_world, server, _) = two_realms().await;
    let bounded = key(&server, Role::Admin, &["r:*"]).await;
    let beyond = (403, "beyond_scope");
    assert_eq!(
        ask(&server, "get", "/api/keys", Some(&bounded))
            .await
            .problem(),
        beyond
    );
    assert_eq!(
        ask(&server, "delete", "/api/realm/s", Some(&bounded))
            .await
            .problem(),
        beyond
    );
    let mut other = secret();
    other["realm"] = "s".into();
    let saved = server
        .ask(Method::POST, "/api/secret", Some(&bounded), Some(&other))
        .await;
    assert_eq!(saved.problem(), beyond);
    let saved = server
        .ask(Method::POST, "/api/secret", Some(&bounded), Some(&secret()))
        .await;
    assert_eq!(saved.status, 200);
}

#[tokio::test]
async fn callers_of_a_named_network_need_no_key() {
    let world = World::new().await;
    let settings = [
        ("auth.anonymous.networks", "127.0.0.1, 10.7.0.0/16"),
        ("auth.anonymous.scopes", "r:*"),
        ("server.trusted_proxies", "127.0.0.9"),
    ];
    let anonymous = |config: &Config| token_server::app::keyless(config).unwrap();
    let server = world.serve_keyless(&settings, anonymous).await;
    let admin = key(&server, Role::Admin, &[]).await;
    server
        .save_realm_as(&admin, &world.realm(), &secret())
        .await;
    world.provider.script(Fault::Json(good("t-1", 7200)));
    for _ in 0..2 {
        let token = ask(&server, "get", "/api/token?realm=r&key=k", None).await;
        assert_eq!(token.ok()["token"], "t-1");
    }
    assert_eq!(
        ask(&server, "get", "/api/token?realm=s&key=k", None)
            .await
            .problem(),
        (400, "unknown_secret")
    );
    assert_eq!(
        ask(&server, "get", "/api/realm", None).await.problem(),
        (403, "role_not_allowed")
    );
    let flags = settings.map(|(name, value)| (name, value.to_owned()));
    let config = Config::load_without_file(&Environment::of(&[]), &flags).unwrap();
    let door = token_server::app::door(&server.services, &config, anonymous(&config)).unwrap();
    let from = |address: &str, field: &'static str, value: &'static str| {
        let peer = Peer::at(address.parse::<IpAddr>().unwrap());
        let request = http::Request::get("/api/token?realm=r&key=k")
            .header("host", "localhost")
            .header(field, value)
            .body(axum::body::Body::empty())
            .unwrap();
        let door = &door;
        async move { door.answer(request, &peer).await.status().as_u16() }
    };
    for (address, field, value, expected) in [
        ("10.7.1.1", "accept", "*/*", 200),
        ("10.8.1.1", "accept", "*/*", 401),
        // Somebody else's word on where it comes from.
        ("10.7.1.1", "x-forwarded-for", "10.7.0.1", 401),
        ("10.7.1.1", "forwarded", "for=10.7.0.1", 401),
        ("127.0.0.9", "x-forwarded-for", "10.7.0.1", 200),
        ("127.0.0.9", "x-forwarded-for", "10.8.0.1", 401),
        ("127.0.0.9", "x-forwarded-for", "10.7.0.1, 192.0.2.1", 401),
        // A web page.
        ("10.7.1.1", "origin", "http://evil.example", 403),
        ("10.7.1.1", "sec-fetch-site", "cross-site", 403),
    ] {
        assert_eq!(
            from(address, field, value).await,
            expected,
            "{address} {field} {value}"
        );
    }
}

#[tokio::test]
async fn keys_are_made_changed_rotated_and_revoked() {
    let world = World::new().await;
    let (server, admin) = locked(&world).await;
    let send = |method: Method, path: String, body: Option<Value>| {
        let (server, admin) = (&server, admin.as_str());
        async move { server.ask(method, &path, Some(admin), body.as_ref()).await }
    };
    let new = json!({"role": "app", "scopes": ["r:*"], "note": "shop", "rate": "100/s"});
    let made = send(Method::POST, "/api/keys".into(), Some(new)).await;
    assert_eq!(
        (made.status, &made.headers["cache-control"]),
        (201, &"no-store".parse().unwrap())
    );
    let (id, first) = (
        made.body["id"].as_str().unwrap(),
        made.body["key"].as_str().unwrap(),
    );
    let path = format!("/api/keys/{id}");
    let shown = send(Method::GET, path.clone(), None).await.ok();
    assert_eq!(shown["key"], Value::Null);
    assert_eq!(
        (&shown["scopes"], &shown["note"]),
        (&json!(["r:*"]), &json!("shop"))
    );
    let edit = json!({"scopes": ["r:a", "s:*"], "note": null});
    let edited = send(Method::PATCH, path.clone(), Some(edit)).await.ok();
    assert_eq!(
        (&edited["scopes"], &edited["note"]),
        (&json!(["r:a", "s:*"]), &Value::Null)
    );
    let rotated = send(
        Method::POST,
        format!("{path}/rotate"),
        Some(json!({"overlap": "10m"})),
    )
    .await
    .ok();
    let second = rotated["key"].as_str().unwrap();
    let works = |key: String| {
        let server = &server;
        async move {
            ask(server, "get", "/api/token?realm=r&key=b", Some(&key))
                .await
                .status
                != 401
        }
    };
    assert!(works(first.to_owned()).await && works(second.to_owned()).await);
    world.clock.advance(std::time::Duration::from_mins(10));
    assert!(!works(first.to_owned()).await && works(second.to_owned()).await);
    assert_eq!(send(Method::DELETE, path.clone(), None).await.status, 204);
    assert!(!works(second.to_owned()).await);
    assert_eq!(
        send(Method::GET, path, None).await.problem(),
        (404, "unknown_api_key")
    );
}

#[tokio::test]
async fn other_instances_follow_within_a_look() {
    let world = World::new().await;
    let (server, admin) = locked(&world).await;
    let other = world.serve_keyless(&[], |_| Keyless::Nothing).await;
    other.look().await;
    assert_eq!(
        ask(&other, "get", "/api/realm", Some(&admin)).await.status,
        200
    );
    let app = key(&server, Role::App, &["r:*"]).await;
    let path = "/api/token?realm=r&key=k";
    assert_eq!(ask(&other, "get", path, Some(&app)).await.status, 401);
    other.look().await;
    assert_eq!(ask(&other, "get", path, Some(&app)).await.status, 400);
    server
        .services
        .api_keys
        .revoke(&app[4..15], false)
        .await
        .unwrap();
    assert_eq!(ask(&other, "get", path, Some(&app)).await.status, 400);
    other.look().await;
    assert_eq!(ask(&other, "get", path, Some(&app)).await.status, 401);
}

#[tokio::test]
async fn a_key_may_be_slowed_down_and_wrong_keys_are() {
    let world = World::new().await;
    let (server, admin) = locked(&world).await;
    let slow = json!({"role": "operator", "rate": "1/s"});
    let made = server
        .ask(Method::POST, "/api/keys", Some(&admin), Some(&slow))
        .await;
    let key = made.body["key"].as_str().unwrap();
    assert_eq!(ask(&server, "get", "/api/log", Some(key)).await.status, 200);
    let second = ask(&server, "get", "/api/log", Some(key)).await;
    assert_eq!(second.problem(), (429, "rate_limited"));
    assert_eq!(second.headers["retry-after"], "1");
    assert_eq!(second.headers["ratelimit-policy"], "\"default\";q=1;w=1");
    assert_eq!(second.headers["ratelimit"], "\"default\";r=0;t=1");
    let wrong = ApiKey::generate().unwrap();
    let mut seen = Vec::new();
    for _ in 0..200 {
        let reply = ask(
            &server,
            "get",
            "/api/log",
            Some(wrong.text().expose_secret()),
        )
        .await;
        seen.push(reply.status);
    }
    assert_eq!((seen[0], seen[199]), (401, 429), "{seen:?}");
    // Whoever shares the address and has a key is let in.
    assert_eq!(
        ask(&server, "get", "/api/log", Some(&admin)).await.status,
        200
    );
}

#[tokio::test]
async fn one_key_cannot_force_away_the_quota_of_all() {
    let world = World::new().await;
    let (server, admin) = locked(&world).await;
    let mut realm = world.realm();
    realm["config"]["policy"] = json!({"reissue": "coexists",
        "quota": [{"limit": 40, "per": "1d", "reserve": 4}]});
    server.save_realm_as(&admin, &realm, &secret()).await;
    let (one, two) = (
        key(&server, Role::App, &["r:*"]).await,
        key(&server, Role::App, &["r:*"]).await,
    );
    world.provider.script(Fault::Json(good("t-0", 7200)));
    ask(&server, "get", "/api/token?realm=r&key=k", Some(&one))
        .await
        .ok();
    let flush = "/api/token?realm=r&key=k&flush=true";
    let mut renewed = 0;
    for number in 1..=20 {
        let fresh = good(&format!("t-{number}"), 7200);
        world.provider.script(Fault::Json(fresh));
        world.clock.advance(std::time::Duration::from_secs(31));
        let answer = ask(&server, "get", flush, Some(&one)).await.ok();
        renewed += usize::from(answer["renewed"] == Value::Null);
    }
    // A fifth of 40.
    assert_eq!((renewed, world.provider.calls()), (8, 9));
    world.provider.script(Fault::Json(good("t-99", 7200)));
    let answer = ask(&server, "get", flush, Some(&two)).await.ok();
    assert_eq!(
        answer["renewed"],
        Value::Null,
        "another key has a share of its own"
    );
}

#[tokio::test]
async fn what_is_wrong_with_a_new_key_is_named() {
    let world = World::new().await;
    let (server, admin) = locked(&world).await;
    for (body, place) in [
        (json!({"role": "boss"}), "/role"),
        (json!({"role": "app"}), "/scopes"),
        (json!({"role": "cron", "scopes": ["a:b"]}), "/scopes"),
        (json!({"role": "app", "scopes": ["ab"]}), "/scopes/0"),
        (
            json!({"role": "app", "scopes": ["a:*"], "rate": "fast"}),
            "/rate",
        ),
        (
            json!({"role": "app", "scopes": ["a:*"], "expires_at": 5}),
            "/expires_at",
        ),
        (
            json!({"role": "app", "scopes": ["a:*"], "certificate": "x"}),
            "/certificate",
        ),
        (json!({"role": "admin", "note": "a\u{202e}b"}), "/note"),
        (json!({"role": "admin", "rolle": 1}), "/rolle"),
    ] {
        let refused = server
            .ask(Method::POST, "/api/keys", Some(&admin), Some(&body))
            .await;
        assert_eq!(refused.places(), [place], "{body}");
    }
}

#[tokio::test]
async fn near_its_rate_a_caller_is_told_of_it() {
    let world = World::new().await;
    let (server, admin) = locked(&world).await;
    let paced = json!({"role": "operator", "rate": "10/s"});
    let made = server
        .ask(Method::POST, "/api/keys", Some(&admin), Some(&paced))
        .await;
    let key = made.body["key"].as_str().unwrap();
    let first = ask(&server, "get", "/healthz", Some(key)).await;
    assert!(!first.headers.contains_key("ratelimit"));
    let mut told = Vec::new();
    for _ in 0..60 {
        let reply = ask(&server, "get", "/healthz", Some(key)).await;
        told.push((reply.status, reply.headers.get("ratelimit").cloned()));
    }
    let near = told.iter().find(|(_, told)| told.is_some()).unwrap();
    assert_eq!(near.0, 200, "before it is refused: {told:?}");
}

#[tokio::test]
async fn the_last_key_of_an_admin_stays() {
    let world = World::new().await;
    let (server, admin) = locked(&world).await;
    let path = format!("/api/keys/{}", &admin[4..15]);
    let last = server.ask(Method::DELETE, &path, Some(&admin), None).await;
    assert_eq!(last.problem(), (409, "last_admin_key"));
    // Nor is it bounded, or about to end.
    let soon = world.now_ms() + 1200;
    for edit in [json!({"scopes": ["r:*"]}), json!({"expires_at": soon})] {
        let last = server
            .ask(Method::PATCH, &path, Some(&admin), Some(&edit))
            .await;
        assert_eq!(last.problem(), (409, "last_admin_key"));
    }
}
