//! When to renew and when to try again. Pure arithmetic.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::failure::{Failure, FailureKind};
use crate::realm::{Policy, Reissue};
use crate::secret::SecretId;
use crate::token::Life;

/// When a fresh token is renewed: `expires_at − ahead · (½ + ½ · h)`, `h` a share that is the
/// secret's own.
///
/// The share spreads secrets that were fetched together; it is deterministic, so all instances
/// agree.
pub(crate) fn due_at(life: Life, policy: &Policy, secret: &SecretId) -> Option<Timestamp> {
    let expires_at = life.expires_at?;
    let ahead = policy.ahead(expires_at.since(life.obtained_at));
    let due_at = expires_at.minus(ahead.mul_f64(0.5 + 0.5 * share(secret)));
    // A provider that repeats its token has no other before its window; any other is asked while
    // the token is handed out.
    let repeats = matches!(policy.reissue, Reissue::Same { extends: false, .. });
    let latest = life.handed_out_until().filter(|_| !repeats);
    Some(latest.map_or(due_at, |latest| due_at.min(latest)))
}

/// A provider that answers the same token is not asked again before this.
const SHORTEST_REPEAT: Duration = Duration::from_secs(10);

/// After so many repeats of one token the provider is left alone until it expires.
const MOST_REPEATS: i64 = 3;

/// When to ask again after the same token came back for the `count`th time: half-way to its expiry,
/// not within 10 s, at most three times a life.
pub(super) fn repeat_at(now: Timestamp, life: Life, count: i64) -> Option<Timestamp> {
    if count >= MOST_REPEATS {
        return life.expires_at;
    }
    let left = life.expires_at?.since(now);
    Some(now.plus((left / 2).max(SHORTEST_REPEAT)))
}

const LAST_RETRY: Duration = Duration::from_mins(5);
/// How long to wait after the `count`th failure in a row while a token is held: `cool_down` (1 s)
/// doubling to 5 min, a quarter of it spread by secret.
pub(super) fn back_off(
    kind: FailureKind,
    count: i64,
    policy: &Policy,
    secret: &SecretId,
) -> Duration {
    match kind {
        // What the provider says of a quota without a time lasts for a while.
        FailureKind::Config | FailureKind::Quota => policy.config_retry,
        FailureKind::Reauthorise => policy.reauthorise_retry,
        FailureKind::Refused
        | FailureKind::Busy
        | FailureKind::Dependency
        | FailureKind::Unreachable
        | FailureKind::TimedOut
        | FailureKind::Malformed => paced(count, policy, secret, LAST_RETRY.max(policy.cool_down)),
    }
}

/// How long to wait after the `count`th failure in a row while no valid token is held: never longer
/// than [`back_off`], and at the pace of `cool_down` where the provider refused, since what it
/// refuses now it may grant a moment later.
///
/// With the defaults a grant that is gone is tried after 1 s, 2 s, 4 s … up to a day apart.
pub(super) fn urgent_back_off(
    failure: &Failure,
    count: i64,
    policy: &Policy,
    secret: &SecretId,
) -> Duration {
    let pause = back_off(failure.kind, count, policy, secret);
    match failure.kind {
        FailureKind::Config | FailureKind::Quota | FailureKind::Reauthorise
            if failure.is_response =>
        {
            paced(count, policy, secret, pause)
        }
        FailureKind::Config
        | FailureKind::Quota
        | FailureKind::Reauthorise
        | FailureKind::Refused
        | FailureKind::Busy
        | FailureKind::Dependency
        | FailureKind::Unreachable
        | FailureKind::TimedOut
        | FailureKind::Malformed => pause,
    }
}

/// `cool_down`, doubled with each failure in a row, up to `longest`; a quarter of it is spread by
/// secret.
fn paced(count: i64, policy: &Policy, secret: &SecretId, longest: Duration) -> Duration {
    let doublings = u32::try_from(count.clamp(1, 31) - 1).unwrap_or_default();
    let wait = policy.cool_down.saturating_mul(1 << doublings).min(longest);
    wait.mul_f64(0.75 + 0.25 * share(secret))
}

/// FNV-1a, mixed: the same on every instance.
pub(super) fn hash(bytes: impl Iterator<Item = u8>) -> u64 {
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let mixed = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    mixed ^ (mixed >> 33)
}

/// A number in 0..1 that is the secret's own.
fn share(secret: &SecretId) -> f64 {
    let name = secret.realm.bytes().chain([0]).chain(secret.key.bytes());
    let top = u32::try_from(hash(name) >> 32).unwrap_or_default();
    f64::from(top) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::realm::RefreshAhead;

    fn secret(key: usize) -> SecretId {
        SecretId::new("r", key.to_string())
    }

    fn life(seconds: i64) -> Life {
        Life {
            obtained_at: Timestamp::from_epoch_ms(0),
            expires_at: Some(Timestamp::from_epoch_ms(seconds * 1000)),
        }
    }

    #[test]
    fn renewals_lie_in_the_second_half_of_the_margin() {
        for key in 0..1000 {
            let due = due_at(life(7200), &Policy::default(), &secret(key))
                .unwrap()
                .epoch_ms();
            assert!((6_900_000..=7_050_000).contains(&due), "{due}");
        }
    }

    #[test]
    fn a_renewal_is_due_before_the_token_is_handed_out_no_more_unless_it_would_be_repeated() {
        let policy = |reissue| Policy {
            refresh_ahead: RefreshAhead::Fixed(Duration::ZERO),
            reissue,
            ..Policy::default()
        };
        let due = |reissue| {
            due_at(life(100), &policy(reissue), &secret(1))
                .unwrap()
                .epoch_ms()
        };
        assert_eq!(due(Reissue::Coexists), 99_000);
        assert_eq!(
            due(Reissue::Same {
                until: Duration::ZERO,
                extends: true
            }),
            99_000
        );
        assert_eq!(
            due(Reissue::Same {
                until: Duration::ZERO,
                extends: false
            }),
            100_000
        );
    }

    #[test]
    fn shares_are_spread_evenly() {
        let mut tenths = [0_usize; 10];
        for key in 0..10_000 {
            let share = share(&secret(key));
            let tenth = (1..10)
                .filter(|tenth| share >= f64::from(*tenth) / 10.0)
                .count();
            tenths[tenth] += 1;
        }
        assert!(
            tenths.iter().all(|count| (850..1150).contains(count)),
            "{tenths:?}"
        );
    }

    #[test]
    fn the_back_off_doubles_to_five_minutes() {
        let wait = |count| {
            back_off(FailureKind::Busy, count, &Policy::default(), &secret(1)).as_secs_f64()
        };
        assert!((0.75..=1.0).contains(&wait(1)));
        assert!((1.5..=2.0).contains(&wait(2)));
        assert!((225.0..=300.0).contains(&wait(1000)));
        let config = back_off(FailureKind::Config, 1, &Policy::default(), &secret(1));
        assert_eq!(config, Duration::from_mins(10));
    }

    #[test]
    fn the_same_token_is_asked_for_half_way_to_its_expiry() {
        let now = Timestamp::from_epoch_ms(7_000_000);
        assert_eq!(repeat_at(now, life(7200), 1).unwrap().epoch_ms(), 7_100_000);
        let late = Timestamp::from_epoch_ms(7_195_000);
        assert_eq!(
            repeat_at(late, life(7200), 2).unwrap().epoch_ms(),
            7_205_000
        );
        assert_eq!(repeat_at(now, life(7200), 3).unwrap().epoch_ms(), 7_200_000);
    }
}
