//! Plans, without a database.

use serde_json::json;

use super::*;
use crate::import::legacy::{LegacyRealm, LegacySecret};
use crate::import::report::Kind;
use crate::secret::{FixedToken, SecretContent, SecretId};
use crate::store::{RealmRow, SecretRow, StoredToken, TokenRow};
use crate::token::{Life, TokenText};

const NOW: Timestamp = Timestamp::from_epoch_ms(1_800_000_000_000);
const RULES: Rules<'static> = Rules {
    now: NOW,
    overwrite: false,
    switched: false,
    confirm_hosts: &[],
    lending: &BTreeSet::new(),
};
const OVERWRITE: Rules<'static> = Rules {
    overwrite: true,
    ..RULES
};

type Change = fn(&mut Present);

/// So many seconds from now.
fn at(seconds: i64) -> Timestamp {
    Timestamp::from_epoch_ms(NOW.epoch_ms() + seconds * 1000)
}

fn wechat() -> String {
    json!({"url": "https://api.weixin.qq.com/cgi-bin/token", "method": "GET",
        "arguments": [{"name": "appid", "place": "url", "value": "$key_1"}],
        "token_path": "access_token", "content_type": "json", "expires_in_path": "expires_in"})
    .to_string()
}

fn edited(seconds: i64) -> LegacyStamps {
    LegacyStamps {
        created_at: Some(at(-1_000_000)),
        updated_at: Some(at(seconds)),
    }
}

fn realm(id: &str, config: Option<String>) -> LegacyRealm {
    LegacyRealm {
        id: id.to_owned(),
        config,
        stamps: edited(-5000),
        ..LegacyRealm::default()
    }
}

fn secret(realm: &str, key: &str) -> LegacySecret {
    LegacySecret {
        id: SecretId::new(realm, key),
        credentials: [("key_1", "wx1"), ("key_2", "hush")].into_iter().collect(),
        token: None,
        expires_at: None,
        stamps: edited(-4000),
    }
}

fn with_token(secret: LegacySecret, token: &str, expires_at: Option<Timestamp>) -> LegacySecret {
    LegacySecret {
        token: Some(TokenText::from(token)),
        expires_at,
        ..secret
    }
}

fn legacy(realms: Vec<LegacyRealm>, secrets: Vec<LegacySecret>) -> Legacy {
    Legacy { realms, secrets }
}

/// One realm with one secret that has a live token.
fn one_of_each() -> Legacy {
    let secret = with_token(secret("wxgzh", "app"), "t1", Some(at(5000)));
    legacy(vec![realm("wxgzh", Some(wechat()))], vec![secret])
}

/// What is here after an import into `present`.
fn after(planned: &Planned, mut present: Present) -> Present {
    for (row, _) in &planned.import.realms {
        present.realms.retain(|other| other.id != row.id);
        present.realms.push(row.clone());
    }
    for (row, _) in &planned.import.secrets {
        present.secrets.retain(|other| other.id != row.id);
        present.secrets.push(row.clone());
    }
    for imported in &planned.import.tokens {
        present.tokens.retain(|other| other.id != imported.id);
        present.tokens.push(TokenRow {
            id: imported.id.clone(),
            version: imported.replaces.unwrap_or_default().0 + 1,
            token: Some(imported.token.clone()),
            due_at: imported.due_at,
            lease_epoch: imported.replaces.unwrap_or_default().1 + 1,
            ..TokenRow::blank(&imported.id)
        });
    }
    present
}

fn imported(legacy: &Legacy) -> Present {
    after(&plan(legacy, Present::default(), RULES), Present::default())
}

/// `kind outcome: note` of each line.
fn told(planned: &Planned) -> Vec<String> {
    let lines = planned.lines.iter().map(|line| {
        let note = line
            .note
            .as_deref()
            .map(|note| format!(": {note}"))
            .unwrap_or_default();
        format!("{:?} {:?}{note}", line.kind, line.outcome)
    });
    lines.collect()
}

fn is_empty(import: &Import) -> bool {
    import.realms.is_empty()
        && import.secrets.is_empty()
        && import.tokens.is_empty()
        && import.needed_realms.is_empty()
}

fn edit_realm(present: &mut Present, edit: impl FnOnce(&mut RealmRow)) {
    let row = &mut present.realms[0];
    (row.updated_at, row.changed_at, row.revision) = (at(-10), at(-10), row.revision + 1);
    edit(row);
}

