//! Many at once, from two instances. Whoever meets at a barrier goes on at the same moment.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;

use token_server::secret::SecretId;
use token_server::store::{Lease, RealmRow, SecretRow, Store};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::databases::Instances;
use crate::rows::{at, commit, realm, secret};

crate::on_every_store!(
    twenty_contenders_for_a_lease_have_one_winner,
    leases_that_are_given_back_at_once_never_share_an_epoch,
    twenty_inserts_of_one_realm_have_one_winner,
    a_hundred_increments_by_four_tasks_are_all_counted,
    a_commit_and_a_takeover_agree_on_who_was_first,
    no_order_of_commit_and_retirement_leaves_a_token,
);

crate::on_galera!(
    twenty_contenders_for_a_lease_have_one_winner,
    leases_that_are_given_back_at_once_never_share_an_epoch,
    twenty_inserts_of_one_realm_have_one_winner,
    a_hundred_increments_by_four_tasks_are_all_counted,
    a_commit_and_a_takeover_agree_on_who_was_first,
    no_order_of_commit_and_retirement_leaves_a_token,
    what_one_instance_wrote_is_read_by_the_others,
);

const KEYS: usize = 50;

/// Runs `count` of them at the same time, alternately on both instances; the outcomes come in no
/// order.
async fn at_once<T, F>(
    stores: &Instances,
    count: usize,
    act: impl Fn(usize, Arc<dyn Store>) -> F,
) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let barrier = Arc::new(Barrier::new(count));
    let mut tasks = JoinSet::new();
    for number in 0..count {
        let (barrier, acting) = (barrier.clone(), act(number, stores.instance(number)));
        tasks.spawn(async move {
            barrier.wait().await;
            acting.await
        });
    }
    tasks.join_all().await
}

/// Twenty contenders for a lease; the winner, who is alone.
async fn winner(stores: &Instances, id: &SecretId, now: i64) -> Lease {
    let claims = at_once(stores, 20, |number, store| {
        let id = id.clone();
        async move {
            store
                .claim_lease(&id, &format!("owner {number}"), at(now), at(now + 1000))
                .await
        }
    });
    let won: Vec<Lease> = claims
        .await
        .into_iter()
        .filter_map(Result::unwrap)
        .collect();
    assert_eq!(won.len(), 1, "{id} at {now}: {won:?}");
    won.into_iter().next().unwrap()
}

async fn twenty_contenders_for_a_lease_have_one_winner(stores: Instances) {
    for number in 0..KEYS {
        let id = SecretId::new("r", number.to_string());
        let first = winner(&stores, &id, 1000).await;
        let second = winner(&stores, &id, 2000).await;
        assert_eq!(
            (first.epoch, second.epoch),
            (1, 2),
            "without a row, then over a lease that ended"
        );
        assert!(
            !stores
                .commit_token(&first, &commit("late", 1))
                .await
                .unwrap()
        );
        assert!(
            stores
                .commit_token(&second, &commit("fresh", 1))
                .await
                .unwrap()
        );
    }
}

async fn leases_that_are_given_back_at_once_never_share_an_epoch(stores: Instances) {
    let id = SecretId::new("r", "k");
    let claims = at_once(&stores, 20, |number, store| {
        let (id, owner) = (id.clone(), format!("owner {number}"));
        async move {
            let mut epochs = Vec::new();
            for _ in 0..20 {
                if let Some(lease) = store
                    .claim_lease(&id, &owner, at(1000), at(2000))
                    .await
                    .unwrap()
                {
                    assert!(store.release_lease(&lease, None).await.unwrap());
                    epochs.push(lease.epoch);
                }
            }
            epochs
        }
    });
    let mut epochs: Vec<i64> = claims.await.into_iter().flatten().collect();
    epochs.sort_unstable();
    let last = stores.find_token(&id).await.unwrap().unwrap().lease_epoch;
    assert_eq!(epochs, (1..=last).collect::<Vec<_>>());
}

async fn twenty_inserts_of_one_realm_have_one_winner(stores: Instances) {
    for number in 0..10 {
        let id = format!("r{number}");
        let inserts = at_once(&stores, 20, |version, store| {
            let row = RealmRow {
                version: i64::try_from(version).unwrap(),
                ..realm(&id)
            };
            async move { store.insert_realm(&row).await.unwrap().then_some(row) }
        });
        let won: Vec<RealmRow> = inserts.await.into_iter().flatten().collect();
        assert_eq!(won.len(), 1, "{won:?}");
        assert_eq!(
            stores.find_realm(&id).await.unwrap(),
            won.into_iter().next()
        );
    }
}

