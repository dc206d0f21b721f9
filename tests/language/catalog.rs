//! Every shipped preset: that it is whole, and that its recorded exchanges come out as recorded.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use token_server::realm::Origin;
use token_server::realm::catalog::{Localised, Preset, presets, unreadable};

use crate::example::{definition, facts, rehearsed, responses};
use crate::jwt::Jwt;

/// How the presets of Chinese providers begin.
const CHINESE: [&str; 47] = [
    "123pan",
    "alibaba-",
    "aliyun-",
    "baidu-",
    "bilibili-",
    "cnlive",
    "coze-",
    "dingtalk-",
    "doudian-",
    "douyin-",
    "easemob",
    "eleme",
    "esign",
    "ezviz",
    "feishu-",
    "fxiaoke",
    "getui",
    "gitcode",
    "honor-",
    "huawei-",
    "iflytek-",
    "jd",
    "jpush",
    "kingdee-",
    "kuaishou-",
    "kujiale",
    "kwai-",
    "meituan-",
    "oceanengine",
    "onenet",
    "oppo-",
    "pinduoduo",
    "qiniu-",
    "qq-",
    "sf-express",
    "tencent",
    "tuya",
    "unionpay-",
    "vivo-",
    "wechat-",
    "wecom-",
    "weimob",
    "wps365",
    "xiaoetong",
    "xiaohongshu-",
    "youzan",
    "zhipu-",
];

/// What a name says that must not be shown.
const SECRET_WORDS: [&str; 7] = [
    "secret",
    "password",
    "private_key",
    "client_key",
    "token",
    "ticket",
    "api_key",
];
/// Names of public ids that sound otherwise.
const IDS: [(&str, &str); 6] = [
    ("baidu-aip", "api_key"),
    ("douyin-client-token", "client_key"),
    ("douyin-user", "client_key"),
    ("iflytek-ws-url", "api_key"),
    ("tencentcloud-sts", "secret_id"),
    ("twilio-access-token", "api_key_sid"),
];

