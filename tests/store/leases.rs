//! Leases and what is written under them.

use token_server::secret::SecretId;
use token_server::store::{Commit, ForeignRefreshes, Grant, Lease, StoredToken, TokenRow};
use token_server::token::{Life, TokenText};

use crate::databases::Instances;
use crate::rows::{at, commit, refusal};

crate::on_every_store!(
    there_is_no_token_row_before_the_first_lease,
    a_lease_is_refused_until_its_time_has_come_and_the_next_epoch_is_higher,
    each_secret_has_a_lease_of_its_own,
    a_holder_who_claims_again_waits_like_everyone,
    a_commit_writes_the_token_and_ends_the_lease,
    a_commit_under_an_old_epoch_changes_nothing,
    a_commit_under_an_old_lease_of_the_same_owner_changes_nothing,
    a_commit_in_anothers_name_changes_nothing,
    a_commit_after_release_changes_nothing,
    a_late_commit_counts_while_nobody_took_over,
    a_token_that_never_expires_replaces_one_that_does,
    the_end_of_the_previous_token_is_kept_until_it_is_retired,
    a_release_without_failure_frees_and_leaves_the_rest,
    a_release_with_a_failure_records_and_counts_it_and_success_ends_the_count,
    a_release_under_an_old_epoch_changes_nothing,
    a_commit_counts_repeats_and_deaths_by_foreign_hands,
    a_retired_token_is_blank_and_keeps_its_counters,
    whoever_held_the_lease_of_a_retired_token_is_fenced,
    all_tokens_of_a_realm_are_retired_at_once_and_no_others,
    retiring_what_has_no_row_is_harmless,
);

fn id() -> SecretId {
    SecretId::new("wxgzh", "app")
}

/// A lease from 1000 to 2000.
async fn lease(store: &Instances, owner: &str) -> Lease {
    store
        .claim_lease(&id(), owner, at(1000), at(2000))
        .await
        .unwrap()
        .unwrap()
}

async fn row(store: &Instances) -> TokenRow {
    store.find_token(&id()).await.unwrap().unwrap()
}

fn held_text(row: &TokenRow) -> Option<&str> {
    row.token.as_ref().map(|token| token.text.expose())
}

async fn there_is_no_token_row_before_the_first_lease(store: Instances) {
    assert_eq!(store.find_token(&id()).await.unwrap(), None);
    let lease = lease(&store, "one").await;
    assert_eq!(
        lease,
        Lease {
            id: id(),
            owner: "one".to_owned(),
            epoch: 1,
            until: at(2000)
        }
    );
    let expected = TokenRow {
        lease_epoch: 1,
        lease_until: at(2000),
        ..TokenRow::blank(&id())
    };
    assert_eq!(row(&store).await, expected);
}

async fn a_lease_is_refused_until_its_time_has_come_and_the_next_epoch_is_higher(store: Instances) {
    let first = lease(&store, "one").await;
    for early in [1000, 1999] {
        assert_eq!(
            store
                .claim_lease(&id(), "two", at(early), at(9000))
                .await
                .unwrap(),
            None
        );
    }
    assert_eq!(row(&store).await.lease_until, at(2000));
    let second = store
        .claim_lease(&id(), "two", at(2000), at(3000))
        .await
        .unwrap()
        .unwrap();
    assert!(second.epoch > first.epoch);
    assert_eq!(row(&store).await.lease_until, at(3000));
}

async fn each_secret_has_a_lease_of_its_own(store: Instances) {
    let first = lease(&store, "one").await;
    for (realm, key) in [
        ("wxgzh", "App"),
        ("WxGzh", "app"),
        ("other", "app"),
        ("wxgzh", "other"),
    ] {
        let other = SecretId::new(realm, key);
        let lease = store
            .claim_lease(&other, "two", at(1000), at(2000))
            .await
            .unwrap()
            .unwrap();
        assert!(
            store
                .commit_token(&lease, &commit("theirs", 1))
                .await
                .unwrap()
        );
        store
            .retire_tokens(&other.realm, Some(&other.key), at(3000))
            .await
            .unwrap();
    }
    assert!(
        store
            .commit_token(&first, &commit("mine", 1))
            .await
            .unwrap()
    );
    assert_eq!(held_text(&row(&store).await), Some("mine"));
}

