//! Where providers differ from what their fields seem to say: one test a trap, with the providers
//! that set it.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use token_server::realm::catalog::preset;
use token_server::realm::{Definition, Reissue};

use crate::example::rehearsed;
use crate::jwt::Jwt;
use crate::providers::provider;

/// 2025-10-09T08:53:20Z, when all of them are asked.
const NOW: i64 = 1_760_000_000;
const HOUR_MS: i64 = 3_600_000;

/// A provider with a recorded exchange, whose last answer can be another.
struct Asked {
    definition: Definition,
    example: Value,
}

impl Asked {
    /// A preset, with its first example.
    fn preset(id: &str) -> Self {
        let preset = preset(id).unwrap();
        Self::new(&preset.config, &preset.examples[0])
    }

    /// One of the 224 providers.
    fn listed(id: &str) -> Self {
        let provider = provider(id);
        let exchange = provider["answers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|answer| json!({"answer": answer}));
        let mut example = provider.clone();
        example["exchange"] = exchange.collect();
        Self::new(&provider["config"], &example)
    }

    /// A provider that is neither: client id and secret, and where its token is.
    fn inline(request: &Value, expires: &Value, answer: &Value) -> Self {
        let config = json!({"inputs": {"id": {"secret": false}, "secret": {}}, "requests": [request],
            "token": "$.access_token", "expires": expires});
        let inputs = json!({"id": "example-id", "secret": "example-secret"});
        let example =
            json!({"inputs": inputs, "exchange": [{"answer": {"status": 200, "body": answer}}]});
        Self::new(&config, &example)
    }

    fn new(config: &Value, example: &Value) -> Self {
        let mut example = example.clone();
        example["now"] = NOW.into();
        Self {
            definition: Definition::read(Some(config), None).unwrap(),
            example,
        }
    }

    /// With another value somewhere in its example.
    fn with(mut self, pointer: &str, value: Value) -> Self {
        *self
            .example
            .pointer_mut(pointer)
            .unwrap_or_else(|| panic!("nothing at {pointer}")) = value;
        self
    }

    /// With another body in its last answer.
    fn answering(self, body: Value) -> Self {
        let last = self.example["exchange"].as_array().unwrap().len() - 1;
        self.with(&format!("/exchange/{last}/answer/body"), body)
    }

    fn report(&self) -> Value {
        rehearsed(self.definition.recipe().unwrap(), &self.example, true).report(true)
    }

    /// Milliseconds of the token's life.
    fn life(&self) -> i64 {
        let report = self.report();
        report["expires_in"]
            .as_i64()
            .unwrap_or_else(|| panic!("no token: {report}"))
    }

    fn token(&self) -> String {
        let report = self.report();
        report["token"]
            .as_str()
            .unwrap_or_else(|| panic!("no token: {report}"))
            .to_owned()
    }

    fn class(&self) -> String {
        let report = self.report();
        report["error"]["class"]
            .as_str()
            .unwrap_or_else(|| panic!("no error: {report}"))
            .to_owned()
    }
}

#[test]
fn a_field_named_like_a_duration_holds_an_instant() {
    let at = NOW + 3600;
    for asked in [Asked::preset("coze-jwt"), Asked::listed("coze-jwt")] {
        assert_eq!(
            asked
                .answering(json!({"access_token": "t", "expires_in": at}))
                .life(),
            HOUR_MS
        );
    }
    for asked in [Asked::preset("tiktok-shop"), Asked::listed("tiktok-shop")] {
        let body = json!({"code": 0, "data": {"access_token": "t", "access_token_expire_in": at}});
        assert_eq!(asked.answering(body).life(), HOUR_MS);
    }
}

#[test]
fn a_field_named_like_an_instant_holds_a_duration() {
    for asked in [Asked::preset("tuya"), Asked::listed("tuya")] {
        let body = json!({"success": true, "result": {"access_token": "t", "expire_time": 3600}});
        assert_eq!(asked.answering(body).life(), HOUR_MS);
    }
}

#[test]
fn lives_are_told_in_milliseconds_minutes_and_days_hours_minutes() {
    for asked in [Asked::preset("fiserv"), Asked::listed("fiserv")] {
        assert_eq!(
            asked
                .answering(json!({"access_token": "t", "expires_in": HOUR_MS}))
                .life(),
            HOUR_MS
        );
    }
    let matrix = Asked::listed("matrix-login")
        .answering(json!({"access_token": "t", "expires_in_ms": HOUR_MS}));
    assert_eq!(matrix.life(), HOUR_MS);
    for asked in [
        Asked::preset("sap-business-one"),
        Asked::listed("sap-business-one"),
    ] {
        assert_eq!(
            asked.answering(json!({"SessionTimeout": 60})).life(),
            HOUR_MS
        );
    }
    for asked in [Asked::preset("tableau-pat"), Asked::listed("tableau-pat")] {
        let body = json!({"credentials": {"token": "t", "estimatedTimeToExpiration": "177:05:38", "site": {"id": "s"}}});
        assert_eq!(
            asked.answering(body).life(),
            ((177 * 24 + 5) * 60 + 38) * 60_000
        );
    }
}

#[test]
fn numbers_are_told_as_strings() {
    let trustpilot = Asked::inline(
        &json!({"method": "POST", "form": {"grant_type": "client_credentials"},
            "url": "https://api.trustpilot.com/v1/oauth/oauth-business-users-for-applications/accesstoken",
            "headers": {"Authorization": "Basic {{ (id ~ ':' ~ secret) | base64 }}"}}),
        &json!({"path": "$.expires_in"}),
        &json!({"access_token": "t", "expires_in": "359999"}),
    );
    assert_eq!(trustpilot.life(), 359_999_000);
    for id in ["ups", "qq-bot"] {
        for asked in [Asked::preset(id), Asked::listed(id)] {
            assert_eq!(
                asked
                    .answering(json!({"access_token": "t", "expires_in": "3600"}))
                    .life(),
                HOUR_MS,
                "{id}"
            );
        }
    }
}

#[test]
fn the_code_of_success_is_not_zero() {
    for (id, place, success, refusal) in [
        (
            "kuaishou-mini-program",
            "result",
            json!(1),
            json!(100_200_100),
        ),
        ("doudian-self", "code", json!(10000), json!(50002)),
        (
            "sf-express",
            "apiResultCode",
            json!("A1000"),
            json!("A1001"),
        ),
        ("ezviz", "code", json!("200"), json!("10017")),
        ("huawei-welink", "code", json!("0"), json!("41500")),
        ("shopee", "error", json!(""), json!("error_auth")),
    ] {
        let with_code = |code: &Value| {
            Asked::preset(id).with(&format!("/exchange/0/answer/body/{place}"), code.clone())
        };
        assert!(!with_code(&success).token().is_empty(), "{id}");
        // The token is still in the answer: the code alone refuses.
        let refused = with_code(&refusal).report();
        assert_eq!(refused["token"], Value::Null, "{id}");
        assert_ne!(refused["error"]["class"], Value::Null, "{id}");
    }
    // Where it is not 0 that succeeds, 0 does not.
    let zero =
        Asked::preset("kuaishou-mini-program").with("/exchange/0/answer/body/result", json!(0));
    assert_eq!(zero.report()["token"], Value::Null);
}

#[test]
fn of_two_candidates_for_one_fact_the_right_one_is_taken() {
    for asked in [
        Asked::preset("vault-approle"),
        Asked::listed("vault-approle"),
    ] {
        let body = json!({"lease_duration": 0, "auth": {"client_token": "t", "accessor": "a", "lease_duration": 3600}});
        assert_eq!(asked.answering(body).life(), HOUR_MS);
    }
    let docker = |body: Value| Asked::preset("docker-registry").answering(body);
    assert_eq!(
        docker(json!({"token": "t", "access_token": "u", "expires_in": 300})).token(),
        "t"
    );
    assert_eq!(
        docker(json!({"access_token": "u", "expires_in": 300})).token(),
        "u"
    );
    assert_eq!(
        docker(json!({"token": "", "access_token": "u"})).life(),
        60_000
    );
}

#[test]
fn what_is_left_is_told_and_not_the_life() {
    for (id, token, life) in [
        ("wechat-stable-token", "access_token", "expires_in"),
        ("paypal", "access_token", "expires_in"),
        ("feishu-tenant", "tenant_access_token", "expire"),
    ] {
        // The same token twice, half an hour apart.
        let (first, again) = (
            json!({token: "t", life: 7200}),
            json!({token: "t", life: 5400}),
        );
        let asked = Asked::preset(id).answering(first);
        let later = Asked::preset(id)
            .with("/now", json!(NOW + 1800))
            .answering(again);
        assert_eq!((asked.life(), later.life()), (7_200_000, 5_400_000), "{id}");
        // So asking again gains nothing before the window in which a new one is given.
        let reissue = asked.definition.policy().reissue;
        assert!(
            matches!(reissue, Reissue::Same { extends: false, .. }),
            "{id}: {reissue:?}"
        );
    }
    let listed = Asked::listed("feishu-tenant-token")
        .answering(json!({"tenant_access_token": "t", "expire": 60}));
    assert_eq!(listed.life(), 60_000);
}

#[test]
fn a_jwt_expires_in_milliseconds_or_not_at_all() {
    for asked in [Asked::preset("zhipu-jwt"), Asked::listed("zhipu-jwt")] {
        let claims = &Jwt::all_in(&asked.token())[0].claims;
        assert_eq!(
            (&claims["exp"], &claims["timestamp"]),
            (&json!(1_760_003_600_000_i64), &json!(1_760_000_000_000_i64))
        );
        assert_eq!(asked.life(), HOUR_MS);
    }
    for asked in [Asked::preset("apns"), Asked::listed("apns")] {
        let claims = Jwt::all_in(&asked.token())[0].claims.clone();
        assert_eq!(
            (&claims["iat"], &claims["exp"]),
            (&json!(NOW), &Value::Null)
        );
        assert_eq!(asked.life(), 50 * 60_000);
    }
    // A token of a provider's, read for its own exp.
    let jwt = |claims: Value| format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims.to_string()));
    let expires = json!({"jwt_exp": true, "default": "10m"});
    for (claims, life) in [
        (json!({"exp": NOW + 3600}), HOUR_MS),
        (json!({"exp": (NOW + 3600) * 1000}), HOUR_MS),
        (json!({"iat": NOW}), 600_000),
    ] {
        let request = json!({"url": "https://login.example/token", "form": {"id": "{{ id }}"}});
        let asked = Asked::inline(
            &request,
            &expires,
            &json!({"access_token": jwt(claims.clone())}),
        );
        assert_eq!(asked.life(), life, "{claims}");
    }
}