fn assert_none(wrong: &[String]) {
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What is wrong with any preset.
fn each(check: impl Fn(&Preset) -> Vec<String>) -> Vec<String> {
    let told = |preset: &Preset| {
        check(preset)
            .into_iter()
            .map(|line| format!("{}: {line}", preset.id))
            .collect()
    };
    presets()
        .iter()
        .flat_map(|preset| -> Vec<String> { told(preset) })
        .collect()
}

#[test]
fn every_file_is_a_preset_and_named_after_it() {
    assert_none(&unreadable());
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("catalog");
    let names = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut files: Vec<_> = names
        .filter_map(|name| name.strip_suffix(".json").map(str::to_owned))
        .collect();
    files.sort();
    let mut ids: Vec<_> = presets().iter().map(|preset| preset.id.clone()).collect();
    ids.sort();
    assert_eq!(ids, files);
}

#[test]
fn the_catalog_has_eighty_presets_and_forty_chinese_ones() {
    let is_chinese = |preset: &&Preset| {
        CHINESE
            .iter()
            .any(|beginning| preset.id.starts_with(beginning))
    };
    let (all, chinese) = (presets().len(), presets().iter().filter(is_chinese).count());
    assert!(
        all >= 80 && chinese >= 40,
        "{all} presets, {chinese} Chinese"
    );
    for beginning in CHINESE {
        assert!(
            presets()
                .iter()
                .any(|preset| preset.id.starts_with(beginning)),
            "{beginning} begins none"
        );
    }
}

#[test]
fn every_preset_says_what_it_is_in_two_languages_and_where_that_was_read() {
    assert_none(&each(|preset| {
        let is_whole = |text: &Localised| !text.en.trim().is_empty() && !text.zh.trim().is_empty();
        let mut wrong = Vec::new();
        if !is_whole(&preset.title) || preset.notes.as_ref().is_some_and(|notes| !is_whole(notes)) {
            wrong.push("title and notes are in English and Chinese".to_owned());
        }
        if !preset.documentation.starts_with("https://")
            && !preset.documentation.starts_with("http://")
        {
            wrong.push("documentation is the address of the vendor's page".to_owned());
        }
        if preset.source.trim().is_empty() {
            wrong.push("it does not say where its facts were read".to_owned());
        }
        wrong
    }));
}

#[test]
fn every_input_has_a_label_in_two_languages() {
    assert_none(&each(|preset| {
        let labels = |name: &str| preset.config["inputs"][name]["label"].clone();
        let is_labelled = |name: &str| {
            ["en", "zh"].iter().all(|language| {
                labels(name)[language]
                    .as_str()
                    .is_some_and(|text| !text.trim().is_empty())
            })
        };
        let inputs = inputs(preset)
            .into_iter()
            .filter(|(name, _)| !is_labelled(name));
        inputs
            .map(|(name, _)| format!("{name} has no label"))
            .collect()
    }));
}

#[test]
fn every_input_that_sounds_like_a_secret_is_one() {
    assert_none(&each(|preset| {
        let sounds_secret = |name: &str| {
            SECRET_WORDS.iter().any(|word| name.contains(word))
                && !IDS.contains(&(preset.id.as_str(), name))
        };
        let shown = inputs(preset)
            .into_iter()
            .filter(|(name, is_secret)| !is_secret && sounds_secret(name));
        shown
            .map(|(name, _)| format!("{name} would be shown"))
            .collect()
    }));
}

/// The names of a preset's inputs, also of those that oauth2 brings along, and whether they are
/// secret.
fn inputs(preset: &Preset) -> Vec<(String, bool)> {
    let definition = definition(preset);
    let recipe = definition.recipe().unwrap();
    let from = [
        Origin::Stored,
        Origin::Pushed,
        Origin::Rotating,
        Origin::File,
    ];
    let inputs = from.into_iter().flat_map(|from| recipe.inputs_from(from));
    inputs
        .map(|input| (input.name.clone(), input.secret))
        .collect()
}

#[test]
fn every_preset_that_calls_something_has_a_good_example_and_a_refusal() {
    assert_none(&each(|preset| {
        let fails = |example: &&Value| !example["error"].is_null();
        let (refusals, good): (Vec<_>, Vec<_>) = preset.examples.iter().partition(fails);
        let calls = definition(preset).recipe().unwrap().calls();
        let mut wrong = Vec::new();
        if good.is_empty() {
            wrong.push("it has no example of a token".to_owned());
        }
        if calls && refusals.is_empty() {
            wrong.push("it has no example of a refusal".to_owned());
        }
        wrong
    }));
}

#[test]
fn every_recorded_exchange_comes_out_as_recorded() {
    assert_none(&each(|preset| {
        let examples = preset.examples.iter().enumerate();
        examples
            .flat_map(|(index, example)| {
                compared(preset, example)
                    .into_iter()
                    .map(move |line| format!("example {index}: {line}"))
            })
            .collect()
    }));
    let exchanges = presets()
        .iter()
        .map(|preset| preset.examples.len())
        .sum::<usize>();
    assert!(exchanges >= 2 * 80, "only {exchanges} exchanges");
}

/// What differs from the record.
fn compared(preset: &Preset, example: &Value) -> Vec<String> {
    let definition = definition(preset);
    let report = rehearsed(definition.recipe().unwrap(), example, true).report(true);
    let mut wrong = wrong_requests(example, &report);
    let mut differ = |what: &str, wanted: &Value, made: &Value| {
        if wanted != made {
            wrong.push(format!(
                "{what}: wanted {wanted}, got {made} ({})",
                report["error"]["detail"]
            ));
        }
    };
    if let Some(error) = example["error"].as_object() {
        differ("token", &Value::Null, &report["token"]);
        for (name, wanted) in error {
            differ(name, &as_text(wanted), &as_text(&report["error"][name]));
        }
        return wrong;
    }
    differ("error", &Value::Null, &report["error"]);
    differ(
        "never_expires",
        &(example["never_expires"] == true).into(),
        &report["never_expires"],
    );
    for name in ["token", "expires_in", "outputs", "save"] {
        if !example[name].is_null() {
            differ(name, &example[name], &report[name]);
        }
    }
    wrong
}

fn as_text(value: &Value) -> Value {
    if value.is_null() || value.is_string() {
        value.clone()
    } else {
        value.to_string().into()
    }
}

fn wrong_requests(example: &Value, report: &Value) -> Vec<String> {
    let exchange: Vec<_> = example["exchange"]
        .as_array()
        .into_iter()
        .flatten()
        .collect();
    let made: Vec<_> = report["requests"].as_array().unwrap().iter().collect();
    let mut wrong = Vec::new();
    if exchange.len() != made.len() {
        wrong.push(format!(
            "{} requests recorded, {} made",
            exchange.len(),
            made.len()
        ));
    }
    for (index, (recorded, made)) in exchange.iter().zip(made).enumerate() {
        for (name, wanted) in recorded["request"].as_object().into_iter().flatten() {
            for (part, wanted, made) in parts(name, wanted, made) {
                if wanted != made {
                    wrong.push(format!(
                        "request {index}, {part}: recorded {wanted}, made {made}"
                    ));
                }
            }
        }
    }
    wrong
}

/// A part of a request as recorded and as made; headers one by one, their names in any case.
fn parts(name: &str, wanted: &Value, made: &Value) -> Vec<(String, Value, Value)> {
    let Some(headers) = wanted.as_object().filter(|_| name == "headers") else {
        let empty_as_none = |value: &Value| {
            if value == "" {
                Value::Null
            } else {
                value.clone()
            }
        };
        return vec![(
            name.to_owned(),
            empty_as_none(wanted),
            empty_as_none(&made[name]),
        )];
    };
    let header = |name: &str| {
        let mut all = made["headers"].as_object().into_iter().flatten();
        all.find(|(other, _)| other.eq_ignore_ascii_case(name))
            .map_or(json!(null), |(_, value)| value.clone())
    };
    headers
        .iter()
        .map(|(name, wanted)| (format!("header {name}"), wanted.clone(), header(name)))
        .collect()
}

fn preset(id: &str) -> &'static Preset {
    presets().iter().find(|preset| preset.id == id).unwrap()
}

