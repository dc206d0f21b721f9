//! What this process holds, so that an ask costs a look-up.
//!
//! An entry is put in only if its realm and secret were not edited since its rows were read
//! ([`Mark`]), and dropped when an edit or another instance's renewal is seen: versions decide,
//! never the clock.

mod edits;

use std::collections::HashMap;
use std::hash::RandomState;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use papaya::LocalGuard;

use self::edits::Edits;
pub use self::edits::Mark;
use super::{Stale, TokenAnswer};
use crate::clock::{Timestamp, millis};
use crate::secret::{SecretId, SecretRef};
use crate::store::Changes;
use crate::token::{Life, Outputs, Source, TokenText};

/// A token in memory.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The token.
    pub token: TokenText,
    /// From when until when.
    pub life: Life,
    /// The token's version.
    pub version: i64,
    /// The realm version it was made with.
    pub realm_version: i64,
    /// The secret version it was made with.
    pub secret_version: i64,
    /// When to renew it; `None`: never.
    pub due_at: Option<Timestamp>,
    /// Why it was not renewed when it was due.
    pub stale: Option<Stale>,
    /// When it was last asked for; shared with the entries that replace it.
    pub asked: Arc<Asked>,
    /// Until when the token before this one works.
    pub previous_valid_until: Option<Timestamp>,
    /// What is handed out with it.
    pub outputs: Outputs,
    /// How callers send it.
    pub token_use: Option<Arc<str>>,
    /// Whether the operator gave it.
    pub is_fixed: bool,
    /// How long it works on once it is replaced; `None`: to its own end.
    pub overlap: Option<Duration>,
    /// How long after the last look at the store it is answered unasked.
    pub trust_for: Duration,
    /// Whether it could not be stored: it gives way to any that is stored as its version.
    pub is_unstored: bool,
    /// Whether it dies at once when it is renewed, so that callers had better wait for its renewal.
    pub dies_when_renewed: bool,
}

impl Entry {
    /// The answer made of it.
    #[must_use]
    pub fn answer(&self, source: Source) -> TokenAnswer {
        TokenAnswer {
            token: self.token.clone(),
            life: self.life,
            version: self.version,
            source,
            previous_valid_until: self.previous_valid_until,
            outputs: self.outputs.clone(),
            token_use: self.token_use.clone(),
            stale: self.stale.clone(),
            warning: None,
            renewed: true,
            retry_after: None,
        }
    }

    /// Whether it may be answered now.
    #[must_use]
    pub fn is_usable(&self, now: Timestamp) -> bool {
        self.life.usable_while_not_due(self.due_at, now)
    }

    /// Whether the store has a newer token than this; `None`: it has none.
    fn is_outdated_by(&self, version: Option<i64>) -> bool {
        let is_older = |new| new > self.version || (self.is_unstored && new == self.version);
        !self.is_fixed && version.is_none_or(is_older)
    }

    /// Whether the store's token comes after the one that replaced this: a provider that replaces
    /// its token lets only the last but one work on.
    fn is_replaced_again_by(&self, version: Option<i64>) -> bool {
        version.is_none_or(|new| self.overlap.is_some() && new > self.version + 1)
    }

    /// Whether a renewal should be begun.
    #[must_use]
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.due_at.is_some_and(|due_at| now >= due_at)
    }

    /// Whether two thirds of the time from when it was due to its expiry are over.
    #[must_use]
    pub fn is_overdue(&self, now: Timestamp) -> bool {
        let window = self.due_at.zip(self.life.expires_at);
        window.is_some_and(|(due_at, expires_at)| {
            now >= expires_at.minus(expires_at.since(due_at) / 3)
        })
    }
}

/// When a secret's token was last asked for, and what the store knows of it. Epoch milliseconds.
#[derive(Debug, Default)]
pub struct Asked {
    at_ms: AtomicI64,
    stored_ms: AtomicI64,
}

impl Asked {
    /// Notes an ask; on the hit path.
    pub fn note(&self, now: Timestamp) {
        self.at_ms.store(now.epoch_ms(), Ordering::Relaxed);
    }

    /// The last ask.
    #[must_use]
    pub fn at(&self) -> Timestamp {
        Timestamp::from_epoch_ms(self.at_ms.load(Ordering::Relaxed))
    }

    /// The last ask, if the store should be told: it knows of none in the last hour. Counts as
    /// told.
    fn take_untold(&self) -> Option<Timestamp> {
        let (at, stored) = (self.at(), self.stored_ms.load(Ordering::Relaxed));
        let is_untold = at.epoch_ms().saturating_sub(stored) >= millis(TELL_EVERY);
        is_untold.then(|| {
            self.stored_ms.store(at.epoch_ms(), Ordering::Relaxed);
            at
        })
    }
}