#[test]
fn a_body_goes_with_get_and_a_post_carries_all_in_its_query() {
    let request = Asked::preset("xiaoetong").report()["requests"][0].clone();
    assert_eq!(request["method"], "GET");
    assert_eq!(request["headers"]["content-type"], "application/json");
    assert!(!request["url"].as_str().unwrap().contains('?'));
    let body: Value = serde_json::from_str(request["body"].as_str().unwrap()).unwrap();
    assert!(body["secret_key"].is_string(), "{body}");

    let heap = Asked::inline(
        &json!({"method": "POST", "url": "https://heapanalytics.com/api/token",
            "query": {"client_id": "{{ id }}", "client_secret": "{{ secret }}"}}),
        &json!({"lifetime": 3600}),
        &json!({"access_token": "t"}),
    );
    for asked in [heap, Asked::preset("baidu-aip")] {
        let request = asked.report()["requests"][0].clone();
        assert_eq!(
            (&request["method"], &request["body"]),
            (&json!("POST"), &Value::Null)
        );
        assert!(
            request["url"]
                .as_str()
                .unwrap()
                .contains("&client_secret=example-secret"),
            "{request}"
        );
        assert_eq!(request["headers"]["content-type"], Value::Null);
    }
}

#[test]
fn other_statuses_than_200_are_success() {
    for id in ["github-app-installation", "openstack-keystone"] {
        for asked in [Asked::preset(id), Asked::listed(id)] {
            let last = asked.example["exchange"].as_array().unwrap().len() - 1;
            let status = format!("/exchange/{last}/answer/status");
            assert_eq!(asked.example.pointer(&status), Some(&json!(201)));
            assert_eq!(asked.life(), HOUR_MS, "{id}");
            assert_eq!(asked.with(&status, json!(302)).class(), "malformed", "{id}");
        }
    }
    // 204 has no body; the token is in a header.
    let keystone =
        Asked::preset("openstack-keystone").with("/exchange/0/answer/status", json!(204));
    assert!(!keystone.answering(Value::Null).token().is_empty());
}

