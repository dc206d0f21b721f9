//! What this process knows of API keys, so that admitting a caller is a look-up.
//!
//! A snapshot is never changed: any change of a key makes a new one, with nothing verified yet. So
//! what was verified once is looked up by a keyed hash of what the caller showed, and a key that
//! was revoked, changed or rotated is forgotten with the snapshot.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use governor::clock::{Clock as _, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use siphasher::sip128::{Hasher128 as _, SipHasher13};

use crate::api_key::{ApiKey, ApiKeyId, KeyHash, Rate, Role, Scopes};
use crate::clock::Timestamp;
use crate::store::{ApiKeyRow, LastUse};

/// An API key that lets its caller in.
#[derive(Debug)]
pub struct HeldKey {
    /// Its name.
    pub id: ApiKeyId,
    /// What its caller is.
    pub role: Role,
    /// Which secrets it reaches.
    pub scopes: Scopes,
    pace: Option<Pace>,
    used: Arc<Used>,
}

/// How fast a key may call.
#[derive(Debug)]
struct Pace {
    rate: Rate,
    limiter: Arc<Limiter>,
}

type Limiter = RateLimiter<NotKeyed, InMemoryState, DefaultClock, StateInformationMiddleware>;

/// How much of its rate a key has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLeft {
    /// Calls a second.
    pub limit: u32,
    /// Calls that may come at once now.
    pub left: u32,
    /// After how long there is one more.
    pub wait: Duration,
}

/// A caller hears of its rate when less than a fifth is left.
const NEAR: u32 = 5;

/// When a key was last used; shared with the snapshots that follow.
#[derive(Debug, Default)]
struct Used {
    /// Epoch milliseconds of the hour; 0: not since this process began.
    hour_ms: AtomicI64,
    /// What the store is to be told.
    untold: Mutex<Option<LastUse>>,
}

const HOUR_MS: i64 = 3_600_000;

impl HeldKey {
    /// How fast it may call, if that is bounded.
    #[must_use]
    pub fn rate(&self) -> Option<Rate> {
        self.pace.as_ref().map(|pace| pace.rate)
    }

    /// Notes a use; takes a lock, and asks where from, once an hour.
    pub fn note_use(&self, now: Timestamp, from: impl FnOnce() -> Option<IpAddr>) {
        let hour_ms = now.epoch_ms() - now.epoch_ms().rem_euclid(HOUR_MS);
        if self.used.hour_ms.swap(hour_ms, Ordering::Relaxed) == hour_ms {
            return;
        }
        let (at, from) = (Timestamp::from_epoch_ms(hour_ms), from());
        *self
            .used
            .untold
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(LastUse { at, from });
    }

    /// Whether it may call now; what is left of its rate, if that is little.
    ///
    /// # Errors
    /// What is left: nothing, for a while.
    pub fn pace(&self) -> Result<Option<RateLeft>, RateLeft> {
        let Some(pace) = &self.pace else {
            return Ok(None);
        };
        let limit = pace.rate.per_second().get();
        match pace.limiter.check() {
            Ok(state) => {
                let left = state.remaining_burst_capacity();
                let wait = state.quota().replenish_interval();
                let told = RateLeft { limit, left, wait };
                Ok((left < limit.div_ceil(NEAR)).then_some(told))
            }
            Err(not_yet) => Err(RateLeft {
                limit,
                left: 0,
                wait: not_yet.wait_time_from(DefaultClock::default().now()),
            }),
        }
    }
}

/// All keys, as of one moment.
struct Snapshot {
    keys: HashMap<ApiKeyId, Stored>,
    /// Keys of the configuration.
    fixed: Arc<HashMap<ApiKeyId, Stored>>,
    /// The keys that client certificates stand for.
    by_certificate: HashMap<KeyHash, ApiKeyId>,
    /// By the keyed hash of what a caller showed.
    verified: papaya::HashMap<u128, Verified, Prints>,
    is_loaded: bool,
}

#[derive(Clone)]
struct Stored {
    row: Arc<ApiKeyRow>,
    held: Arc<HeldKey>,
}

