use axum::body::{Body, to_bytes};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, Request, StatusCode};
use tower::ServiceExt as _;

use super::*;
use crate::clock::ManualClock;

const WECHAT: &str =
    "/cgi-bin/token?grant_type=client_credential&appid=wx-demo-appid&secret=demo-wechat-secret";
const WECOM: &str = "/cgi-bin/gettoken?corpid=ww-demo-corp&corpsecret=demo-wecom-secret";
const FORM: &str = "application/x-www-form-urlencoded";
/// `demo-client:demo-client-secret`
const BASIC: &str = "Basic ZGVtby1jbGllbnQ6ZGVtby1jbGllbnQtc2VjcmV0";

type Header = (&'static str, &'static str);

struct Rig {
    clock: Arc<ManualClock>,
    provider: FakeProvider,
}

impl Rig {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::at(Timestamp::from_epoch_ms(1_795_343_400_000)));
        Self {
            provider: FakeProvider::new(clock.clone()),
            clock,
        }
    }

    fn pass_seconds(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    async fn send(&self, request: Request<Body>) -> (StatusCode, HeaderMap, Value) {
        let (parts, body) = self
            .provider
            .router()
            .oneshot(request)
            .await
            .unwrap()
            .into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        (
            parts.status,
            parts.headers,
            serde_json::from_slice(&body).unwrap(),
        )
    }

    async fn get(&self, path: &str) -> Value {
        let (status, _, body) = self
            .send(Request::get(path).body(Body::empty()).unwrap())
            .await;
        assert_eq!(status, StatusCode::OK, "{path}");
        body
    }

    /// The `errcode` of a path, 0 when there is none.
    async fn errcode(&self, path: &str) -> i64 {
        self.get(path).await["errcode"].as_i64().unwrap_or(0)
    }

    /// What the token of an answer is good for.
    async fn try_out(&self, path: &str, answer: &Value) -> i64 {
        self.errcode(&format!(
            "{path}?userid=ada&access_token={}",
            answer["access_token"].as_str().unwrap()
        ))
        .await
    }

    async fn post(&self, headers: &[(&str, &str)], body: &str) -> (StatusCode, HeaderMap, Value) {
        let mut request = Request::post("/oauth2/token");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::from(body.to_owned())).unwrap())
            .await
    }

    async fn userinfo(&self, token: &str) -> (StatusCode, HeaderMap, Value) {
        let request = Request::get("/oauth2/userinfo").header(AUTHORIZATION, token);
        self.send(request.body(Body::empty()).unwrap()).await
    }
}

#[tokio::test]
async fn a_new_wechat_token_retires_the_one_before_after_the_grace() {
    let (rig, ip) = (Rig::new(), "/cgi-bin/getcallbackip");
    let first = rig.get(WECHAT).await;
    let second = rig.get(WECHAT).await;
    assert_ne!(first["access_token"], second["access_token"]);
    assert_eq!(first["expires_in"], 7200);
    rig.pass_seconds(299);
    assert_eq!(rig.try_out(ip, &first).await, 0);
    rig.pass_seconds(1);
    assert_eq!(rig.try_out(ip, &first).await, 40001);
    assert_eq!(rig.try_out(ip, &second).await, 0);
    rig.pass_seconds(6900);
    assert_eq!(rig.try_out(ip, &second).await, 42001);
}

#[tokio::test]
async fn a_third_wechat_token_kills_the_first_at_once() {
    let (rig, ip) = (Rig::new(), "/cgi-bin/get_api_domain_ip");
    let [first, second, third] = [
        rig.get(WECHAT).await,
        rig.get(WECHAT).await,
        rig.get(WECHAT).await,
    ];
    assert_eq!(rig.try_out(ip, &first).await, 40001);
    assert_eq!(rig.try_out(ip, &second).await, 0);
    assert_eq!(rig.try_out(ip, &third).await, 0);
}