#[test]
fn credentials_are_sent_with_a_literal_in_them() {
    let aliyun = Asked::preset("aliyun-nls");
    let request = aliyun.report()["requests"][0].clone();
    let url = url::Url::parse(request["url"].as_str().unwrap()).unwrap();
    let (signed, signature) = url.query().unwrap().rsplit_once("&Signature=").unwrap();
    let key = aliyun.example["inputs"]["access_key_secret"]
        .as_str()
        .unwrap();
    let key = aws_lc_rs::hmac::Key::new(
        aws_lc_rs::hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        format!("{key}&").as_bytes(),
    );
    let to_sign = format!("POST&%2F&{}", percent(signed));
    let wanted = STANDARD.encode(aws_lc_rs::hmac::sign(&key, to_sign.as_bytes()).as_ref());
    assert_eq!(signature, percent(&wanted));

    let heymarket = Asked::listed("heymarket");
    let token = heymarket.token();
    assert!(Jwt::all_in(&token)[0].is_signed(b"example-api-secret-id||example-api-secret-key"));

    for stripe in [Asked::preset("stripe-app"), Asked::listed("stripe-app")] {
        let headers = stripe.report()["requests"][0]["headers"].clone();
        let wanted = format!("Basic {}", STANDARD.encode("example-secret-key:"));
        assert_eq!(headers["Authorization"], wanted);
    }
}

