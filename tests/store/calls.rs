//! The log of calls, the ledger that quotas are counted in, and what is due.

use token_server::secret::SecretId;
use token_server::store::{
    CallFilter, CallOutcome, CallRow, Commit, DueToken, DueWindow, Page, Usage, UsageOf,
};

use crate::databases::Instances;
use crate::rows::{ALL, at, commit};

crate::on_every_store!(
    a_call_reads_back_with_its_outcome,
    calls_are_listed_latest_first_and_filtered,
    usage_counts_a_window_of_a_secret_or_a_realm,
    what_a_caller_forced_is_counted_apart,
    only_calls_of_its_scopes_are_listed,
    old_calls_are_removed_in_batches,
    due_tokens_are_paged_soonest_first,
    only_what_was_asked_for_is_due,
);

pub(crate) fn call(number: i64, key: &str, at_ms: i64) -> CallRow {
    CallRow {
        id: format!("id-{number:03}"),
        at: at(at_ms),
        secret: SecretId::new("r", key),
        cause: "miss".to_owned(),
        outcome: CallRow::PENDING.to_owned(),
        provider_code: None,
        provider_message: None,
        duration_ms: None,
        instance: "one".to_owned(),
        caller: None,
    }
}

async fn listed(store: &Instances, filter: &CallFilter, page: Page) -> (Vec<String>, u64) {
    let listed = store.list_calls(filter, page).await.unwrap();
    (
        listed.items.into_iter().map(|row| row.id).collect(),
        listed.total,
    )
}

async fn a_call_reads_back_with_its_outcome(store: Instances) {
    let mut row = call(1, "键", 1000);
    store.insert_call(&row).await.unwrap();
    let outcome = CallOutcome {
        outcome: "upstream_refused".to_owned(),
        provider_code: Some("40164".to_owned()),
        provider_message: Some("invalid ip 'x' [爱]".to_owned()),
        duration_ms: Some(12),
    };
    store.finish_call(&row.id, &outcome).await.unwrap();
    row.outcome = outcome.outcome;
    row.provider_code = outcome.provider_code;
    row.provider_message = outcome.provider_message;
    row.duration_ms = outcome.duration_ms;
    assert_eq!(
        store
            .list_calls(&CallFilter::default(), ALL)
            .await
            .unwrap()
            .items,
        [row]
    );
}

async fn calls_are_listed_latest_first_and_filtered(store: Instances) {
    for (number, key, at_ms) in [
        (1, "a", 1000),
        (2, "b", 3000),
        (3, "a", 2000),
        (4, "a", 3000),
    ] {
        store.insert_call(&call(number, key, at_ms)).await.unwrap();
    }
    let of = |text: &str| Some(text.to_owned());
    let any = CallFilter::default;
    for (filter, ids) in [
        (any(), vec!["id-004", "id-002", "id-003", "id-001"]),
        (
            CallFilter {
                key: of("a"),
                ..any()
            },
            vec!["id-004", "id-003", "id-001"],
        ),
        (
            CallFilter {
                realm: of("R"),
                ..any()
            },
            vec![],
        ),
        (
            CallFilter {
                outcome: of("ok"),
                ..any()
            },
            vec![],
        ),
        (
            CallFilter {
                from: Some(at(2000)),
                to: Some(at(3000)),
                ..any()
            },
            vec!["id-003"],
        ),
    ] {
        let total = ids.len() as u64;
        assert_eq!(
            listed(&store, &filter, ALL).await,
            (ids.into_iter().map(str::to_owned).collect(), total)
        );
    }
    let second = Page {
        offset: 1,
        limit: 2,
    };
    assert_eq!(
        listed(&store, &any(), second).await,
        (vec!["id-002".to_owned(), "id-003".to_owned()], 4)
    );
}

async fn usage_counts_a_window_of_a_secret_or_a_realm(store: Instances) {
    for (number, key, at_ms) in [
        (1, "a", 1000),
        (2, "b", 2000),
        (3, "a", 3000),
        (4, "a", 4000),
    ] {
        store.insert_call(&call(number, key, at_ms)).await.unwrap();
    }
    let withheld = CallOutcome {
        outcome: CallRow::WITHHELD.to_owned(),
        ..CallOutcome::default()
    };
    store.finish_call("id-004", &withheld).await.unwrap();
    let asking = CallRow {
        outcome: CallRow::ASKING.to_owned(),
        ..call(5, "c", 5000)
    };
    store.insert_call(&asking).await.unwrap();
    let usage = |made, oldest: Option<i64>| Usage {
        made,
        count: made,
        oldest_at: oldest.map(at),
    };
    for (key, since, expected) in [
        (None, 0, usage(3, Some(1000))),
        (None, 1000, usage(2, Some(2000))),
        (Some("a"), 0, usage(2, Some(1000))),
        (Some("a"), 1000, usage(1, Some(3000))),
        (Some("A"), 0, usage(0, None)),
    ] {
        assert_eq!(
            store
                .call_usage(UsageOf {
                    key,
                    ..UsageOf::realm("r", at(since), at(5000))
                })
                .await
                .unwrap(),
            expected,
            "{key:?} since {since}"
        );
    }
    assert_eq!(used(&store, "other", 0).await, usage(0, None));
    let with_asking = used(&store, "r", 4999).await;
    assert_eq!(
        with_asking,
        Usage {
            count: 4,
            ..usage(3, Some(1000))
        },
        "what asks counts for a while"
    );
    store.withdraw_call("id-005").await.unwrap();
    assert_eq!(used(&store, "r", 0).await, usage(3, Some(1000)));
}