#[tokio::test]
async fn the_grace_does_not_outlast_the_life_of_the_token() {
    let (rig, ip) = (Rig::new(), "/cgi-bin/get_api_domain_ip");
    let first = rig.get(WECHAT).await;
    rig.pass_seconds(7199);
    rig.get(WECHAT).await;
    assert_eq!(rig.try_out(ip, &first).await, 0);
    rig.pass_seconds(1);
    assert_eq!(rig.try_out(ip, &first).await, 42001);
}

#[tokio::test]
async fn wecom_gives_the_same_token_with_what_is_left_of_it() {
    let (rig, user) = (Rig::new(), "/cgi-bin/user/get");
    let first = rig.get(WECOM).await;
    assert_eq!(first["expires_in"], 7200);
    rig.pass_seconds(7000);
    let again = rig.get(WECOM).await;
    assert_eq!(again["access_token"], first["access_token"]);
    assert_eq!(again["expires_in"], 200);
    rig.pass_seconds(200);
    assert_eq!(rig.try_out(user, &first).await, 42001);
    let second = rig.get(WECOM).await;
    assert_ne!(second["access_token"], first["access_token"]);
    assert_eq!(second["expires_in"], 7200);
    assert_eq!(rig.try_out(user, &first).await, 42001);
    assert_eq!(rig.try_out(user, &second).await, 0);
}

#[tokio::test]
async fn a_wecom_token_is_never_given_with_no_second_left() {
    let (rig, user) = (Rig::new(), "/cgi-bin/user/get");
    let first = rig.get(WECOM).await;
    rig.clock.advance(Duration::from_millis(7_199_001));
    let second = rig.get(WECOM).await;
    assert_ne!(second["access_token"], first["access_token"]);
    assert_eq!(rig.try_out(user, &first).await, 0);
}

#[tokio::test]
async fn the_shared_path_asks_the_api_that_made_the_token() {
    let (rig, ip) = (Rig::new(), "/cgi-bin/get_api_domain_ip");
    let wechat = rig.get(WECHAT).await;
    let wecom = rig.get(WECOM).await;
    assert_eq!(rig.try_out(ip, &wechat).await, 0);
    assert_eq!(rig.try_out(ip, &wecom).await, 0);
    assert_eq!(rig.try_out("/cgi-bin/user/get", &wechat).await, 40014);
    assert_eq!(
        rig.errcode(&format!("{ip}?access_token=wecom-made-up"))
            .await,
        40014
    );
}

