//! Real providers and real SDKs: an OpenID-certified server, wechatpy, a function program.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use token_server::clock::SystemClock;
use token_server::fake_provider::{
    Api, FakeProvider, WECHAT_APPID, WECHAT_SECRET, WECOM_CORPID, WECOM_SECRET,
};

use crate::faulty_provider::{Fault, FaultyProvider, Recorded};
use crate::oidc::Oidc;
use crate::peers::{Peer, python};
use crate::program::Program;

async fn server() -> (tempfile::TempDir, Program) {
    let folder = tempfile::tempdir().unwrap();
    let database = format!("sqlite:{}", folder.path().join("t.db").display());
    let program = Program::ready(&database, &[]).await;
    (folder, program)
}

async fn get(url: &str) -> Value {
    let client = crate::program::admin_client();
    serde_json::from_str(&client.get(url).send().await.unwrap().text().await.unwrap()).unwrap()
}

/// `client_credentials` in the body: fetched, cached, refreshed when its short life ends, accepted
/// by introspection.
#[tokio::test(flavor = "multi_thread")]
async fn oidc_provider_gives_tokens_that_it_accepts() {
    let Some(peer) = Oidc::start(6) else { return };
    let (_folder, program) = server().await;
    let argument = |name: &str, value: &str| json!({"name": name, "place": "body", "value": value});
    let config = json!({"url": peer.endpoint(), "method": "POST", "arguments": [
            argument("grant_type", "client_credentials"), argument("client_id", "$key_1"),
            argument("client_secret", "$client_secret")],
        "token_path": "access_token", "content_type": "json", "expires_in_path": "expires_in"});
    program
        .post("/api/realm", &json!({"id": "r", "config": config}))
        .await;
    let secret = json!({"realm": "r", "key": "k", "key_1": "invented-client",
        "credentials": {"client_secret": "invented-client-secret-not-real-0123456789"}});
    program.post("/api/secret", &secret).await;

    let (status, first) = program.token().await;
    assert_eq!(
        (status, &first["source"]),
        (200, &json!("upstream")),
        "{first}"
    );
    let first_token = first["token"].as_str().unwrap().to_owned();
    assert!(peer.is_active(&first_token).await);
    for _ in 0..20 {
        assert_eq!(program.token().await.1["token"], first_token.as_str());
    }
    assert_eq!(peer.calls().await["token"], 1, "cached");

    // Its life ends: every token handed out meanwhile is one that the provider takes.
    let mut seen = vec![first_token];
    while seen.len() < 3 {
        let (status, answer) = program.token().await;
        assert_eq!(status, 200, "{answer}");
        let token = answer["token"].as_str().unwrap().to_owned();
        // oidc-provider counts whole seconds: in the last one it may be dead already.
        if answer["expires_in"].as_i64().unwrap() > 1200 {
            assert!(peer.is_active(&token).await, "{answer}");
        }
        if seen.last() != Some(&token) {
            seen.push(token);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(peer.calls().await["token"], 3, "one fetch for each expiry");

    // A wrong secret is refused, in the provider's own words.
    let wrong = json!({"realm": "r", "key": "wrong", "key_1": "invented-client", "credentials": {"client_secret": "no"}});
    program.post("/api/secret", &wrong).await;
    let (status, problem) = program.get("/api/token?realm=r&key=wrong").await;
    assert_eq!(
        (status, &problem["provider_code"]),
        (502, &json!("invalid_client")),
        "{problem}"
    );
}

/// What is sent, less what names the sender.
fn essence(request: &Recorded) -> (String, String, String) {
    let (path, query) = request
        .path_and_query
        .split_once('?')
        .unwrap_or((&request.path_and_query, ""));
    let mut pairs: Vec<_> = query.split('&').collect();
    pairs.sort_unstable();
    (
        format!("{} {path}", request.method),
        pairs.join("&"),
        request.body.clone(),
    )
}

/// The documented realms, pointed at a recorder, send what wechatpy sends for the same credentials.
#[tokio::test(flavor = "multi_thread")]
async fn the_documented_realms_send_what_wechatpy_sends() {
    let recorder = FaultyProvider::start().await;
    recorder.script(Fault::Json(
        json!({"errcode": 0, "errmsg": "ok", "access_token": "t", "expires_in": 7200}),
    ));
    let base = recorder.url().trim_end_matches("/token").to_owned();
    if python("wechatpy_requests.py", &[&base]).is_none() {
        return;
    }
    let theirs = recorder.requests();
    let (_folder, program) = server().await;
    for (id, path, arguments, keys) in [
        (
            "wxgzh",
            "/cgi-bin/token",
            json!([
                ["appid", "$key_1"],
                ["secret", "$key_2"],
                ["grant_type", "$key_3"]
            ]),
            json!({"key_1": "wx-invented-appid", "key_2": "invented-secret-01", "key_3": "client_credential"}),
        ),
        (
            "qywx_qynbkf",
            "/cgi-bin/gettoken",
            json!([["corpid", "$key_1"], ["corpsecret", "$key_2"]]),
            json!({"key_1": "ww-invented-corp", "key_2": "invented-secret-02"}),
        ),
    ] {
        let arguments: Vec<_> = arguments
            .as_array()
            .unwrap()
            .iter()
            .map(|pair| json!({"name": pair[0], "place": "url", "value": pair[1]}))
            .collect();
        let config = json!({"url": format!("{base}{path}"), "method": "GET", "arguments": arguments,
            "token_path": "access_token", "content_type": "json", "expires_in_path": "expires_in"});
        program
            .post("/api/realm", &json!({"id": id, "config": config}))
            .await;
        let mut secret = keys;
        secret["realm"] = id.into();
        secret["key"] = "app".into();
        program.post("/api/secret", &secret).await;
        assert_eq!(
            program
                .get(&format!("/api/token?realm={id}&key=app"))
                .await
                .0,
            200
        );
    }
    let ours = recorder.requests()[theirs.len()..].to_vec();
    assert_eq!(theirs.len(), 2);
    for (theirs, ours) in theirs.iter().zip(&ours) {
        assert_eq!(essence(ours), essence(theirs));
    }
}

/// wechatpy works against the fake provider, by itself and with the token that we hand out.
#[tokio::test(flavor = "multi_thread")]
#[expect(
    clippy::too_many_lines,
    reason = "a table of cases, or one story from its beginning to its end"
)]
async fn wechatpy_works_with_our_tokens_at_the_fake_provider() {
    let fake = FakeProvider::new(Arc::new(SystemClock::default()));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let router = fake.router();
    #[expect(clippy::disallowed_methods, reason = "ends with the test's runtime")]
    tokio::spawn(async move { axum::serve(listener, router).await });
    let (_folder, program) = server().await;
    for (id, path, arguments, keys) in [
        (
            "wechat",
            "/cgi-bin/token",
            [
                ["appid", "$key_1"],
                ["secret", "$key_2"],
                ["grant_type", "client_credential"],
            ]
            .to_vec(),
            [WECHAT_APPID, WECHAT_SECRET],
        ),
        (
            "wecom",
            "/cgi-bin/gettoken",
            [["corpid", "$key_1"], ["corpsecret", "$key_2"]].to_vec(),
            [WECOM_CORPID, WECOM_SECRET],
        ),
    ] {
        let arguments: Vec<_> = arguments
            .iter()
            .map(|[name, value]| json!({"name": name, "place": "url", "value": value}))
            .collect();
        let config = json!({"url": format!("{base}{path}"), "method": "GET", "arguments": arguments,
            "token_path": "access_token", "content_type": "json", "expires_in_path": "expires_in"});
        program
            .post("/api/realm", &json!({"id": id, "config": config}))
            .await;
        program
            .post(
                "/api/secret",
                &json!({"realm": id, "key": "app", "key_1": keys[0], "key_2": keys[1]}),
            )
            .await;
    }
    let (_, ours) = program.get("/api/token?realm=wechat&key=app").await;
    let token = ours["token"].as_str().unwrap();
    let Some(addresses) = python("wechatpy_api_call.py", &[&base, token]) else {
        return;
    };
    assert_eq!(addresses, json!(["127.0.0.1"]));
    assert_eq!(fake.calls(Api::Wechat), 1);

    let own = python(
        "wechatpy_itself.py",
        &[
            &base,
            WECHAT_APPID,
            WECHAT_SECRET,
            WECOM_CORPID,
            WECOM_SECRET,
        ],
    )
    .unwrap();
    assert_eq!(
        (&own["official_account"], &own["wecom"]["userid"]),
        (&json!(["127.0.0.1"]), &json!("someone"))
    );

    let (_, wecom) = program.get("/api/token?realm=wecom&key=app").await;
    let user = get(&format!(
        "{base}/cgi-bin/user/get?userid=a&access_token={}",
        wecom["token"].as_str().unwrap()
    ))
    .await;
    assert_eq!(user["errcode"], 0, "{user}");
    let (_, flushed) = program
        .get("/api/token?realm=wecom&key=app&flush=true")
        .await;
    assert_eq!(
        flushed["token"], wecom["token"],
        "the same token while it is valid"
    );
    assert!(
        flushed["expires_at"].as_i64() <= wecom["expires_at"].as_i64(),
        "its life does not grow"
    );
}

/// A function realm served by a separate small program.
#[tokio::test(flavor = "multi_thread")]
async fn a_function_program_is_given_the_secret() {
    let function = Peer::function();
    let (_folder, program) = server().await;
    program
        .post(
            "/api/realm",
            &json!({"id": "r", "logic_code": function.url}),
        )
        .await;
    let secret =
        json!({"realm": "r", "key": "k", "key_2": "right", "credentials": {"region": "eu"}});
    program.post("/api/secret", &secret).await;
    let (status, answer) = program.token().await;
    assert_eq!(
        (status, &answer["token"]),
        (200, &json!("function-r-k-eu-1")),
        "{answer}"
    );
    assert!((100_000..=120_000).contains(&answer["expires_in"].as_i64().unwrap()));
    assert_eq!(program.token().await.1["source"], "memory");
    program
        .post(
            "/api/secret",
            &json!({"realm": "r", "key": "k", "key_2": "mistyped"}),
        )
        .await;
    let (status, problem) = program.token().await;
    assert_eq!(
        (status, &problem["provider_code"]),
        (502, &json!("wrong_credential")),
        "{problem}"
    );
}