async fn a_holder_who_claims_again_waits_like_everyone(store: Instances) {
    let first = lease(&store, "one").await;
    assert_eq!(
        store
            .claim_lease(&id(), "one", at(1500), at(9000))
            .await
            .unwrap(),
        None
    );
    let second = store
        .claim_lease(&id(), "one", at(2000), at(3000))
        .await
        .unwrap()
        .unwrap();
    assert!(second.epoch > first.epoch);
}

async fn a_commit_writes_the_token_and_ends_the_lease(store: Instances) {
    let first = lease(&store, "one").await;
    let commit = commit("fresh", 1);
    assert!(store.commit_token(&first, &commit).await.unwrap());
    let expected = TokenRow {
        version: 1,
        token: Some(commit.token.clone()),
        due_at: Some(at(6000)),
        lease_epoch: first.epoch,
        ..TokenRow::blank(&id())
    };
    assert_eq!(row(&store).await, expected);
    let again = Commit {
        version: 2,
        ..commit
    };
    assert!(
        !store.commit_token(&first, &again).await.unwrap(),
        "a lease is good for one commit"
    );
    assert!(!store.release_lease(&first, None).await.unwrap());
    assert_eq!(row(&store).await, expected);
    let second = store
        .claim_lease(&id(), "two", at(1001), at(2000))
        .await
        .unwrap()
        .unwrap();
    assert!(second.epoch > first.epoch);
}

async fn a_commit_under_an_old_epoch_changes_nothing(store: Instances) {
    let old = lease(&store, "one").await;
    let new = store
        .claim_lease(&id(), "two", at(2000), at(3000))
        .await
        .unwrap()
        .unwrap();
    let before = row(&store).await;
    assert!(!store.commit_token(&old, &commit("late", 1)).await.unwrap());
    assert_eq!(row(&store).await, before);
    assert!(store.commit_token(&new, &commit("fresh", 1)).await.unwrap());
    assert!(!store.commit_token(&old, &commit("late", 2)).await.unwrap());
    assert_eq!(held_text(&row(&store).await), Some("fresh"));
}

async fn a_commit_under_an_old_lease_of_the_same_owner_changes_nothing(store: Instances) {
    let old = lease(&store, "one").await;
    let new = store
        .claim_lease(&id(), "one", at(2000), at(3000))
        .await
        .unwrap()
        .unwrap();
    assert!(!store.commit_token(&old, &commit("late", 1)).await.unwrap());
    assert!(!store.release_lease(&old, None).await.unwrap());
    assert!(store.commit_token(&new, &commit("fresh", 1)).await.unwrap());
}

async fn a_commit_in_anothers_name_changes_nothing(store: Instances) {
    let lease = lease(&store, "one").await;
    let before = row(&store).await;
    for owner in ["two", "ONE", ""] {
        let forged = Lease {
            owner: owner.to_owned(),
            ..lease.clone()
        };
        assert!(
            !store
                .commit_token(&forged, &commit("forged", 1))
                .await
                .unwrap(),
            "{owner}"
        );
        assert!(
            !store.release_lease(&forged, None).await.unwrap(),
            "{owner}"
        );
    }
    assert_eq!(row(&store).await, before);
}

async fn a_commit_after_release_changes_nothing(store: Instances) {
    let lease = lease(&store, "one").await;
    assert!(store.release_lease(&lease, None).await.unwrap());
    let before = row(&store).await;
    assert!(
        !store
            .commit_token(&lease, &commit("late", 1))
            .await
            .unwrap()
    );
    assert!(!store.release_lease(&lease, Some(&refusal())).await.unwrap());
    assert_eq!(row(&store).await, before);
}

async fn a_late_commit_counts_while_nobody_took_over(store: Instances) {
    let lease = lease(&store, "one").await;
    let late = Commit {
        at: at(5000),
        ..commit("late", 1)
    };
    assert!(store.commit_token(&lease, &late).await.unwrap());
    assert_eq!(held_text(&row(&store).await), Some("late"));
}