#[derive(Clone)]
struct Verified {
    key: Arc<HeldKey>,
    until: Option<Timestamp>,
}

impl Snapshot {
    fn of(keys: HashMap<ApiKeyId, Stored>, fixed: Fixed, is_loaded: bool) -> Self {
        let certificate = |stored: &Stored| Some((stored.row.certificate?, stored.row.id.clone()));
        Self {
            by_certificate: keys.values().filter_map(certificate).collect(),
            keys,
            fixed,
            verified: papaya::HashMap::with_hasher(Prints),
            is_loaded,
        }
    }

    fn find(&self, id: &ApiKeyId) -> Option<&Stored> {
        self.keys.get(id).or_else(|| self.fixed.get(id))
    }
}

type Fixed = Arc<HashMap<ApiKeyId, Stored>>;

/// The keys of this process.
pub(super) struct Held {
    snapshot: ArcSwap<Snapshot>,
    /// Kept by whoever makes the next snapshot.
    turn: Mutex<()>,
    /// Keyed at random for this process: nobody outside can find two texts of one hash.
    hasher: SipHasher13,
}

impl Default for Held {
    fn default() -> Self {
        Self::with(Vec::new())
    }
}

impl Held {
    /// With these keys beside those of the store.
    pub(super) fn with(fixed: Vec<ApiKeyRow>) -> Self {
        let none = HashMap::new();
        let fixed = fixed
            .into_iter()
            .map(|row| (row.id.clone(), store(row, &none)))
            .collect();
        let first = Snapshot::of(HashMap::new(), Arc::new(fixed), false);
        Self {
            snapshot: ArcSwap::from_pointee(first),
            turn: Mutex::default(),
            hasher: SipHasher13::new_with_keys(random(), random()),
        }
    }

    /// Whether all keys of the store are known.
    pub(super) fn is_loaded(&self) -> bool {
        self.snapshot.load().is_loaded
    }

    /// The keyed hash of what a caller shows, 128 bits.
    fn print(&self, shown: &str) -> u128 {
        let mut hasher = self.hasher;
        hasher.write(shown.as_bytes());
        hasher.finish128().as_u128()
    }

    /// The key that a caller shows, if it works. Takes no lock, and works out checksum and SHA-256
    /// once for each key.
    pub(super) fn verify(&self, shown: &str, now: Timestamp) -> Option<Arc<HeldKey>> {
        let snapshot = self.snapshot.load();
        let print = self.print(shown);
        let verified = snapshot.verified.pin();
        if let Some(known) = verified.get(&print) {
            return works(known, now).then(|| Arc::clone(&known.key));
        }
        let known = verify_anew(&snapshot, shown, now)?;
        let key = Arc::clone(&known.key);
        verified.insert(print, known);
        Some(key)
    }

    /// The key that a client certificate stands for, if it works.
    pub(super) fn find_by_certificate(
        &self,
        certificate: &KeyHash,
        now: Timestamp,
    ) -> Option<Arc<HeldKey>> {
        let snapshot = self.snapshot.load();
        let id = snapshot.by_certificate.get(certificate)?;
        let stored = snapshot.keys.get(id)?;
        stored.row.works_at(now).then(|| Arc::clone(&stored.held))
    }

    /// Whether any client certificate stands for a key.
    pub(super) fn has_certificates(&self) -> bool {
        !self.snapshot.load().by_certificate.is_empty()
    }

    /// Whether any key of role `admin` works.
    pub(super) fn has_admin(&self, now: Timestamp) -> bool {
        let snapshot = self.snapshot.load();
        let mut all = snapshot.keys.values().chain(snapshot.fixed.values());
        all.any(|stored| stored.row.role == Role::Admin && stored.row.works_at(now))
    }

    /// Whether a key of the configuration is of role `admin`.
    pub(super) fn has_fixed_admin(&self) -> bool {
        let snapshot = self.snapshot.load();
        let mut all = snapshot.fixed.values();
        all.any(|stored| stored.row.role == Role::Admin)
    }