fn edit_secret(present: &mut Present, edit: impl FnOnce(&mut SecretRow)) {
    let row = &mut present.secrets[0];
    (row.updated_at, row.changed_at, row.revision) = (at(-10), at(-10), row.revision + 1);
    (row.version, row.content) = (row.version + 1, SecretContent::default());
    edit(row);
}

#[test]
fn everything_is_taken_into_an_empty_store_once() {
    let legacy = one_of_each();
    let first = plan(&legacy, Present::default(), RULES);
    assert_eq!(told(&first), ["Realm Taken", "Secret Taken", "Token Taken"]);
    let (realm, replaces) = &first.import.realms[0];
    assert_eq!((realm.version, realm.revision, *replaces), (1, 1, None));
    assert_eq!((realm.updated_at, realm.changed_at), (at(-5000), NOW));
    assert_eq!(
        first.import.tokens[0].token.life,
        Life {
            obtained_at: NOW,
            expires_at: Some(at(5000))
        }
    );
    assert!(
        first.import.tokens[0]
            .due_at
            .is_some_and(|due| due > at(4700) && due < at(5000))
    );
    let second = plan(&legacy, after(&first, Present::default()), RULES);
    assert_eq!(
        told(&second),
        ["Realm Unchanged", "Secret Unchanged", "Token Unchanged"]
    );
    assert!(is_empty(&second.import));
}

#[test]
fn at_the_switch_what_has_a_live_token_here_counts_as_asked_for() {
    let switched = Rules {
        switched: true,
        ..RULES
    };
    let mut there = one_of_each();
    there.secrets.push(secret("wxgzh", "none"));
    there
        .secrets
        .push(with_token(secret("wxgzh", "dead"), "t2", Some(at(-1))));
    let asked = |present: Present, rules: Rules| plan(&there, present, rules).import.asked;
    let live = [SecretId::new("wxgzh", "app")];
    assert_eq!(asked(Present::default(), RULES), []);
    assert_eq!(asked(Present::default(), switched), live);
    // Those that an import before brought, too.
    assert_eq!(asked(imported(&there), RULES), []);
    assert_eq!(asked(imported(&there), switched), live);
    // Not one that has expired on both sides: it is fetched when somebody asks.
    let later = Rules {
        now: at(6000),
        ..switched
    };
    assert_eq!(asked(imported(&there), later), []);
    // One that was edited here is asked for here from now on as well.
    let mut edited = imported(&there);
    edit_secret(&mut edited, |_| {});
    assert_eq!(asked(edited, switched), live);
}

