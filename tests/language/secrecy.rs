//! Which inputs are secret, and what is said where one is handed out.

use serde_json::{Value, json};
use token_server::realm::Definition;

fn definition(config: &Value) -> Definition {
    Definition::read(Some(config), None).unwrap_or_else(|issues| panic!("{config}: {issues:?}"))
}

#[test]
fn an_input_is_secret_unless_it_says_otherwise() {
    let requests = json!([{"url": "https://a.example/"}]);
    let client = json!({"token_endpoint": "https://a.example/"});
    for (config, name, is_secret) in [
        (json!({"inputs": {"a": {}}}), "a", true),
        (json!({"inputs": {"a": {"secret": false}}}), "a", false),
        (json!({"inputs": {"a": {"secret": true}}}), "a", true),
        (json!({"inputs": {"a": {"from": "file"}}}), "a", true),
        (
            json!({"inputs": {"a": {"from": "file", "secret": false}}}),
            "a",
            false,
        ),
        (json!({"inputs": {"a": {"from": "pushed"}}}), "a", true),
        (json!({"oauth2": client}), "client_id", false),
        (json!({"oauth2": client}), "client_secret", true),
        (
            json!({"oauth2": client, "inputs": {"client_id": {"label": "Id"}, "tenant": {}}}),
            "client_id",
            false,
        ),
        (
            json!({"oauth2": client, "inputs": {"client_id": {}, "tenant": {}}}),
            "tenant",
            true,
        ),
    ] {
        let mut config = config;
        if config.get("oauth2").is_none() {
            config["requests"] = requests.clone();
            config["token"] = "$.t".into();
        }
        let definition = definition(&config);
        let input = definition
            .recipe()
            .and_then(|recipe| {
                use token_server::realm::Origin::{File, Pushed, Rotating, Stored};
                let all = [Stored, Pushed, Rotating, File].into_iter();
                all.flat_map(|from| recipe.inputs_from(from))
                    .find(|input| input.name == name)
                    .cloned()
            })
            .unwrap();
        assert_eq!(input.secret, is_secret, "{config}");
    }
}

#[test]
fn saving_warns_where_a_secret_input_is_handed_out() {
    let cases = [
        ("{{ s }}", true),
        ("Basic {{ (id ~ ':' ~ s) | base64 }}", true),
        ("{{ plain }}", true),
        ("{{ twice | upper }}", true),
        ("{{ in_json }}", true),
        ("{{ id }}", false),
        ("{{ token }}", false),
        ("{{ s | sha256 | hex }}", false),
        ("{{ id | hmac_sha256(s) | hex }}", false),
        ("{{ signed }}", false),
        ("{{ digest }}", false),
    ];
    for (output, warns) in cases {
        let config = json!({
            "inputs": {"id": {"secret": false}, "s": {}},
            "vars": {"plain": "{{ s }}", "twice": "{{ plain | trim }}", "in_json": {"json": {"a": ["{{ s }}"]}},
                "signed": {"jwt": {"alg": "HS256", "key": "s", "claims": {"sub": "{{ id }}"}}}, "digest": "{{ s | sha256 | hex }}"},
            "requests": [{"url": "https://a.example/"}], "token": "$.t", "expires": "never", "outputs": {"o": output}});
        let warnings = definition(&config).warnings();
        let told = warnings
            .iter()
            .any(|warning| warning.starts_with("/config/outputs/o: the secret input s"));
        assert_eq!(told, warns, "{output}: {warnings:?}");
    }
    for (token, warns) in [("var:plain", true), ("var:digest", false)] {
        let config = json!({"inputs": {"s": {}}, "vars": {"plain": "{{ s }}", "digest": "{{ s | sha256 | hex }}"},
            "requests": [], "token": token, "expires": "never"});
        let warnings = definition(&config).warnings();
        assert_eq!(
            warnings
                .iter()
                .any(|warning| warning.starts_with("/config/token: ")),
            warns,
            "{token}: {warnings:?}"
        );
    }
}