#[tokio::test]
async fn wechat_and_wecom_refuse_with_their_codes() {
    let rig = Rig::new();
    let refused = [
        ("/cgi-bin/token", 41002),
        (
            "/cgi-bin/token?grant_type=client_credential&appid=wx-demo-appid",
            41004,
        ),
        (
            "/cgi-bin/token?grant_type=other&appid=wx-demo-appid&secret=demo-wechat-secret",
            40002,
        ),
        (
            "/cgi-bin/token?grant_type=client_credential&appid=other&secret=demo-wechat-secret",
            40013,
        ),
        (
            "/cgi-bin/token?grant_type=client_credential&appid=wx-demo-appid&secret=other",
            40125,
        ),
        ("/cgi-bin/getcallbackip", 41001),
        ("/cgi-bin/getcallbackip?access_token=other", 40001),
        ("/cgi-bin/gettoken", 41004),
        ("/cgi-bin/gettoken?corpsecret=demo-wecom-secret", 41002),
        (
            "/cgi-bin/gettoken?corpid=other&corpsecret=demo-wecom-secret",
            40013,
        ),
        (
            "/cgi-bin/gettoken?corpid=ww-demo-corp&corpsecret=other",
            40001,
        ),
        ("/cgi-bin/user/get?userid=ada", 41001),
    ];
    for (path, errcode) in refused {
        assert_eq!(rig.errcode(path).await, errcode, "{path}");
    }
    let token = rig.get(WECOM).await["access_token"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(
        rig.errcode(&format!("/cgi-bin/user/get?access_token={token}"))
            .await,
        41009
    );
}

#[tokio::test]
async fn oauth2_takes_the_secret_in_the_body_or_the_header() {
    let rig = Rig::new();
    let in_form =
        "grant_type=client_credentials&client_id=demo-client&client_secret=demo-client-secret";
    let in_json = json!({"grant_type": "client_credentials", "client_id": OAUTH2_CLIENT_ID,
        "client_secret": OAUTH2_CLIENT_SECRET});
    let answers = [
        rig.post(&[("content-type", FORM)], in_form).await,
        rig.post(
            &[("content-type", "application/json; charset=utf-8")],
            &in_json.to_string(),
        )
        .await,
        rig.post(
            &[("content-type", FORM), ("authorization", BASIC)],
            "grant_type=client_credentials",
        )
        .await,
    ];
    for (status, headers, body) in &answers {
        assert_eq!(*status, StatusCode::OK);
        assert_eq!(headers["cache-control"], "no-store");
        assert_eq!(
            (&body["token_type"], &body["expires_in"]),
            (&json!("Bearer"), &json!(300))
        );
        let token = body["access_token"].as_str().unwrap();
        assert_eq!(
            rig.userinfo(&format!("Bearer {token}")).await.0,
            StatusCode::OK
        );
    }
    assert_ne!(answers[0].2["access_token"], answers[1].2["access_token"]);
    rig.pass_seconds(300);
    let token = answers[0].2["access_token"].as_str().unwrap();
    let (status, headers, _) = rig.userinfo(&format!("Bearer {token}")).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert_eq!(
        headers[WWW_AUTHENTICATE],
        "Bearer realm=\"demo\", error=\"invalid_token\""
    );
}

const TWICE: &str =
    "grant_type=client_credentials&client_id=demo-client&client_secret=demo-client-secret";
const REFUSED: [(&[Header], &str, u16, &str); 8] = [
    (
        &[("content-type", FORM)],
        "grant_type=client_credentials",
        401,
        "invalid_client",
    ),
    (
        &[("content-type", FORM), ("authorization", "Basic YTpi")],
        "grant_type=client_credentials",
        401,
        "invalid_client",
    ),
    (
        &[("content-type", FORM), ("authorization", BASIC)],
        "grant_type=x",
        400,
        "unsupported_grant_type",
    ),
    (
        &[("content-type", FORM), ("authorization", BASIC)],
        "",
        400,
        "invalid_request",
    ),
    (
        &[("content-type", FORM), ("authorization", BASIC)],
        TWICE,
        400,
        "invalid_request",
    ),
    (
        &[("content-type", FORM)],
        "grant_type=a&grant_type=b",
        400,
        "invalid_request",
    ),
    (
        &[("content-type", "application/json")],
        "[]",
        400,
        "invalid_request",
    ),
    (&[], "grant_type=client_credentials", 400, "invalid_request"),
];

#[tokio::test]
async fn oauth2_refuses_as_the_rfc_says() {
    let rig = Rig::new();
    for (headers, body, status, error) in REFUSED {
        let answer = rig.post(headers, body).await;
        assert_eq!(
            (answer.0.as_u16(), answer.2["error"].as_str().unwrap()),
            (status, error),
            "{body}"
        );
        assert_eq!(
            answer.1.contains_key(WWW_AUTHENTICATE),
            status == 401,
            "{body}"
        );
    }
    let (status, headers, _) = rig.userinfo("Basic abc").await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert_eq!(headers[WWW_AUTHENTICATE], "Bearer realm=\"demo\"");
}

#[tokio::test]
async fn token_calls_are_counted_also_the_refused_ones() {
    let rig = Rig::new();
    rig.get(WECHAT).await;
    rig.get("/cgi-bin/token").await;
    let token = rig.get(WECOM).await;
    rig.try_out("/cgi-bin/user/get", &token).await;
    rig.post(&[(CONTENT_TYPE.as_str(), FORM)], "").await;
    assert_eq!(
        rig.get("/calls").await,
        json!({"wechat": 2, "wecom": 1, "oauth2": 1})
    );
    assert_eq!(
        [Api::Wechat, Api::Wecom, Api::Oauth2].map(|api| rig.provider.calls(api)),
        [2, 1, 1]
    );
}
