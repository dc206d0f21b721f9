//! Grants: credentials that work once, fenced by their own generation; and inputs that are pushed.

use token_server::secret::{Credentials, SecretId};
use token_server::store::{DueWindow, Grant, Intent, Lease, SecretRow};

use crate::databases::Instances;
use crate::rows::{at, commit, secret};

crate::on_every_store!(
    a_grant_is_spent_by_one_of_many_contenders,
    a_late_holder_stores_the_grant_it_spent,
    a_grant_that_was_not_spent_is_free_again,
    a_grant_of_unknown_state_is_spent_again_by_one,
    retiring_a_token_takes_its_grant_and_fences_whoever_spent_it,
    a_token_whose_grant_ends_is_due_though_nobody_asked,
    outputs_come_back_with_their_token,
    pushed_inputs_are_fenced_and_survive_edits,
);

fn id() -> SecretId {
    SecretId::new("r", "k")
}

async fn lease(store: &Instances) -> Lease {
    store
        .claim_lease(&id(), "one", at(1), at(9000))
        .await
        .unwrap()
        .unwrap()
}

async fn stored(store: &Instances) -> Grant {
    store.find_token(&id()).await.unwrap().unwrap().grant
}

fn intent(name: &str, generation: i64) -> Intent {
    Intent {
        id: name.to_owned(),
        generation,
        at: at(7),
        seed: "seed".to_owned(),
        instance: "one".to_owned(),
    }
}

fn values(text: &str) -> Credentials {
    [("refresh_token", text)].into_iter().collect()
}

fn grant(text: &str, generation: i64) -> Grant {
    Grant {
        generation,
        values: values(text),
        seed: "seed".to_owned(),
        expires_at: Some(at(5000)),
        intent: None,
    }
}

async fn a_grant_is_spent_by_one_of_many_contenders(store: Instances) {
    lease(&store).await;
    let contenders = (0..20).map(|number| {
        let store = store.instance(number);
        async move {
            store
                .begin_spend(&id(), None, &intent(&number.to_string(), 0))
                .await
                .unwrap()
        }
    });
    let won = futures_util::future::join_all(contenders).await;
    assert_eq!(won.into_iter().filter(|won| *won).count(), 1);
    assert!(stored(&store).await.intent.is_some());
}

async fn a_late_holder_stores_the_grant_it_spent(store: Instances) {
    let first = lease(&store).await;
    assert!(
        store
            .begin_spend(&id(), None, &intent("a", 0))
            .await
            .unwrap()
    );
    assert!(store.release_lease(&first, None).await.unwrap());
    let other = store
        .claim_lease(&id(), "two", at(2), at(9000))
        .await
        .unwrap();
    assert!(other.is_some(), "the lease fences the token, not the grant");
    assert!(
        store
            .end_spend(&id(), &intent("a", 0), Some(&grant("r-2", 1)))
            .await
            .unwrap()
    );
    assert_eq!(stored(&store).await, grant("r-2", 1));
    assert!(
        !store
            .end_spend(&id(), &intent("a", 0), Some(&grant("older", 1)))
            .await
            .unwrap()
    );
    assert!(
        !store
            .begin_spend(&id(), None, &intent("b", 0))
            .await
            .unwrap(),
        "that generation is spent"
    );
    assert!(
        store
            .begin_spend(&id(), None, &intent("b", 1))
            .await
            .unwrap()
    );
    assert_eq!(
        stored(&store).await,
        Grant {
            intent: Some(intent("b", 1)),
            ..grant("r-2", 1)
        }
    );
}

async fn a_grant_that_was_not_spent_is_free_again(store: Instances) {
    lease(&store).await;
    assert!(
        store
            .begin_spend(&id(), None, &intent("a", 0))
            .await
            .unwrap()
    );
    assert!(
        !store
            .end_spend(&id(), &intent("other", 0), None)
            .await
            .unwrap()
    );
    assert!(store.end_spend(&id(), &intent("a", 0), None).await.unwrap());
    assert_eq!(stored(&store).await, Grant::default());
}