    /// Takes over rows; `all`: what is not among them is gone.
    pub(super) fn take(&self, rows: Vec<ApiKeyRow>, all: bool) {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.snapshot.load();
        let is_known = |row: &ApiKeyRow| {
            let known = before.keys.get(&row.id);
            known.is_some_and(|known| known.row.revision == row.revision)
        };
        let gone = all && before.keys.len() != rows.len();
        if before.is_loaded && !gone && rows.iter().all(is_known) {
            return;
        }
        let mut keys = if all {
            HashMap::new()
        } else {
            before.keys.clone()
        };
        for row in rows {
            // Rows are read in any order: an older one does not undo a newer.
            let newest = before.keys.get(&row.id);
            let newest = newest.filter(|known| known.row.revision >= row.revision);
            let stored = newest.cloned().unwrap_or_else(|| store(row, &before.keys));
            keys.insert(stored.row.id.clone(), stored);
        }
        self.snapshot.store(Arc::new(Snapshot::of(
            keys,
            Arc::clone(&before.fixed),
            before.is_loaded || all,
        )));
    }

    /// The uses that the store has not been told of.
    pub(super) fn untold(&self) -> Vec<(ApiKeyId, LastUse)> {
        let snapshot = self.snapshot.load();
        let untold = snapshot.keys.iter().filter_map(|(id, stored)| {
            let used = &stored.held.used.untold;
            let used = used.lock().unwrap_or_else(PoisonError::into_inner).take();
            used.map(|used| (id.clone(), used))
        });
        untold.collect()
    }
}

/// The hash of a hash: it is as random as it can be.
#[derive(Clone, Copy, Default)]
struct Prints;

impl BuildHasher for Prints {
    type Hasher = Print;

    fn build_hasher(&self) -> Print {
        Print(0)
    }
}

#[derive(Clone, Copy)]
struct Print(u64);

impl Hasher for Print {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u128(&mut self, print: u128) {
        self.0 ^= u64::try_from(print & u128::from(u64::MAX)).unwrap_or_default();
    }
}

/// A number that nobody outside knows.
fn random() -> u64 {
    RandomState::new().hash_one(0)
}

fn works(known: &Verified, now: Timestamp) -> bool {
    known.until.is_none_or(|until| now < until)
}

fn verify_anew(snapshot: &Snapshot, shown: &str, now: Timestamp) -> Option<Verified> {
    let shown = ApiKey::read(shown)?;
    // A key that is not there takes as long as one that is.
    let hash = shown.hash();
    let Stored { row, held } = snapshot.find(shown.id())?;
    if !row.works_at(now) {
        return None;
    }
    let before = row.previous.filter(|(before, _)| *before == hash);
    let until = match (row.hash == hash, before) {
        (true, _) => row.expires_at,
        (false, Some((_, until))) => Some(row.expires_at.map_or(until, |end| end.min(until))),
        (false, None) => return None,
    };
    let known = Verified {
        key: Arc::clone(held),
        until,
    };
    works(&known, now).then_some(known)
}

