//! Whatever is written into a definition, a value or an answer: it is refused or judged, it never
//! panics, and it ends.

mod anything;

use std::sync::mpsc::channel;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use token_server::realm::{Definition, RawResponse};
use token_server::secret::Credentials;

use anything::{any_preset, changed, changes, expression, json, put, response, template};

use crate::example::{facts, responses};
use crate::refusals::good;

/// How long all cases of a test may take on a slow machine; they take a few seconds.
const PATIENCE: Duration = Duration::from_mins(5);

/// Tries so many cases in a thread of its own, so that one that does not end is a failure too.
fn try_all<S: Strategy>(
    cases: u32,
    strategy: impl FnOnce() -> S + Send + 'static,
    test: impl Fn(S::Value) + Send + 'static,
) {
    let (send, done) = channel();
    std::thread::spawn(move || {
        let config = ProptestConfig {
            cases,
            failure_persistence: None,
            ..ProptestConfig::default()
        };
        let outcome = TestRunner::new(config).run(&strategy(), |case| {
            test(case);
            Ok(())
        });
        // Nobody listens any more when it took too long.
        let _ = send.send(outcome.map_err(|failure| failure.to_string()));
    });
    let outcome = done
        .recv_timeout(PATIENCE)
        .unwrap_or_else(|_| panic!("does not end, or panicked itself"));
    assert_eq!(outcome, Ok(()));
}

/// Reads a definition; what is refused has places and reasons, what is accepted is gone through.
fn read_and_run(
    config: &Value,
    example: &Value,
    inputs: Option<Credentials>,
    responses: &[RawResponse],
) {
    let definition = match Definition::read(Some(config), None) {
        Ok(definition) => definition,
        Err(issues) => {
            assert!(!issues.is_empty());
            for issue in issues {
                assert!(
                    issue.pointer.starts_with("/config") && !issue.detail.is_empty(),
                    "{issue:?}"
                );
            }
            return;
        }
    };
    let Some(recipe) = definition.recipe() else {
        return;
    };
    let mut facts = facts(example);
    if let Some(inputs) = inputs {
        facts.inputs = inputs;
    }
    for show_secrets in [true, false] {
        let rehearsal = recipe.rehearse(facts.clone(), responses.to_vec(), show_secrets);
        let report = rehearsal.report(show_secrets);
        assert!(
            report["token"].is_null() || report["error"].is_null(),
            "{report}"
        );
        assert_ne!(report["token"], "", "{report}");
    }
    let _ = (
        definition.warnings(),
        definition.references(),
        definition.policy(),
    );
}

#[test]
fn any_template_is_refused_or_worked_out() {
    let strategy = || {
        (
            prop_oneof![1 => template(), 3 => expression()],
            any::<bool>(),
            template(),
        )
    };
    try_all(2000, strategy, |(template, in_var, value)| {
        let mut config = good();
        let place = if in_var {
            "/vars/base"
        } else {
            "/requests/0/form/sign"
        };
        put(&mut config, place, template.into());
        let example = json!({"inputs": {"appid": value, "secret": "s.e.c", "grant": "g"}});
        read_and_run(
            &config,
            &example,
            None,
            &[RawResponse::json(200, &json!({"access_token": "t"}))],
        );
    });
}

#[test]
fn any_changed_preset_is_refused_or_gone_through() {
    let strategy = || (any_preset(), changes(), changes());
    try_all(600, strategy, |(preset, changes, answer_changes)| {
        let example = &preset.examples[0];
        let config = changed(&preset.config, &changes);
        read_and_run(&config, example, None, &responses(example));
        let mut example = example.clone();
        for step in example["exchange"].as_array_mut().unwrap() {
            step["answer"]["body"] = changed(&step["answer"]["body"], &answer_changes);
        }
        read_and_run(&preset.config, &example, None, &responses(&example));
        read_and_run(&config, &example, None, &responses(&example));
    });
}

#[test]
fn any_definition_at_all_is_refused_or_gone_through() {
    let strategy = || (json(), response());
    try_all(600, strategy, |(config, response)| {
        if !config.is_null() {
            read_and_run(
                &config,
                &json!({"inputs": {"appid": "a"}}),
                None,
                &vec![response; 3],
            );
        }
    });
}

#[test]
fn any_answer_is_judged() {
    let strategy = || (any_preset(), prop::collection::vec(response(), 0..4));
    try_all(600, strategy, |(preset, responses)| {
        read_and_run(&preset.config, &preset.examples[0], None, &responses);
    });
}

#[test]
fn any_value_is_sent_or_refused() {
    let strategy = || {
        let value = prop_oneof![
            any::<String>(),
            template(),
            any::<i64>().prop_map(|number| number.to_string())
        ];
        (any_preset(), prop::collection::vec(value, 1..6))
    };
    try_all(600, strategy, |(preset, values)| {
        let example = &preset.examples[0];
        let given = facts(example).inputs;
        let mut values = values.iter().cycle();
        let inputs = given
            .iter()
            .map(|(name, _)| (name.to_owned(), values.next().unwrap().clone()))
            .collect();
        read_and_run(&preset.config, example, Some(inputs), &responses(example));
    });
}