async fn a_token_that_never_expires_replaces_one_that_does(store: Instances) {
    let first = lease(&store, "one").await;
    assert!(
        store
            .commit_token(&first, &commit("expires", 1))
            .await
            .unwrap()
    );
    let second = lease(&store, "one").await;
    let token = StoredToken {
        text: TokenText::from("never"),
        life: Life {
            obtained_at: at(3000),
            expires_at: None,
        },
        realm_version: 5,
        secret_version: 6,
        outputs: [(
            "instance_url".to_owned(),
            serde_json::json!("https://x.example"),
        )]
        .into_iter()
        .collect(),
    };
    let commit = Commit {
        token: token.clone(),
        due_at: None,
        ..commit("", 2)
    };
    assert!(store.commit_token(&second, &commit).await.unwrap());
    let row = row(&store).await;
    assert_eq!((row.token, row.due_at, row.version), (Some(token), None, 2));
}

async fn the_end_of_the_previous_token_is_kept_until_it_is_retired(store: Instances) {
    let previous = |text: &str, until| Some((TokenText::from(text), until));
    for (version, previous, expected) in [
        (1, None, None),
        (2, previous("first", Some(at(1300))), Some(at(1300))),
        (3, previous("second", None), None),
        (4, previous("third", Some(at(1400))), Some(at(1400))),
    ] {
        let lease = lease(&store, "one").await;
        assert!(
            store
                .commit_token(
                    &lease,
                    &Commit {
                        previous,
                        ..commit("t", version)
                    }
                )
                .await
                .unwrap()
        );
        assert_eq!(
            row(&store).await.previous_valid_until,
            expected,
            "version {version}"
        );
    }
    store
        .retire_tokens(&id().realm, Some(&id().key), at(3000))
        .await
        .unwrap();
    assert_eq!(row(&store).await.previous_valid_until, None);
}

async fn a_release_without_failure_frees_and_leaves_the_rest(store: Instances) {
    let first = lease(&store, "one").await;
    assert!(
        store
            .commit_token(&first, &commit("held", 1))
            .await
            .unwrap()
    );
    let second = lease(&store, "one").await;
    assert!(
        store
            .release_lease(&second, Some(&refusal()))
            .await
            .unwrap()
    );
    let before = row(&store).await;
    let third = lease(&store, "two").await;
    assert!(store.release_lease(&third, None).await.unwrap());
    assert_eq!(
        row(&store).await,
        TokenRow {
            lease_epoch: third.epoch,
            ..before
        }
    );
}

async fn a_release_with_a_failure_records_and_counts_it_and_success_ends_the_count(
    store: Instances,
) {
    for count in 1..=3 {
        let lease = lease(&store, "one").await;
        assert!(store.release_lease(&lease, Some(&refusal())).await.unwrap());
        let row = row(&store).await;
        assert_eq!((row.failure, row.failed_attempts), (Some(refusal()), count));
        assert_eq!((row.version, row.token, row.lease_until), (0, None, at(0)));
    }
    let lease = lease(&store, "one").await;
    assert!(
        store
            .commit_token(&lease, &commit("fresh", 1))
            .await
            .unwrap()
    );
    let row = row(&store).await;
    assert_eq!(
        (row.failure, row.failed_attempts),
        (Some(refusal()), 0),
        "it stays, for the operator"
    );
}

async fn a_release_under_an_old_epoch_changes_nothing(store: Instances) {
    let old = lease(&store, "one").await;
    store
        .claim_lease(&id(), "two", at(2000), at(3000))
        .await
        .unwrap()
        .unwrap();
    let before = row(&store).await;
    for failure in [None, Some(&refusal())] {
        assert!(!store.release_lease(&old, failure).await.unwrap());
    }
    assert_eq!(row(&store).await, before);
    assert_eq!(
        store
            .claim_lease(&id(), "three", at(2500), at(9000))
            .await
            .unwrap(),
        None
    );
}