fn store(row: ApiKeyRow, before: &HashMap<ApiKeyId, Stored>) -> Stored {
    let before = before.get(&row.id).map(|stored| &stored.held);
    let pace = row.rate.map(|rate| {
        let same = before.and_then(|held| held.pace.as_ref());
        let same = same.filter(|pace| pace.rate == rate);
        let limiter = same.map_or_else(
            || {
                let limiter = RateLimiter::direct(Quota::per_second(rate.per_second()));
                Arc::new(limiter.with_middleware())
            },
            |pace| Arc::clone(&pace.limiter),
        );
        Pace { rate, limiter }
    });
    let held = HeldKey {
        id: row.id.clone(),
        role: row.role,
        scopes: row.scopes.clone(),
        pace,
        used: before.map_or_else(Arc::default, |held| Arc::clone(&held.used)),
    };
    Stored {
        row: Arc::new(row),
        held: Arc::new(held),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret as _;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_epoch_ms(ms)
    }

    fn row(key: &ApiKey, revision: i64) -> ApiKeyRow {
        ApiKeyRow {
            id: key.id().clone(),
            hash: key.hash(),
            previous: None,
            certificate: None,
            role: Role::App,
            scopes: Scopes::All,
            note: None,
            rate: None,
            created_at: at(0),
            expires_at: None,
            disabled_at: None,
            last_used: None,
            revision,
            changed_at: at(0),
            deleted_at: None,
        }
    }

    fn lets_in(held: &Held, key: &ApiKey, now: Timestamp) -> bool {
        let text = key.text().expose_secret();
        let first = held.verify(text, now).is_some();
        // The second time it is looked up.
        assert_eq!(held.verify(text, now).is_some(), first);
        first
    }

    #[test]
    fn a_key_lets_in_until_it_ends_is_disabled_or_revoked() {
        let (held, key) = (Held::default(), ApiKey::generate().unwrap());
        assert!(!lets_in(&held, &key, at(1)));
        held.take(vec![row(&key, 1)], true);
        assert!(lets_in(&held, &key, at(1)));
        let ends = ApiKeyRow {
            expires_at: Some(at(10)),
            ..row(&key, 2)
        };
        held.take(vec![ends.clone()], false);
        assert!(lets_in(&held, &key, at(9)) && !lets_in(&held, &key, at(10)));
        let disabled = ApiKeyRow {
            disabled_at: Some(at(3)),
            ..row(&key, 3)
        };
        held.take(vec![disabled], false);
        assert!(!lets_in(&held, &key, at(9)));
        // An older row comes late.
        held.take(vec![ends], false);
        assert!(!lets_in(&held, &key, at(9)));
        held.take(vec![row(&key, 4)], false);
        assert!(lets_in(&held, &key, at(9)));
        held.take(Vec::new(), true);
        assert!(!lets_in(&held, &key, at(9)));
    }

    #[test]
    fn a_rotated_key_works_beside_the_new_one_until_its_time() {
        let (held, old) = (Held::default(), ApiKey::generate().unwrap());
        let new = ApiKey::generate_for(old.id()).unwrap();
        held.take(vec![row(&old, 1)], true);
        assert!(lets_in(&held, &old, at(1)) && !lets_in(&held, &new, at(1)));
        let rotated = ApiKeyRow {
            previous: Some((old.hash(), at(50))),
            ..row(&new, 2)
        };
        held.take(vec![rotated], false);
        assert!(lets_in(&held, &old, at(49)) && lets_in(&held, &new, at(49)));
        assert!(!lets_in(&held, &old, at(50)) && lets_in(&held, &new, at(50)));
    }

    #[test]
    fn a_use_is_told_once_an_hour() {
        let (held, key) = (Held::default(), ApiKey::generate().unwrap());
        held.take(vec![row(&key, 1)], true);
        let known = held.verify(key.text().expose_secret(), at(0)).unwrap();
        let from = Some(IpAddr::from([127, 0, 0, 1]));
        for ms in [HOUR_MS + 5, HOUR_MS + 6, 2 * HOUR_MS - 1] {
            known.note_use(at(ms), || from);
        }
        let expected = LastUse {
            at: at(HOUR_MS),
            from,
        };
        assert_eq!(held.untold(), [(key.id().clone(), expected)]);
        known.note_use(at(HOUR_MS + 9), || from);
        assert_eq!(held.untold(), []);
        // A new snapshot goes on with it.
        held.take(vec![row(&key, 2)], false);
        known.note_use(at(2 * HOUR_MS), || from);
        assert_eq!(held.untold().len(), 1);
    }

    #[test]
    fn a_rate_holds_over_changes_of_other_things() {
        let (held, key) = (Held::default(), ApiKey::generate().unwrap());
        let slow = |revision| ApiKeyRow {
            rate: Some("1/s".parse().unwrap()),
            ..row(&key, revision)
        };
        held.take(vec![slow(1)], true);
        let known = || held.verify(key.text().expose_secret(), at(0)).unwrap();
        assert!(known().pace().is_ok() && known().pace().is_err());
        held.take(vec![slow(2)], false);
        assert!(known().pace().is_err());
        held.take(vec![row(&key, 3)], false);
        assert!(known().pace().is_ok());
    }
}