async fn used(store: &Instances, realm: &str, asking_since: i64) -> Usage {
    let of = UsageOf::realm(realm, at(0), at(asking_since));
    store.call_usage(of).await.unwrap()
}

async fn what_a_caller_forced_is_counted_apart(store: Instances) {
    let forced = |number, cause: &str, caller: &str| CallRow {
        cause: cause.to_owned(),
        caller: Some(caller.to_owned()),
        ..call(number, "k", number)
    };
    for row in [
        call(1, "k", 1),
        forced(2, "flush", "one"),
        forced(3, "report", "one"),
        forced(4, "flush", "two"),
    ] {
        store.insert_call(&row).await.unwrap();
    }
    for (caller, cause, made) in [
        (None, None, 4),
        (Some("one"), None, 2),
        (Some("one"), Some("flush"), 1),
        (None, Some("flush"), 2),
        (Some("three"), None, 0),
    ] {
        let of = UsageOf {
            caller,
            cause,
            ..UsageOf::realm("r", at(0), at(0))
        };
        let usage = store.call_usage(of).await.unwrap();
        assert_eq!(usage.made, made, "{caller:?} {cause:?}");
    }
}

async fn only_calls_of_its_scopes_are_listed(store: Instances) {
    for (number, key) in [(1, "app-1"), (2, "App-1"), (3, "a%p-1"), (4, "other")] {
        store.insert_call(&call(number, key, number)).await.unwrap();
    }
    for (scopes, expected) in [
        (&["r:app-*"][..], &["id-001"][..]),
        (&["r:a%*", "r:ot*er"], &["id-004", "id-003"]),
        (&["r:a_p-1", "R:*", "r:[a]*", "r:?ther"], &[]),
        (&["*:*-1"], &["id-003", "id-002", "id-001"]),
        (&[], &[]),
    ] {
        let filter = CallFilter {
            scopes: crate::scopes(scopes),
            ..CallFilter::default()
        };
        let (ids, total) = listed(&store, &filter, ALL).await;
        assert_eq!(ids, expected, "{scopes:?}");
        assert_eq!(total, expected.len() as u64, "{scopes:?}");
    }
}

async fn old_calls_are_removed_in_batches(store: Instances) {
    for number in 0..7 {
        store
            .insert_call(&call(number, "a", 1000 * number))
            .await
            .unwrap();
    }
    let removed = async || store.delete_calls(at(5000), 3).await.unwrap();
    assert_eq!(
        (removed().await, removed().await, removed().await),
        (3, 2, 0)
    );
    let left = listed(&store, &CallFilter::default(), ALL).await;
    assert_eq!(left, (vec!["id-006".to_owned(), "id-005".to_owned()], 2));
}

async fn committed(store: &Instances, key: &str, due_at: i64, was_asked: bool) -> DueToken {
    let id = SecretId::new("r", key);
    let lease = store
        .claim_lease(&id, "one", at(1), at(9000))
        .await
        .unwrap()
        .unwrap();
    let commit = Commit {
        due_at: Some(at(due_at)),
        was_asked,
        ..commit("t", 1)
    };
    assert!(store.commit_token(&lease, &commit).await.unwrap());
    DueToken {
        id,
        due_at: at(due_at),
    }
}

fn window(by: i64, asked_since: i64) -> DueWindow {
    DueWindow {
        by: at(by),
        asked_since: at(asked_since),
        grants_by: at(0),
    }
}

async fn due_tokens_are_paged_soonest_first(store: Instances) {
    let mut expected = Vec::new();
    for (key, due_at) in [
        ("e", 5000),
        ("c", 6000),
        ("d", 6000),
        ("b", 6000),
        ("a", 6001),
    ] {
        expected.push(committed(&store, key, due_at, true).await);
    }
    expected.sort_by(|one, other| (one.due_at, &one.id).cmp(&(other.due_at, &other.id)));
    let (mut found, mut after): (Vec<DueToken>, Option<DueToken>) = (Vec::new(), None);
    loop {
        let page = store
            .list_due(&window(6001, 0), after.as_ref(), 2)
            .await
            .unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.clone());
        found.extend(page);
    }
    assert_eq!(found, expected);
    assert_eq!(
        store.list_due(&window(6000, 0), None, 10).await.unwrap(),
        expected[..4]
    );
}

async fn only_what_was_asked_for_is_due(store: Instances) {
    let asked = committed(&store, "asked", 5000, true).await;
    let by_itself = committed(&store, "by itself", 5001, false).await;
    assert_eq!(
        store.list_due(&window(9000, 2000), None, 10).await.unwrap(),
        std::slice::from_ref(&asked),
        "committed at 2000"
    );
    assert_eq!(
        store.list_due(&window(9000, 2001), None, 10).await.unwrap(),
        []
    );
    store.note_asked(&by_itself.id, at(3000)).await.unwrap();
    assert_eq!(
        store.list_due(&window(9000, 2000), None, 10).await.unwrap(),
        [asked, by_itself]
    );
}