/// An exchange shows the next grant; how long that one lives decides when it is used unasked.
#[test]
fn presets_know_how_long_the_grants_that_come_back_live() {
    for (id, days) in [("pinterest", 60), ("shopee", 30), ("feishu-user", 7)] {
        let (preset, mut ends) = (preset(id), None);
        let (definition, facts) = (definition(preset), facts(&preset.examples[0]));
        let now = facts.now;
        let mut run = definition.recipe().unwrap().begin(facts).unwrap();
        for answer in responses(&preset.examples[0]) {
            assert!(run.next_request().unwrap().is_some(), "{id}");
            ends = run.take(answer).unwrap().expires_at;
        }
        let lives = Duration::from_hours(days * 24);
        assert_eq!(ends, Some(now.plus(lives)), "{id}");
    }
}

/// Read on the vendor's page of 2.9.2: no more a day, ten a second.
#[test]
fn vivo_push_may_be_asked_ten_times_a_second() {
    let quotas = definition(preset("vivo-push")).policy().quotas;
    let limits: Vec<_> = quotas
        .iter()
        .map(|quota| (quota.limit, quota.window.per()))
        .collect();
    assert_eq!(limits, [(10, Duration::from_secs(1))]);
}

#[test]
fn the_same_facts_make_the_same_requests() {
    assert_none(&each(|preset| {
        let definition = definition(preset);
        let recipe = definition.recipe().unwrap();
        let made = |example: &Value| {
            without_chance(&json!(rehearsed(recipe, example, true).requests).to_string())
        };
        let changed = preset
            .examples
            .iter()
            .filter(|example| made(example) != made(example));
        changed
            .map(|example| format!("not the same twice: {}", example["inputs"]))
            .collect()
    }));
}

/// Without the signatures that differ each time by their nature.
fn without_chance(requests: &str) -> String {
    let differ = |jwt: &Jwt| jwt.header["alg"] == "PS256" || jwt.header["alg"] == "ES256";
    let jwts = Jwt::all_in(requests).into_iter().filter(differ);
    jwts.fold(requests.to_owned(), |text, jwt| {
        text.replace(&jwt.text, &jwt.unsigned())
    })
}
