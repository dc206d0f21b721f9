//! What is stored of a fetch: its life, when it is due, what it replaces.

use std::sync::Arc;
use std::time::Duration;

use super::turn::Turn;
use super::{Renewal, View};
use crate::clock::Timestamp;
use crate::realm::{Expiry, Fetched, Reissue};
use crate::secret::SecretId;
use crate::service::cause::Cause;
use crate::service::memory::Entry;
use crate::service::schedule::{due_at, repeat_at};
use crate::service::{Stale, TokenAnswer};
use crate::store::{Commit, Lease, StoreError, StoredToken};
use crate::token::{Life, Source, TokenText};

/// How often a commit is tried while the lease holds, and the pause between.
const COMMIT_TRIES: u32 = 5;
const COMMIT_PAUSE: Duration = Duration::from_millis(200);
/// The longest pause when it is tried on behind the caller's back.
const LONGEST_COMMIT_PAUSE: Duration = Duration::from_secs(5);

impl Renewal {
    pub(super) fn entry_of(
        &self,
        view: &View,
        commit: &Commit,
        version: i64,
        stale: Option<Stale>,
    ) -> Entry {
        let previous_valid_until = commit.previous.as_ref().and_then(|(_, until)| *until);
        Entry {
            due_at: commit.due_at,
            stale,
            previous_valid_until,
            ..self.entry(view, &commit.token, version)
        }
    }

    pub(super) fn commit_of(
        &self,
        turn: Turn<'_>,
        fetched: &Fetched,
        started: Timestamp,
    ) -> Commit {
        let Turn {
            lease, view, cause, ..
        } = turn;
        let now = self.parts.clock.now();
        let expires_at = match fetched.expiry {
            Expiry::In(told) => Some(started.plus(told)),
            Expiry::Untold => Some(started.plus(self.settings.default_life)),
            Expiry::Never => None,
        };
        let mut life = Life {
            obtained_at: started,
            expires_at,
        };
        let mut due = due_at(life, &view.policy, &lease.id);
        let mut repeat_count = 0;
        let held = view
            .current()
            .filter(|held| held.life.expires_at.is_none_or(|at| at > started));
        let extends = matches!(view.policy.reissue, Reissue::Same { extends: true, .. });
        if let Some(held) = held.filter(|held| held.text == fetched.token && !extends) {
            // The same token came back: its life is not longer than was told before.
            life.expires_at = life
                .expires_at
                .min(held.life.expires_at.or(life.expires_at));
            let whole = Life {
                obtained_at: held.life.obtained_at,
                ..life
            };
            repeat_count = view.row.as_ref().map_or(0, |row| row.repeat_count)
                + i64::from(matches!(cause, Cause::Due | Cause::MinTtl { .. }));
            let as_ruled = due_at(whole, &view.policy, &lease.id).filter(|due| *due > now);
            due = repeat_at(now, life, repeat_count).max(as_ruled);
        }
        // A grant that ages is used before a fifth of its life is left, though the token would live
        // on.
        let grant_due = fetched
            .grant_expires_at
            .map(|ends| ends.minus(ends.since(started) / 5));
        let due = due.into_iter().chain(grant_due).min();
        let previous = held.filter(|held| held.text != fetched.token);
        Commit {
            // Where tokens coexist, one that dies early was withdrawn, not replaced.
            is_foreign: matches!(cause, Cause::Report { .. })
                && previous.is_some_and(|held| view.was_early(held, started))
                && view.policy.reissue != Reissue::Coexists,
            previous: previous.map(|held| previous_of(view, held, cause, now)),
            token: StoredToken {
                text: fetched.token.clone(),
                life,
                realm_version: view.realm_version,
                secret_version: view.secret.version,
                outputs: fetched.outputs.iter().cloned().collect(),
            },
            version: view.row.as_ref().map_or(0, |row| row.version) + 1,
            due_at: due,
            was_asked: !cause.is_background(),
            repeat_count,
            at: now,
        }
    }