/// The store is told of asks at most so often, for each secret.
const TELL_EVERY: Duration = Duration::from_hours(1);

/// All entries, and how far what other instances wrote is known.
#[derive(Debug)]
pub struct Memory {
    entries: papaya::HashMap<SecretId, Arc<Entry>>,
    /// Tokens that another instance has replaced, while they work on: for the time in which the
    /// store cannot be asked for the new one.
    replaced: papaya::HashMap<SecretId, Arc<Entry>>,
    /// Serialises changes of `entries`; reads do not take it.
    edits: Mutex<Edits>,
    looked_at_ms: AtomicI64,
    store_is_away: AtomicBool,
    /// Since when the store refuses to write, and why.
    refusal: Mutex<Option<(Timestamp, &'static str)>>,
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

impl Memory {
    /// Empty.
    #[must_use]
    pub fn new() -> Self {
        Self {
            entries: papaya::HashMap::new(),
            replaced: papaya::HashMap::new(),
            edits: Mutex::default(),
            looked_at_ms: AtomicI64::new(i64::MIN),
            store_is_away: AtomicBool::new(false),
            refusal: Mutex::default(),
        }
    }

    /// The entry of a secret, usable or not.
    #[must_use]
    pub fn find(&self, id: SecretRef<'_>) -> Option<Arc<Entry>> {
        self.entries.pin().get(&id).cloned()
    }

    /// The token of a secret that another instance has replaced and that works on.
    #[must_use]
    pub fn find_replaced(&self, id: SecretRef<'_>) -> Option<Arc<Entry>> {
        self.replaced.pin().get(&id).cloned()
    }

    /// Whether what other instances wrote is known well enough to answer without reading the row.
    ///
    /// A process that was frozen, or whose looks hang, reads the row first.
    #[must_use]
    pub fn is_trusted(&self, entry: &Entry, now: Timestamp) -> bool {
        let age_ms = now
            .epoch_ms()
            .saturating_sub(self.looked_at_ms.load(Ordering::Acquire));
        age_ms <= millis(entry.trust_for)
    }

    /// Since when the store is away, if the last look failed.
    #[must_use]
    pub fn away_since(&self) -> Option<Timestamp> {
        let away = self.store_is_away.load(Ordering::Acquire);
        away.then(|| Timestamp::from_epoch_ms(self.looked_at_ms.load(Ordering::Acquire).max(0)))
    }

    /// When the last good look at the store began.
    #[must_use]
    pub fn last_look(&self) -> Option<Timestamp> {
        let looked_at_ms = self.looked_at_ms.load(Ordering::Acquire);
        (looked_at_ms != i64::MIN).then(|| Timestamp::from_epoch_ms(looked_at_ms))
    }

    /// Notes a look at the store at `at`, and whether it succeeded.
    pub fn note_look(&self, at: Timestamp, succeeded: bool) {
        if succeeded {
            self.looked_at_ms.store(at.epoch_ms(), Ordering::Release);
        }
        self.store_is_away.store(!succeeded, Ordering::Release);
    }

    /// Notes whether the store refuses to write: since when, and why.
    pub fn note_refusal(&self, refusal: Option<(Timestamp, &'static str)>) {
        *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = refusal;
    }

    /// Since when the store refuses to write, and why, as the last look found.
    #[must_use]
    pub fn refusal(&self) -> Option<(Timestamp, &'static str)> {
        *self.refusal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Taken before rows are read; [`Memory::put`] does nothing if they were edited since.
    #[must_use]
    pub fn mark(&self) -> Mark {
        self.edits().mark()
    }

    /// Puts an entry in, unless its rows were edited since `mark`, or a newer token of the same
    /// versions is there.
    pub fn put(&self, mark: Mark, id: &SecretId, entry: Entry) {
        let edits = self.edits();
        if !edits.left_standing(mark, id, entry.realm_version, entry.secret_version) {
            return;
        }
        let entries = self.entries.pin();
        let is_newer = |held: &Arc<Entry>| {
            held.version > entry.version
                && held.realm_version == entry.realm_version
                && held.secret_version == entry.secret_version
        };
        let held = entries.get(id);
        if held.is_some_and(is_newer) {
            return;
        }
        let asked = held.map_or_else(|| Arc::clone(&entry.asked), |held| Arc::clone(&held.asked));
        asked
            .at_ms
            .fetch_max(entry.asked.at_ms.load(Ordering::Relaxed), Ordering::Relaxed);
        entries.insert(id.clone(), Arc::new(Entry { asked, ..entry }));
        self.replaced.pin().remove(id);
    }

    /// Drops a secret's entry, after an edit.
    pub fn forget(&self, id: &SecretId) {
        let mut edits = self.edits();
        edits.note_secret(id, None);
        self.entries.pin().remove(id);
        self.replaced.pin().remove(id);
    }

    /// Drops all entries of a realm, after an edit.
    pub fn forget_realm(&self, realm: &str) {
        let mut edits = self.edits();
        edits.note_realm(realm, None);
        self.entries.pin().retain(|id, _| id.realm != realm);
        self.replaced.pin().retain(|id, _| id.realm != realm);
    }

    /// Drops what the store's changes outdate.
    pub fn apply(&self, changes: &Changes, now: Timestamp) {
        let mut edits = self.edits();
        for (id, version) in &changes.realms {
            edits.note_realm(id, *version);
        }
        for (id, version) in &changes.secrets {
            edits.note_secret(id, *version);
        }
        let (entries, replaced) = (self.entries.pin(), self.replaced.pin());
        for held in [&entries, &replaced] {
            drop_edited(held, changes);
        }
        for (id, version) in &changes.tokens {
            let is_outdated = |entry: &&Arc<Entry>| entry.is_outdated_by(*version);
            if let Some(entry) = entries.get(id).filter(is_outdated) {
                if let Some(working) = self.working_on(entry, now) {
                    replaced.insert(id.clone(), Arc::new(working));
                }
                entries.remove(id);
            }
            let is_dead = |entry: &Arc<Entry>| entry.is_replaced_again_by(*version);
            if replaced.get(id).is_some_and(is_dead) {
                replaced.remove(id);
            }
        }
    }

    /// A token that another instance has replaced since the last look, while it works on.
    ///
    /// Only one that was due: another may have been replaced because its caller reported it dead.
    fn working_on(&self, entry: &Entry, now: Timestamp) -> Option<Entry> {
        if !entry.is_due(now) {
            return None;
        }
        let own_end = entry.life.expires_at;
        let expires_at = match entry.overlap {
            None => own_end,
            Some(overlap) => {
                let until = self.last_look()?.plus(overlap);
                Some(own_end.map_or(until, |end| end.min(until)))
            }
        };
        Some(Entry {
            life: Life {
                expires_at,
                ..entry.life
            },
            due_at: None,
            ..entry.clone()
        })
    }

    /// The names of all secrets of which a token is held, one that was replaced included.
    #[must_use]
    pub fn names(&self) -> Vec<SecretId> {
        let (entries, replaced) = (self.entries.pin(), self.replaced.pin());
        entries.keys().chain(replaced.keys()).cloned().collect()
    }

    /// What of `current` is not what the held tokens were made with.
    #[must_use]
    pub fn differing(&self, mut current: Changes) -> Changes {
        let (entries, replaced) = (self.entries.pin(), self.replaced.pin());
        // The oldest and the newest version of a realm that a token was made with.
        let mut of_realm: HashMap<&str, (i64, i64)> = HashMap::new();
        for (id, entry) in entries.iter().chain(&replaced) {
            let version = entry.realm_version;
            let (oldest, newest) = of_realm.entry(&id.realm).or_insert((version, version));
            (*oldest, *newest) = (version.min(*oldest), version.max(*newest));
        }
        current.realms.retain(|(id, version)| {
            let held = of_realm.get(id.as_str());
            held.is_some_and(|(oldest, newest)| {
                [oldest, newest].iter().any(|held| *version != Some(**held))
            })
        });
        current.secrets.retain(|(id, version)| {
            let held = entries.get(id).or_else(|| replaced.get(id));
            held.is_some_and(|entry| *version != Some(entry.secret_version))
        });
        current.tokens.retain(|(id, version)| {
            let (held, before) = (entries.get(id), replaced.get(id));
            held.is_some_and(|entry| entry.is_outdated_by(*version))
                || before.is_some_and(|entry| entry.is_replaced_again_by(*version))
        });
        current
    }

    /// Drops tokens that nobody can be given any more.
    pub fn drop_expired(&self, now: Timestamp) {
        let _edits = self.edits();
        self.entries.pin().retain(|_, entry| entry.is_usable(now));
        self.replaced.pin().retain(|_, entry| entry.is_usable(now));
    }

    /// The asks that the store should be told of.
    #[must_use]
    pub fn take_untold_asks(&self) -> Vec<(SecretId, Timestamp)> {
        let entries = self.entries.pin();
        entries
            .iter()
            .filter_map(|(id, entry)| entry.asked.take_untold().map(|at| (id.clone(), at)))
            .collect()
    }

    /// Calls `visit` with each entry; for metrics.
    pub fn visit(&self, mut visit: impl FnMut(&SecretId, &Entry)) {
        for (id, entry) in &self.entries.pin() {
            visit(id, entry);
        }
    }

    fn edits(&self) -> MutexGuard<'_, Edits> {
        self.edits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Drops tokens that were made with other versions than those that their realm and secret have now.
fn drop_edited(
    entries: &papaya::HashMapRef<'_, SecretId, Arc<Entry>, RandomState, LocalGuard<'_>>,
    changes: &Changes,
) {
    if !changes.realms.is_empty() {
        let realms: HashMap<&str, _> = changes
            .realms
            .iter()
            .map(|(id, version)| (id.as_str(), *version))
            .collect();
        entries.retain(|id, entry| {
            realms
                .get(id.realm.as_str())
                .is_none_or(|version| *version == Some(entry.realm_version))
        });
    }
    for (id, version) in &changes.secrets {
        let is_outdated = |entry: &Arc<Entry>| *version != Some(entry.secret_version);
        if entries.get(id).is_some_and(is_outdated) {
            entries.remove(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(version: i64) -> Entry {
        let life = Life {
            obtained_at: Timestamp::from_epoch_ms(0),
            expires_at: None,
        };
        Entry {
            token: "t".into(),
            life,
            version,
            realm_version: 1,
            secret_version: 1,
            due_at: None,
            stale: None,
            asked: Arc::default(),
            previous_valid_until: None,
            outputs: Outputs::default(),
            token_use: None,
            is_fixed: false,
            overlap: Some(Duration::from_secs(5)),
            trust_for: Duration::from_secs(2),
            is_unstored: false,
            dies_when_renewed: false,
        }
    }

    fn held(memory: &Memory, id: &SecretId) -> Option<i64> {
        memory.find(id.borrowed()).map(|entry| entry.version)
    }

    #[test]
    fn an_edit_between_reading_and_keeping_wins() {
        let memory = Memory::new();
        let id = SecretId::new("r", "k");
        let mark = memory.mark();
        memory.forget(&id);
        memory.put(mark, &id, entry(1));
        assert_eq!(held(&memory, &id), None);
        memory.put(memory.mark(), &id, entry(1));
        assert_eq!(held(&memory, &id), Some(1));
    }

    #[test]
    fn an_edit_that_the_entry_was_made_with_or_of_something_else_does_not_matter() {
        let memory = Memory::new();
        let (id, other) = (SecretId::new("r", "k"), SecretId::new("r", "other"));
        let mark = memory.mark();
        memory.forget(&other);
        memory.forget_realm("other");
        let versions = |realm, secret| Changes {
            realms: vec![("r".to_owned(), Some(realm))],
            secrets: vec![(id.clone(), Some(secret))],
            tokens: Vec::new(),
        };
        memory.apply(&versions(1, 1), Timestamp::from_epoch_ms(0));
        memory.put(mark, &id, entry(1));
        assert_eq!(held(&memory, &id), Some(1));
        memory.apply(&versions(1, 2), Timestamp::from_epoch_ms(0));
        memory.put(mark, &id, entry(3));
        assert_eq!(held(&memory, &id), None);
    }

    #[test]
    fn an_older_token_never_replaces_a_newer_one() {
        let memory = Memory::new();
        let id = SecretId::new("r", "k");
        memory.put(memory.mark(), &id, entry(2));
        memory.put(memory.mark(), &id, entry(1));
        assert_eq!(held(&memory, &id), Some(2));
    }

    #[test]
    fn changes_of_others_drop_what_they_outdate() {
        let id = SecretId::new("r", "k");
        let changed = |realm: Option<i64>, secret: Option<i64>, token: Option<i64>| {
            let memory = Memory::new();
            memory.put(memory.mark(), &id, entry(3));
            memory.apply(
                &Changes {
                    realms: vec![("r".to_owned(), realm), ("other".to_owned(), None)],
                    secrets: vec![(id.clone(), secret)],
                    tokens: vec![(id.clone(), token)],
                },
                Timestamp::from_epoch_ms(0),
            );
            held(&memory, &id)
        };
        assert_eq!(changed(Some(1), Some(1), Some(3)), Some(3));
        assert_eq!(changed(Some(2), Some(1), Some(3)), None);
        assert_eq!(changed(Some(1), Some(2), Some(3)), None);
        assert_eq!(changed(Some(1), Some(1), Some(4)), None);
        assert_eq!(changed(Some(1), None, Some(3)), None);
        assert_eq!(changed(Some(1), Some(1), None), None);
    }

    #[test]
    fn a_token_that_another_instance_replaced_works_on_for_its_overlap() {
        let memory = Memory::new();
        let (id, at) = (SecretId::new("r", "k"), Timestamp::from_epoch_ms);
        memory.note_look(at(1000), true);
        let due = Entry {
            due_at: Some(at(1500)),
            ..entry(1)
        };
        memory.put(memory.mark(), &id, due.clone());
        let replaced = |secret| Changes {
            secrets: vec![(id.clone(), Some(secret))],
            tokens: vec![(id.clone(), Some(2))],
            ..Changes::default()
        };
        memory.apply(&replaced(1), at(1499));
        assert!(
            memory.find_replaced(id.borrowed()).is_none(),
            "it may have died early"
        );
        memory.put(memory.mark(), &id, due);
        memory.apply(&replaced(1), at(2000));
        assert_eq!(held(&memory, &id), None);
        let working = memory.find_replaced(id.borrowed()).unwrap();
        assert_eq!(working.life.expires_at, Some(at(6000)));
        memory.apply(&replaced(2), at(2000));
        assert!(memory.find_replaced(id.borrowed()).is_none(), "retired");
    }

    /// A memory with a token that another instance has replaced.
    fn with_replaced(id: &SecretId, overlap: Option<Duration>) -> Memory {
        let (memory, at) = (Memory::new(), Timestamp::from_epoch_ms);
        memory.note_look(at(1000), true);
        let due = Entry {
            due_at: Some(at(1500)),
            overlap,
            ..entry(1)
        };
        memory.put(memory.mark(), id, due);
        memory.apply(&current(id, (1, 1), Some(2)), at(2000));
        assert!(memory.find_replaced(id.borrowed()).is_some());
        memory
    }

    /// How a secret stands: the versions of its realm, itself and its token.
    fn current(id: &SecretId, (realm, secret): (i64, i64), token: Option<i64>) -> Changes {
        Changes {
            realms: vec![(id.realm.clone(), Some(realm))],
            secrets: vec![(id.clone(), Some(secret))],
            tokens: vec![(id.clone(), token)],
        }
    }

    #[test]
    fn a_replaced_token_is_compared_with_the_store_as_others_are() {
        let id = SecretId::new("r", "k");
        let works_on = Some(Duration::from_secs(5));
        for (overlap, current, stays) in [
            (works_on, current(&id, (1, 1), Some(2)), true),
            (works_on, current(&id, (2, 1), Some(2)), false),
            (works_on, current(&id, (1, 2), Some(2)), false),
            (works_on, current(&id, (1, 1), Some(3)), false),
            (works_on, current(&id, (1, 1), None), false),
            // Each lives to its own end.
            (None, current(&id, (1, 1), Some(3)), true),
        ] {
            let memory = with_replaced(&id, overlap);
            assert_eq!(memory.names(), std::slice::from_ref(&id));
            // As a sweep does it: no look has seen the change.
            let missed = memory.differing(current.clone());
            assert_eq!(missed == Changes::default(), stays, "{current:?}");
            memory.apply(&missed, Timestamp::from_epoch_ms(2000));
            let replaced = memory.find_replaced(id.borrowed());
            assert_eq!(replaced.is_some(), stays, "{current:?}");
        }
    }

    #[test]
    fn a_token_of_an_old_definition_is_found_among_those_of_the_new_one() {
        let id = |key: usize| SecretId::new("r", key.to_string());
        for old in 0..20 {
            let memory = Memory::new();
            for key in 0..20 {
                let made = Entry {
                    realm_version: if key == old { 1 } else { 2 },
                    ..entry(1)
                };
                memory.put(memory.mark(), &id(key), made);
            }
            let missed = memory.differing(current(&id(0), (2, 1), Some(1)));
            assert_eq!(missed.realms, [("r".to_owned(), Some(2))], "{old}");
            memory.apply(&missed, Timestamp::from_epoch_ms(0));
            assert_eq!(memory.names().len(), 19);
            assert_eq!(held(&memory, &id(old)), None);
        }
    }

    #[test]
    fn trust_ends_when_looks_stop() {
        let memory = Memory::new();
        let at = |ms| Timestamp::from_epoch_ms(ms);
        assert!(!memory.is_trusted(&entry(1), at(0)));
        memory.note_look(at(1000), true);
        assert!(memory.is_trusted(&entry(1), at(3000)));
        assert!(!memory.is_trusted(&entry(1), at(3001)));
        memory.note_look(at(2000), false);
        assert_eq!(memory.away_since(), Some(at(1000)));
    }
}