/// Realms of the inherited service, and what the report says of each.
fn realms_there() -> Vec<(LegacyRealm, &'static str)> {
    let function = |code: &str| LegacyRealm {
        logic_code: Some(code.to_owned()),
        ..realm("r", None)
    };
    let comment = |text: &str| LegacyRealm {
        comment: Some(text.to_owned()),
        ..realm("r", None)
    };
    let config = |text: &str| realm("r", Some(text.to_owned()));
    vec![
        (config(&wechat()), "Realm Taken"),
        (config("null"), "Realm Taken"),
        (config("{}"), "Realm Taken"),
        (function("https://fn.example.com/token"), "Realm Taken"),
        (comment("微信公众号\n"), "Realm Taken"),
        (
            comment("a\u{0}b"),
            "Realm Taken: control characters of its comment, or its end, were cut",
        ),
        (realm(&"x".repeat(50), None), "Realm Taken"),
        (
            realm(&"x".repeat(51), None),
            "Realm Left: /id: must not be longer than 50 characters",
        ),
        (
            realm("r ", None),
            "Realm Left: /id: must not begin or end with blanks",
        ),
        (
            function("return 1"),
            "Realm Left: /logic_code: expected an http or https URL: relative URL without a base",
        ),
        (
            function("https://x/\u{0}"),
            "Realm Left: /logic_code: must not have control characters",
        ),
        (
            config("{\"url\":"),
            "Realm Left: /config: is not JSON: EOF while parsing a value at line 1 column 7",
        ),
        (
            config("[]"),
            "Realm Left: /config: expected an object, found an array",
        ),
        (
            config(r#"{"url": "x", "method": "PUT"}"#),
            "Realm Left: /config/url: expected an http or https URL: relative URL without a base; /config/method: \
             expected one of: GET, POST; /config/token_path: required: a string",
        ),
    ]
}

#[test]
fn realms_are_taken_in_each_mode_and_left_with_what_is_wrong() {
    for (there, expected) in realms_there() {
        let planned = plan(
            &legacy(vec![there.clone()], Vec::new()),
            Present::default(),
            RULES,
        );
        assert_eq!(told(&planned), [expected], "{there:?}");
        assert_eq!(
            planned.import.realms.len(),
            usize::from(expected.starts_with("Realm Taken"))
        );
    }
}

/// What is here, when it was edited there, and what follows: without and with `--overwrite`.
fn writers() -> Vec<(Option<Here>, i64, Decision, Decision)> {
    let imported = Here {
        updated_at: at(-5000),
        changed_at: at(-100),
        is_deleted: false,
        is_same: false,
    };
    let edited_here = Here {
        updated_at: at(-100),
        ..imported
    };
    let same = Here {
        is_same: true,
        ..edited_here
    };
    let deleted = Here {
        is_deleted: true,
        ..edited_here
    };
    let left = |reason| Decision::Leave(reason);
    let (taken, updated) = (
        Decision::Write(Outcome::Taken),
        Decision::Write(Outcome::Updated),
    );
    vec![
        (None, -5000, taken, taken),
        (Some(imported), -5000, updated, updated),
        (Some(imported), -50, updated, updated),
        (
            Some(imported),
            -6000,
            left("it is newer here (--overwrite replaces it)"),
            updated,
        ),
        (
            Some(edited_here),
            -5000,
            left("it was edited here (--overwrite replaces it)"),
            updated,
        ),
        (
            Some(edited_here),
            -50,
            left("it was edited here (--overwrite replaces it)"),
            updated,
        ),
        (Some(same), -50, Decision::Keep, Decision::Keep),
        (
            Some(deleted),
            -50,
            left("it was deleted here (--overwrite takes it again)"),
            taken,
        ),
    ]
}

#[test]
fn who_wrote_last_decides_and_not_only_the_clocks() {
    for (here, there, expected, overwriting) in writers() {
        assert_eq!(
            decide(here, edited(there), RULES),
            expected,
            "{here:?} {there}"
        );
        assert_eq!(
            decide(here, edited(there), OVERWRITE),
            overwriting,
            "{here:?} {there}"
        );
    }
}

#[test]
fn imported_rows_never_look_edited_here() {
    let latest = Timestamp::from_epoch_ms(NOW.epoch_ms() - 1);
    let there = |created_at, updated_at| LegacyStamps {
        created_at,
        updated_at,
    };
    for (there, expected) in [
        (there(Some(at(-9)), Some(at(-5))), (at(-9), at(-5))),
        (there(Some(at(-9)), None), (at(-9), at(-9))),
        (there(None, Some(at(-5))), (at(-5), at(-5))),
        (there(None, None), (latest, latest)),
        (there(Some(at(-9)), Some(at(28_800))), (at(-9), latest)),
        (there(Some(at(28_800)), Some(NOW)), (latest, latest)),
    ] {
        assert_eq!(stamps(there, NOW), expected, "{there:?}");
    }
}

#[test]
fn versions_move_only_with_what_is_fetched() {
    let present = imported(&one_of_each());
    let mut comment = one_of_each();
    comment.realms[0].comment = Some("公众号".to_owned());
    let planned = plan(&comment, present, RULES);
    assert_eq!(
        told(&planned),
        ["Realm Updated", "Secret Unchanged", "Token Unchanged"]
    );
    assert_eq!(
        (
            planned.import.realms[0].0.version,
            planned.import.realms[0].1
        ),
        (1, Some(1))
    );

    let mut path = one_of_each();
    path.realms[0].config = Some(wechat().replace("access_token", "token"));
    let planned = plan(&path, imported(&one_of_each()), RULES);
    assert_eq!(
        told(&planned),
        [
            "Realm Updated",
            "Secret Unchanged",
            "Token Left: it was fetched with the definition before"
        ]
    );
    assert_eq!(planned.import.realms[0].0.version, 2);
    path.secrets[0].token = Some(TokenText::from("t2"));
    let planned = plan(&path, imported(&one_of_each()), RULES);
    assert_eq!(told(&planned)[2], "Token Taken");
    assert_eq!(planned.import.tokens[0].token.realm_version, 2);
    assert_eq!(planned.import.tokens[0].replaces, Some((1, 1)));

    let mut key = one_of_each();
    key.secrets[0].credentials.set("key_2", "new");
    let planned = plan(&key, imported(&one_of_each()), RULES);
    let left = "Token Left: it was fetched with the credentials before";
    assert_eq!(told(&planned), ["Realm Unchanged", "Secret Updated", left]);
    // Also when the import runs once more, with the credentials here already.
    let again = plan(&key, after(&planned, imported(&one_of_each())), RULES);
    assert_eq!(told(&again), ["Realm Unchanged", "Secret Unchanged", left]);
    key.secrets[0].token = Some(TokenText::from("t2"));
    let planned = plan(&key, imported(&one_of_each()), RULES);
    assert_eq!(told(&planned)[2], "Token Taken");
    let (row, revision) = &planned.import.secrets[0];
    assert_eq!((row.version, row.revision, *revision), (2, 2, Some(1)));
    assert_eq!(planned.import.tokens[0].token.secret_version, 2);
    assert_eq!(planned.import.needed_realms, [("wxgzh".to_owned(), 1)]);
}

#[test]
fn members_in_another_order_are_the_same_config() {
    let mut reordered = one_of_each();
    let mut config: serde_json::Map<_, _> = serde_json::from_str(&wechat()).unwrap();
    let url = config.shift_remove("url").unwrap();
    config.insert("url".to_owned(), url);
    reordered.realms[0].config = Some(serde_json::to_string_pretty(&config).unwrap());
    assert!(is_empty(
        &plan(&reordered, imported(&one_of_each()), RULES).import
    ));
}

#[test]
fn what_was_edited_or_deleted_here_stays_unless_overwritten() {
    let edit = |present: &mut Present| {
        edit_realm(present, |row| row.comment = Some("ours".to_owned()));
        edit_secret(present, |_| {});
    };
    let delete = |present: &mut Present| {
        edit_realm(present, |row| {
            (row.config, row.version, row.deleted_at) = (None, 2, Some(at(-10)));
        });
        edit_secret(present, |row| row.deleted_at = Some(at(-10)));
        // Deleting takes the token along.
        present.tokens[0].token = None;
    };
    let cases = [
        (
            edit as Change,
            [
                "Realm Left: it was edited here (--overwrite replaces it)",
                "Secret Left: it was edited here (--overwrite replaces it)",
                "Token Left: its secret was left",
            ],
            [
                "Realm Updated",
                "Secret Updated",
                "Token Left: it was fetched with the credentials before",
            ],
        ),
        (
            delete as Change,
            [
                "Realm Left: it was deleted here (--overwrite takes it again)",
                "Secret Left: its realm was left, and is not here",
                "Token Left: its secret was left",
            ],
            ["Realm Taken", "Secret Taken", "Token Taken"],
        ),
    ];
    for (change, left, overwritten) in cases {
        let there = one_of_each();
        let present = || {
            let mut present = imported(&there);
            change(&mut present);
            present
        };
        let planned = plan(&there, present(), RULES);
        assert_eq!(told(&planned), left);
        assert!(is_empty(&planned.import));
        let planned = plan(&there, present(), OVERWRITE);
        assert_eq!(told(&planned), overwritten);
        assert_eq!(planned.import.secrets[0].0.version, 3);
        assert_eq!(planned.import.secrets[0].0.deleted_at, None);
        assert!(planned.import.realms[0].0.config.is_some());
    }
}

#[test]
fn secrets_are_left_with_a_reason() {
    let realms = || vec![realm("r", None), realm("broken", Some("[]".to_owned()))];
    let large = LegacySecret {
        credentials: [("key_1", "x".repeat(64 * 1024 + 1))].into_iter().collect(),
        ..secret("r", "k")
    };
    let masked = LegacySecret {
        credentials: [("key_1", "wx1"), ("key_2", "******")]
            .into_iter()
            .collect(),
        ..secret("r", "k")
    };
    for (there, expected) in [
        (secret("r", "钥匙"), "Secret Taken"),
        (
            secret("broken", "k"),
            "Secret Left: its realm was left, and is not here",
        ),
        (secret("none", "k"), "Secret Left: its realm does not exist"),
        (
            secret("R", "k"),
            "Secret Left: its realm does not exist: there is r, and names are compared exactly here",
        ),
        (
            secret("r", "k "),
            "Secret Left: /key: must not begin or end with blanks",
        ),
        (
            secret("r", &"k".repeat(201)),
            "Secret Left: /key: must not be longer than 200 characters",
        ),
        (
            large,
            "Secret Left: /key_1: must not be larger than 65536 bytes",
        ),
        (
            masked,
            "Secret Taken: asterisks are no credential: key_2 counts as absent",
        ),
    ] {
        let planned = plan(&legacy(realms(), vec![there]), Present::default(), RULES);
        assert_eq!(told(&planned)[2], expected);
        assert_eq!(
            planned.import.secrets.len(),
            usize::from(expected.starts_with("Secret Taken"))
        );
    }
}

#[test]
fn rows_with_one_name_are_taken_once() {
    let secret = with_token(secret("r", "k"), "t", Some(at(100)));
    let twice = legacy(
        vec![realm("r", None), realm("r", Some(wechat()))],
        vec![secret.clone(), secret],
    );
    let planned = plan(&twice, Present::default(), RULES);
    assert_eq!(
        told(&planned),
        [
            "Realm Taken",
            "Realm Left: another row has the same id",
            "Secret Taken",
            "Secret Left: another row has the same realm and key",
            "Token Taken: as the operator's token",
            "Token Left: its secret was left",
        ]
    );
}

/// The way out for a realm that does not check: write it here, and import again.
#[test]
fn secrets_of_a_realm_that_was_mended_here_are_taken_without_their_tokens() {
    let mut there = one_of_each();
    let mut present = imported(&there);
    edit_realm(&mut present, |_| {});
    present.secrets.clear();
    present.tokens.clear();
    there.realms[0].config = Some(json!({"url": "nowhere"}).to_string());
    let planned = plan(&there, present, RULES);
    assert_eq!(
        told(&planned)[1..],
        [
            "Secret Taken",
            "Token Left: it was fetched with another definition than its realm has here"
        ]
    );
    assert_eq!(planned.import.needed_realms, [("wxgzh".to_owned(), 2)]);
}

#[test]
fn only_tokens_that_live_on_are_taken() {
    for (expires_at, expected) in [
        (Some(at(11)), "Token Taken"),
        (Some(at(9)), "Token Left: it expires in less than 10s"),
        (Some(at(0)), "Token Left: it has expired"),
        (None, "Token Left: its expiry is not known"),
    ] {
        for fixed in [false, true] {
            let config = (!fixed).then(wechat);
            let secret = with_token(secret("r", "k"), "t", expires_at);
            let planned = plan(
                &legacy(vec![realm("r", config)], vec![secret]),
                Present::default(),
                RULES,
            );
            let note = if fixed && expected == "Token Taken" {
                ": as the operator's token"
            } else {
                ""
            };
            assert_eq!(told(&planned)[2], format!("{expected}{note}"));
            assert_eq!(
                planned.import.tokens.len(),
                usize::from(!fixed && expected == "Token Taken")
            );
        }
    }
}

#[test]
fn an_expiry_that_no_token_has_is_left_and_a_far_one_is_noted() {
    let years = |count: i64| count * 366 * 86_400;
    let ms = |ms: i64| Some(Timestamp::from_epoch_ms(ms));
    let left = |number: &str, guess: &str| {
        format!(
            "Token Left: its expires_at {number} is more than 100 years from now, read as milliseconds since \
             1970{guess}"
        )
    };
    for (expires_at, expected) in [
        (Some(at(years(20))), "Token Taken".to_owned()),
        (
            Some(at(years(31))),
            "Token Taken: it is taken to live 31 years: is its expires_at 2780294400000 right?"
                .to_owned(),
        ),
        (
            Some(at(years(100))),
            "Token Taken: it is taken to live 100 years: is its expires_at 4962240000000 right?"
                .to_owned(),
        ),
        (Some(at(years(100) + 1)), left("4962240001000", "")),
        (
            ms(NOW.epoch_ms() * 1000),
            left("1800000000000000", ": is it in microseconds?"),
        ),
        (
            ms(NOW.epoch_ms() * 1_000_000),
            left("1800000000000000000", ": is it in nanoseconds?"),
        ),
        (ms(i64::MAX), left("9223372036854775807", "")),
    ] {
        for config in [Some(wechat()), None] {
            let is_fixed = config.is_none();
            let secret = with_token(secret("r", "k"), "t", expires_at);
            let there = legacy(vec![realm("r", config)], vec![secret]);
            let planned = plan(&there, Present::default(), RULES);
            let told = told(&planned)[2].replace(": as the operator's token; ", ": ");
            assert_eq!(told.replace(": as the operator's token", ""), expected);
            let fixed = planned.import.secrets[0].0.content.fixed.as_ref();
            let is_taken = expected.starts_with("Token Taken");
            assert_eq!(fixed.is_some(), is_fixed && is_taken, "{expected}");
            assert_eq!(
                planned.import.tokens.len(),
                usize::from(!is_fixed && is_taken)
            );
        }
    }
}

#[test]
fn of_two_tokens_the_later_one_stays() {
    let there = one_of_each();
    let held = |text: &str, seconds: Option<i64>, secret_version| StoredToken {
        text: TokenText::from(text),
        life: Life {
            obtained_at: at(-100),
            expires_at: seconds.map(at),
        },
        realm_version: 1,
        secret_version,
        outputs: crate::token::Outputs::default(),
    };
    for (ours, lease_until, expected) in [
        (None, -1, "Token Taken"),
        (
            None,
            1,
            "Token Left: a new one is being fetched here at this moment",
        ),
        (Some(held("t1", Some(1), 1)), 1, "Token Unchanged"),
        (Some(held("t0", Some(4999), 1)), -1, "Token Updated"),
        (
            Some(held("t0", Some(5000), 1)),
            -1,
            "Token Left: the token here lasts longer",
        ),
        (
            Some(held("t0", None, 1)),
            -1,
            "Token Left: the token here lasts longer",
        ),
        (Some(held("t0", Some(9999), 0)), -1, "Token Taken"),
        (
            Some(held("t1", Some(9999), 0)),
            -1,
            "Token Left: it was fetched with the credentials before",
        ),
    ] {
        let mut present = imported(&there);
        let row = &mut present.tokens[0];
        (row.version, row.lease_epoch) = (7, 9);
        (row.token, row.lease_until) = (ours, at(lease_until));
        let planned = plan(&there, present, RULES);
        assert_eq!(told(&planned)[2], expected);
        if let Some(imported) = planned.import.tokens.first() {
            assert_eq!(imported.replaces, Some((7, 9)));
        }
    }
}

#[test]
fn a_live_token_of_a_fixed_realm_becomes_the_operators_and_stays_when_it_has_expired() {
    let there = |token: &str, expires_at| {
        let secret = with_token(secret("r", "k"), token, Some(expires_at));
        legacy(vec![realm("r", None)], vec![secret])
    };
    let first = plan(&there("t1", at(5000)), Present::default(), RULES);
    let fixed = FixedToken {
        token: TokenText::from("t1"),
        expires_at: Some(at(5000)),
    };
    assert_eq!(
        first.import.secrets[0].0.content.fixed.as_ref(),
        Some(&fixed)
    );

    let present = || after(&first, Present::default());
    let later = Rules {
        now: at(6000),
        ..RULES
    };
    let planned = plan(&there("t1", at(5000)), present(), later);
    assert_eq!(
        told(&planned)[1..],
        ["Secret Unchanged", "Token Left: it has expired"]
    );

    let planned = plan(&there("t2", at(9000)), present(), later);
    assert_eq!(
        told(&planned)[1..],
        ["Secret Updated", "Token Updated: as the operator's token"]
    );
    assert_eq!(planned.import.secrets[0].0.version, 2);
}

#[test]
fn no_line_holds_a_credential_or_a_token() {
    let large = LegacySecret {
        credentials: [("key_1", "hush".repeat(20_000))].into_iter().collect(),
        ..secret("wxgzh", "large")
    };
    let mut there = one_of_each();
    there
        .secrets
        .push(with_token(large, "hush-token", Some(at(5000))));
    there
        .secrets
        .push(with_token(secret("wxgzh", "b"), "hush-token", Some(at(-1))));
    let planned = plan(&there, Present::default(), RULES);
    assert!(
        planned
            .lines
            .iter()
            .any(|line| line.kind == Kind::Token && line.outcome == Outcome::Left)
    );
    assert!(!format!("{:?}", planned.lines).contains("hush"));
}

/// The realm as it is there, but asking another host.
fn moved() -> Legacy {
    let config = wechat().replace("api.weixin.qq.com", "wx.evil.example");
    legacy(vec![realm("wxgzh", Some(config))], Vec::new())
}

const NOT_CONFIRMED: &str = "Realm Left: its hosts are not confirmed: https://api.weixin.qq.com \u{2192} \
    https://wx.evil.example; --confirm-host HOST takes it";

#[test]
fn a_realm_whose_secrets_would_go_to_another_host_is_left_until_it_is_confirmed() {
    let confirmed = ["other.example", "wx.evil.example"].map(str::to_owned);
    let (alone, both) = (&confirmed[..1], &confirmed[..]);
    for rules in [RULES, OVERWRITE] {
        for (confirm_hosts, expected) in [
            (&[][..], NOT_CONFIRMED),
            (alone, NOT_CONFIRMED),
            (both, "Realm Updated"),
        ] {
            let mut there = moved();
            there.realms[0].stamps = edited(-100);
            let rules = Rules {
                confirm_hosts,
                ..rules
            };
            let planned = plan(&there, imported(&one_of_each()), rules);
            assert_eq!(told(&planned), [expected]);
            let is_left = expected == NOT_CONFIRMED;
            assert_eq!(planned.import.realms.is_empty(), is_left);
        }
    }
}

#[test]
fn without_secrets_a_realm_may_ask_another_host_unless_others_depend_on_it() {
    let mut present = imported(&one_of_each());
    present.secrets[0].deleted_at = Some(at(-10));
    let lent = BTreeSet::from(["wxgzh".to_owned()]);
    let none = BTreeSet::new();
    for (lending, expected) in [(&none, "Realm Updated"), (&lent, NOT_CONFIRMED)] {
        let present = Present {
            realms: present.realms.clone(),
            secrets: present.secrets.clone(),
            tokens: Vec::new(),
        };
        let rules = Rules {
            lending,
            ..OVERWRITE
        };
        assert_eq!(told(&plan(&moved(), present, rules)), [expected]);
    }
}

#[test]
fn a_realm_that_uses_tokens_of_others_is_left_with_another_host_even_without_secrets() {
    let ticket = |host: &str| {
        let config = json!({"depends_on": {"base": {"realm": "wxgzh", "key": "app"}}, "token": "$.t",
            "requests": [{"url": format!("https://{host}/"), "query": {"t": "{{ tokens.base }}"}}],
            "expires": {"path": "$.e"}});
        legacy(vec![realm("ticket", Some(config.to_string()))], Vec::new())
    };
    let confirmed = Rules {
        confirm_hosts: &["t.example".to_owned()],
        ..RULES
    };
    let first = plan(&ticket("t.example"), Present::default(), confirmed);
    let present = after(&first, Present::default());
    let planned = plan(&ticket("evil.example"), present, OVERWRITE);
    assert_eq!(
        told(&planned),
        [
            "Realm Left: its hosts are not confirmed: https://t.example \u{2192} https://evil.example; --confirm-host HOST takes it"
        ]
    );
}

#[test]
fn a_realm_that_begins_to_use_tokens_of_others_is_left_until_its_hosts_are_confirmed() {
    let config = json!({"depends_on": {"base": {"realm": "wxgzh", "key": "app"}},
        "requests": [{"url": "https://t.example/", "query": {"t": "{{ tokens.base }}"}}], "token": "$.t",
        "expires": {"path": "$.e"}})
    .to_string();
    let there = legacy(vec![realm("ticket", Some(config))], Vec::new());
    let confirmed = ["t.example".to_owned()];
    for (confirm_hosts, expected) in [
        (
            &[][..],
            "Realm Left: its hosts are not confirmed: none \u{2192} https://t.example; --confirm-host HOST takes it",
        ),
        (&confirmed[..], "Realm Taken"),
    ] {
        let rules = Rules {
            confirm_hosts,
            ..RULES
        };
        let planned = plan(&there, imported(&one_of_each()), rules);
        assert_eq!(told(&planned), [expected]);
    }
}