fn percent(text: &str) -> String {
    let text: String = url::form_urlencoded::byte_serialize(text.as_bytes()).collect();
    text.replace('+', "%20")
        .replace("%7E", "~")
        .replace('*', "%2A")
}

#[test]
fn an_answer_need_not_be_a_json_object() {
    for asked in [
        Asked::preset("vcenter-session"),
        Asked::listed("vcenter-session"),
    ] {
        assert_eq!(asked.answering(json!("\"session-1\"")).token(), "session-1");
    }
    assert_eq!(
        Asked::listed("jobdiva")
            .answering(json!("text-token\n"))
            .token(),
        "text-token"
    );
    for asked in [
        Asked::preset("qq-connect"),
        Asked::listed("qq-connect-refresh"),
    ] {
        let form = "access_token=a%2Bb&expires_in=3600&refresh_token=r%20s";
        let asked = asked.answering(form.into());
        assert_eq!((asked.token().as_str(), asked.life()), ("a+b", HOUR_MS));
        assert_eq!(asked.report()["save"]["refresh_token"], "r s");
    }
    let xiaomi = Asked::preset("xiaomi-account");
    let body = r#"{"access_token": "t", "expires_in": 3600, "refresh_token": "r"}"#;
    assert_eq!(
        xiaomi
            .answering(format!("&&&START&&&{body}").into())
            .token(),
        "t"
    );
    assert_eq!(
        Asked::preset("xiaomi-account")
            .answering(body.into())
            .token(),
        "t"
    );
    assert_eq!(
        Asked::preset("xiaomi-account")
            .answering("&&&STOP&&&{}".into())
            .class(),
        "malformed"
    );
}