async fn a_grant_of_unknown_state_is_spent_again_by_one(store: Instances) {
    lease(&store).await;
    assert!(
        store
            .begin_spend(&id(), None, &intent("a", 0))
            .await
            .unwrap()
    );
    assert!(
        !store
            .begin_spend(&id(), None, &intent("b", 0))
            .await
            .unwrap(),
        "its state must be known"
    );
    assert!(
        store
            .begin_spend(&id(), Some(&intent("a", 0)), &intent("b", 0))
            .await
            .unwrap()
    );
    assert!(
        !store
            .begin_spend(&id(), Some(&intent("a", 0)), &intent("c", 0))
            .await
            .unwrap()
    );
    assert!(
        store
            .end_spend(&id(), &intent("a", 0), Some(&grant("first", 1)))
            .await
            .unwrap(),
        "it holds the live one"
    );
    assert!(
        !store
            .end_spend(&id(), &intent("b", 0), Some(&grant("second", 1)))
            .await
            .unwrap()
    );
    assert_eq!(stored(&store).await, grant("first", 1));
}

async fn retiring_a_token_takes_its_grant_and_fences_whoever_spent_it(store: Instances) {
    lease(&store).await;
    assert!(
        store
            .begin_spend(&id(), None, &intent("a", 0))
            .await
            .unwrap()
    );
    store.retire_tokens("r", Some("k"), at(3000)).await.unwrap();
    assert!(
        !store
            .end_spend(&id(), &intent("a", 0), Some(&grant("late", 1)))
            .await
            .unwrap()
    );
    assert_eq!(
        stored(&store).await,
        Grant {
            generation: 1,
            ..Grant::default()
        }
    );
}

async fn a_token_whose_grant_ends_is_due_though_nobody_asked(store: Instances) {
    let held = lease(&store).await;
    assert!(
        store
            .end_spend(&id(), &intent("a", 0), Some(&grant("r-2", 1)))
            .await
            .unwrap()
    );
    let unasked = token_server::store::Commit {
        due_at: Some(at(4000)),
        was_asked: false,
        ..commit("t", 1)
    };
    assert!(store.commit_token(&held, &unasked).await.unwrap());
    let due = async |grants_by: i64| {
        let window = DueWindow {
            by: at(4000),
            asked_since: at(9999),
            grants_by: at(grants_by),
        };
        store.list_due(&window, None, 10).await.unwrap().len()
    };
    assert_eq!((due(4999).await, due(5000).await), (0, 1));
}

async fn outputs_come_back_with_their_token(store: Instances) {
    let held = lease(&store).await;
    let mut first = commit("t-1", 1);
    first.token.outputs = [
        ("url".to_owned(), serde_json::json!("https://x.example")),
        ("n".to_owned(), 7.into()),
    ]
    .into_iter()
    .collect();
    assert!(store.commit_token(&held, &first).await.unwrap());
    assert_eq!(
        store.find_token(&id()).await.unwrap().unwrap().token,
        Some(first.token)
    );
    let held = store
        .claim_lease(&id(), "one", at(1), at(9000))
        .await
        .unwrap()
        .unwrap();
    assert!(store.commit_token(&held, &commit("t-2", 2)).await.unwrap());
    assert_eq!(
        store.find_token(&id()).await.unwrap().unwrap().token,
        Some(commit("t-2", 2).token)
    );
}

async fn pushed_inputs_are_fenced_and_survive_edits(store: Instances) {
    assert!(store.insert_secret(&secret("r", "k")).await.unwrap());
    assert!(
        store
            .update_pushed(&id(), &values("first"), 0, at(2000))
            .await
            .unwrap()
    );
    assert!(
        !store
            .update_pushed(&id(), &values("late"), 0, at(2001))
            .await
            .unwrap()
    );
    let pushed = SecretRow {
        pushed: values("first"),
        pushed_version: 1,
        changed_at: at(2000),
        ..secret("r", "k")
    };
    assert_eq!(
        store.find_secret(&id()).await.unwrap(),
        Some(pushed.clone())
    );
    let edited = SecretRow {
        revision: 2,
        pushed: Credentials::default(),
        pushed_version: 0,
        ..secret("r", "k")
    };
    assert!(store.update_secret(&edited, 1).await.unwrap());
    let expected = SecretRow {
        pushed: values("first"),
        pushed_version: 1,
        ..edited
    };
    assert_eq!(store.find_secret(&id()).await.unwrap(), Some(expected));
    assert_eq!(
        store
            .delete_secrets("r", Some("k"), at(3000))
            .await
            .unwrap(),
        1
    );
    let gone = store.find_secret(&id()).await.unwrap().unwrap();
    assert_eq!(
        (gone.pushed, gone.pushed_version),
        (Credentials::default(), 2)
    );
    assert!(
        !store
            .update_pushed(&id(), &values("too late"), 2, at(3001))
            .await
            .unwrap()
    );
}