async fn a_hundred_increments_by_four_tasks_are_all_counted(stores: Instances) {
    let (one_realm, one_secret) = (realm("r"), secret("r", "k"));
    stores.insert_realm(&one_realm).await.unwrap();
    stores.insert_secret(&one_secret).await.unwrap();
    at_once(&stores, 4, |_, store| async move {
        for _ in 0..25 {
            increment_realm(store.as_ref()).await;
            increment_secret(store.as_ref()).await;
        }
    })
    .await;
    let expected = RealmRow {
        version: 101,
        revision: 101,
        ..one_realm
    };
    assert_eq!(stores.find_realm("r").await.unwrap(), Some(expected));
    let expected = SecretRow {
        version: 101,
        revision: 101,
        ..one_secret
    };
    assert_eq!(
        stores.find_secret(&expected.id).await.unwrap(),
        Some(expected)
    );
}

async fn increment_realm(store: &dyn Store) {
    loop {
        let read = store.find_realm("r").await.unwrap().unwrap();
        let next = RealmRow {
            version: read.version + 1,
            revision: read.revision + 1,
            ..read
        };
        if store.update_realm(&next, next.revision - 1).await.unwrap() {
            return;
        }
    }
}

async fn increment_secret(store: &dyn Store) {
    loop {
        let read = store
            .find_secret(&SecretId::new("r", "k"))
            .await
            .unwrap()
            .unwrap();
        let next = SecretRow {
            version: read.version + 1,
            revision: read.revision + 1,
            ..read
        };
        if store.update_secret(&next, next.revision - 1).await.unwrap() {
            return;
        }
    }
}

async fn a_commit_and_a_takeover_agree_on_who_was_first(stores: Instances) {
    let mut seen = BTreeSet::new();
    for number in 0..KEYS {
        let id = SecretId::new("r", number.to_string());
        let lease = stores
            .claim_lease(&id, "one", at(1000), at(2000))
            .await
            .unwrap()
            .unwrap();
        let outcomes = at_once(&stores, 2, |acting, store| {
            let (id, lease) = (id.clone(), lease.clone());
            async move {
                if (acting + number).is_multiple_of(2) {
                    return store
                        .commit_token(&lease, &commit("fresh", 1))
                        .await
                        .unwrap();
                }
                store
                    .claim_lease(&id, "two", at(2000), at(3000))
                    .await
                    .unwrap();
                false
            }
        });
        let committed = outcomes.await.contains(&true);
        let row = stores.find_token(&id).await.unwrap().unwrap();
        assert_eq!(
            (row.version, row.token.is_some()),
            (i64::from(committed), committed),
            "{id}"
        );
        seen.insert(committed);
    }
    assert!(seen.contains(&true), "no commit ever came in time");
}

async fn no_order_of_commit_and_retirement_leaves_a_token(stores: Instances) {
    for number in 0..KEYS {
        let id = SecretId::new("r", number.to_string());
        let lease = stores
            .claim_lease(&id, "one", at(1000), at(2000))
            .await
            .unwrap()
            .unwrap();
        let outcomes = at_once(&stores, 2, |acting, store| {
            let (id, lease) = (id.clone(), lease.clone());
            async move {
                if (acting + number).is_multiple_of(2) {
                    return store
                        .commit_token(&lease, &commit("late", 1))
                        .await
                        .unwrap();
                }
                store
                    .retire_tokens(&id.realm, Some(&id.key), at(1500))
                    .await
                    .unwrap();
                false
            }
        });
        let committed = outcomes.await.contains(&true);
        let row = stores.find_token(&id).await.unwrap().unwrap();
        assert_eq!(
            (row.version, row.token),
            (i64::from(committed), None),
            "{id}"
        );
        assert!(row.lease_epoch > lease.epoch);
    }
}

async fn what_one_instance_wrote_is_read_by_the_others(stores: Instances) {
    for number in 0..200 {
        let id = format!("r{number}");
        assert!(
            stores
                .instance(number)
                .insert_realm(&realm(&id))
                .await
                .unwrap()
        );
        for other in [1, 2] {
            let found = stores
                .instance(number + other)
                .find_realm(&id)
                .await
                .unwrap();
            assert!(found.is_some(), "{id} is not seen at another node");
        }
    }
}