async fn a_commit_counts_repeats_and_deaths_by_foreign_hands(store: Instances) {
    for (version, repeat_count, is_foreign) in
        [(1, 0, false), (2, 2, true), (3, 0, false), (4, 0, true)]
    {
        let held = lease(&store, "one").await;
        let commit = Commit {
            repeat_count,
            is_foreign,
            at: at(2000 + version),
            ..commit("t", version)
        };
        assert!(store.commit_token(&held, &commit).await.unwrap());
        assert_eq!(row(&store).await.repeat_count, repeat_count);
    }
    assert_eq!(
        row(&store).await.foreign_refreshes,
        ForeignRefreshes {
            count: 2,
            last_at: Some(at(2004))
        }
    );
}

async fn a_retired_token_is_blank_and_keeps_its_counters(store: Instances) {
    for version in 1..=2 {
        let lease = lease(&store, "one").await;
        assert!(
            store
                .commit_token(&lease, &commit("held", version))
                .await
                .unwrap()
        );
    }
    let failed = lease(&store, "one").await;
    assert!(
        store
            .release_lease(&failed, Some(&refusal()))
            .await
            .unwrap()
    );
    store
        .retire_tokens(&id().realm, Some(&id().key), at(4000))
        .await
        .unwrap();
    let retired = row(&store).await;
    assert!(retired.lease_epoch >= failed.epoch);
    let grant = Grant {
        generation: 1,
        ..Grant::default()
    };
    let expected = TokenRow {
        version: 2,
        lease_epoch: retired.lease_epoch,
        grant,
        ..TokenRow::blank(&id())
    };
    assert_eq!(retired, expected);
    let next = lease(&store, "two").await;
    assert!(next.epoch > failed.epoch);
    assert!(
        store
            .commit_token(&next, &commit("fresh", 3))
            .await
            .unwrap()
    );
    assert_eq!(row(&store).await.version, 3);
}

async fn whoever_held_the_lease_of_a_retired_token_is_fenced(store: Instances) {
    let fenced = lease(&store, "one").await;
    store
        .retire_tokens(&id().realm, Some(&id().key), at(1500))
        .await
        .unwrap();
    let before = row(&store).await;
    assert!(
        !store
            .commit_token(&fenced, &commit("late", 1))
            .await
            .unwrap()
    );
    assert!(
        !store
            .release_lease(&fenced, Some(&refusal()))
            .await
            .unwrap()
    );
    assert_eq!(row(&store).await, before);
    let next = store
        .claim_lease(&id(), "two", at(1500), at(2500))
        .await
        .unwrap()
        .unwrap();
    assert!(next.epoch > fenced.epoch, "the lease is free at once");
    assert!(
        !store
            .commit_token(&fenced, &commit("late", 1))
            .await
            .unwrap()
    );
}

async fn all_tokens_of_a_realm_are_retired_at_once_and_no_others(store: Instances) {
    let all = [("a", "x"), ("a", "y"), ("A", "x"), ("b", "x")]
        .map(|(realm, key)| SecretId::new(realm, key));
    let mut held = Vec::new();
    for id in &all {
        let lease = store
            .claim_lease(id, "one", at(1000), at(2000))
            .await
            .unwrap()
            .unwrap();
        assert!(
            store
                .commit_token(&lease, &commit("held", 1))
                .await
                .unwrap()
        );
        held.push(
            store
                .claim_lease(id, "two", at(1000), at(2000))
                .await
                .unwrap()
                .unwrap(),
        );
    }
    store.retire_tokens("a", None, at(1500)).await.unwrap();
    for (id, lease) in all.iter().zip(held) {
        let row = store.find_token(id).await.unwrap().unwrap();
        assert_eq!(
            (row.token.is_some(), row.version),
            (id.realm != "a", 1),
            "{id}"
        );
        assert_eq!(
            store
                .commit_token(&lease, &commit("next", 2))
                .await
                .unwrap(),
            id.realm != "a",
            "{id}"
        );
    }
}

async fn retiring_what_has_no_row_is_harmless(store: Instances) {
    for key in [Some("app"), None] {
        store.retire_tokens("wxgzh", key, at(1000)).await.unwrap();
    }
    assert_eq!(store.find_token(&id()).await.unwrap(), None);
}