    /// Writes the token; the provider has given it, so a store that is away for a moment is asked
    /// again.
    pub(super) async fn commit(&self, lease: &Lease, commit: &Commit) -> Result<bool, StoreError> {
        let mut tries = 1;
        loop {
            let outcome = self.parts.store.commit_token(lease, commit).await;
            if outcome.is_ok() || tries == COMMIT_TRIES || self.parts.clock.now() >= lease.until {
                return outcome;
            }
            tries += 1;
            tokio::time::sleep(COMMIT_PAUSE).await;
        }
    }

    /// The token works although it could not be stored: it is handed out, gives way to any that is
    /// stored later, and is stored as soon as the store answers, unless another was.
    pub(super) fn unstored(
        &self,
        turn: Turn<'_>,
        commit: Commit,
        error: &StoreError,
    ) -> TokenAnswer {
        let Turn {
            lease: Lease { id, .. },
            view,
            ..
        } = turn;
        tracing::error!(realm = id.realm, key = id.key, %error, "a fetched token could not be stored");
        let warning = "the database is not available; this token could not be stored".to_owned();
        let stale = Some(Stale {
            since: commit.at,
            warning,
            is_of_base: false,
        });
        let entry = Entry {
            is_unstored: true,
            ..self.entry_of(view, &commit, commit.version, stale)
        };
        let answer = entry.answer(Source::Upstream);
        self.parts.memory.put(view.mark, id, entry);
        self.store_later(turn, commit);
        answer
    }

    /// Tries on behind the caller's back. The lease's epoch decides also when its time is over:
    /// nobody may have come.
    fn store_later(&self, turn: Turn<'_>, commit: Commit) {
        let (lease, mark) = (turn.lease.clone(), turn.view.mark);
        let stored = self.entry_of(turn.view, &commit, commit.version, None);
        let (store, memory) = (
            Arc::clone(&self.parts.store),
            Arc::clone(&self.parts.memory),
        );
        let (clock, tasks) = (Arc::clone(&self.parts.clock), self.parts.tasks.clone());
        self.parts.tasks.spawn("late commit", async move {
            let (SecretId { realm, key }, mut pause) = (&lease.id, COMMIT_PAUSE);
            while stored.is_usable(clock.now()) {
                tokio::select! {
                    () = tasks.stopping() => return,
                    () = tokio::time::sleep(pause) => {}
                }
                match store.commit_token(&lease, &commit).await {
                    Ok(true) => {
                        tracing::info!(realm, key, "a fetched token is stored after all");
                        return memory.put(mark, &lease.id, stored);
                    }
                    Ok(false) => {
                        return tracing::warn!(realm, key, "another token was stored meanwhile");
                    }
                    Err(_) => pause = (pause * 2).min(LONGEST_COMMIT_PAUSE),
                }
            }
        });
    }
}

impl View {
    /// Whether a token died before anybody would have renewed it.
    fn was_early(&self, held: &StoredToken, now: Timestamp) -> bool {
        let due_at = self.row.as_ref().and_then(|row| row.due_at);
        now < due_at
            .or(held.life.expires_at)
            .unwrap_or(Timestamp::from_epoch_ms(i64::MAX))
    }

    /// The stored token, if it was made with the current versions; usable or not.
    pub(super) fn current(&self) -> Option<&StoredToken> {
        let token = self.row.as_ref()?.token.as_ref()?;
        let is_current = token.realm_version == self.realm_version
            && token.secret_version == self.secret.version;
        is_current.then_some(token)
    }
}

/// A replaced token, and until when it works on.
fn previous_of(
    view: &View,
    held: &StoredToken,
    cause: Cause,
    now: Timestamp,
) -> (TokenText, Option<Timestamp>) {
    let own_end = held.life.expires_at;
    // A provider that repeats its token, and was forced to give another, has killed the first.
    let was_killed = cause.is_forced() && matches!(view.policy.reissue, Reissue::Same { .. });
    let is_dead = was_killed || matches!(cause, Cause::Report { .. });
    let overlap = if is_dead {
        Some(Duration::ZERO)
    } else {
        view.policy.overlap()
    };
    let until = match overlap {
        None => own_end,
        Some(overlap) => Some(own_end.map_or(now.plus(overlap), |end| end.min(now.plus(overlap)))),
    };
    (held.text.clone(), until)
}
