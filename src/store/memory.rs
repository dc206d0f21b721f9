//! The store in this process's memory: for simulations and tests of the service; passes the suite
//! of the SQL store.

mod calls;
mod changes;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use futures_util::future::BoxFuture;

use super::{
    CallFilter, CallOutcome, CallRow, Changes, Commit, DueToken, DueWindow, ForeignRefreshes,
    Grant, Intent, Lease, Listed, Page, RealmRow, RecordedFailure, SecretFilter, SecretRow, Store,
    StoreError, StoreResult, TokenRow, Usage,
};
use crate::clock::{Clock, Timestamp};
use crate::secret::{Credentials, SecretContent, SecretId};

/// Rows in maps under one lock; each call is atomic.
///
/// A simulation may put a [`Gate`] before the calls of one instance, to order them or to make one
/// fail.
pub struct MemoryStore {
    clock: Arc<dyn Clock>,
    state: Arc<Mutex<State>>,
    gate: Option<Gate>,
}

/// Awaited before each call with the call's name; its error is the call's.
pub type Gate = Arc<dyn Fn(&'static str) -> BoxFuture<'static, StoreResult<()>> + Send + Sync>;

#[derive(Default)]
struct State {
    unavailable: bool,
    realms: BTreeMap<String, RealmRow>,
    secrets: BTreeMap<SecretId, SecretRow>,
    tokens: BTreeMap<SecretId, (TokenRow, Option<String>, Timestamp)>,
    asked: BTreeMap<SecretId, Timestamp>,
    calls: BTreeMap<String, CallRow>,
}

impl MemoryStore {
    /// An empty store whose own clock is `clock`.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            state: Arc::default(),
            gate: None,
        }
    }

    /// The same rows, behind a gate.
    #[must_use]
    pub fn behind(&self, gate: Gate) -> Self {
        Self {
            clock: Arc::clone(&self.clock),
            state: Arc::clone(&self.state),
            gate: Some(gate),
        }
    }

    /// Makes every call fail as if the database were away, or ends that.
    pub fn set_unavailable(&self, unavailable: bool) {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .unavailable = unavailable;
    }

    async fn enter(&self, call: &'static str) -> StoreResult<MutexGuard<'_, State>> {
        if let Some(gate) = &self.gate {
            gate(call).await?;
        }
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.unavailable {
            Err(StoreError::Unavailable("switched off".to_owned()))
        } else {
            Ok(state)
        }
    }
}

impl std::fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MemoryStore")
    }
}

fn page_of<T>(
    mut items: Vec<T>,
    newest_first: impl Fn(&T) -> (i64, String),
    page: Page,
) -> Listed<T> {
    items.sort_by_cached_key(newest_first);
    let total = items.len() as u64;
    let bound = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    Listed {
        items: items
            .into_iter()
            .skip(bound(page.offset))
            .take(bound(page.limit))
            .collect(),
        total,
    }
}

impl State {
    /// The row, while this lease is its latest and not given back.
    fn of_lease(&mut self, lease: &Lease) -> Option<&mut (TokenRow, Option<String>, Timestamp)> {
        let row = self.tokens.get_mut(&lease.id)?;
        let is_held = row.0.lease_epoch == lease.epoch && row.1.as_deref() == Some(&lease.owner);
        is_held.then_some(row)
    }
}

fn free(row: &mut (TokenRow, Option<String>, Timestamp)) {
    row.0.lease_until = Timestamp::from_epoch_ms(0);
    row.1 = None;
}

#[async_trait]
impl Store for MemoryStore {
    async fn now(&self) -> StoreResult<Timestamp> {
        self.enter("now").await.map(|_| self.clock.now())
    }

    async fn find_realm(&self, id: &str) -> StoreResult<Option<RealmRow>> {
        Ok(self.enter("find_realm").await?.realms.get(id).cloned())
    }

    async fn list_realms(
        &self,
        keyword: Option<&str>,
        page: Page,
    ) -> StoreResult<Listed<RealmRow>> {
        let keyword = keyword.unwrap_or_default().to_lowercase();
        let mentions = |text: &str| text.to_lowercase().contains(&keyword);
        let matches = |row: &&RealmRow| {
            let found = mentions(&row.id) || row.comment.as_deref().is_some_and(mentions);
            row.deleted_at.is_none() && found
        };
        let rows = self
            .enter("list_realms")
            .await?
            .realms
            .values()
            .filter(matches)
            .cloned()
            .collect();
        Ok(page_of(
            rows,
            |row: &RealmRow| (-row.updated_at.epoch_ms(), row.id.clone()),
            page,
        ))
    }

    async fn insert_realm(&self, row: &RealmRow) -> StoreResult<bool> {
        let mut state = self.enter("insert_realm").await?;
        let is_new = !state.realms.contains_key(&row.id);
        state
            .realms
            .entry(row.id.clone())
            .or_insert_with(|| row.clone());
        Ok(is_new)
    }

    async fn update_realm(&self, row: &RealmRow, expected_revision: i64) -> StoreResult<bool> {
        let mut state = self.enter("update_realm").await?;
        let stored = state
            .realms
            .get_mut(&row.id)
            .filter(|stored| stored.revision == expected_revision);
        Ok(stored.map(|stored| stored.clone_from(row)).is_some())
    }

    async fn find_secret(&self, id: &SecretId) -> StoreResult<Option<SecretRow>> {
        Ok(self.enter("find_secret").await?.secrets.get(id).cloned())
    }

    async fn list_secrets(
        &self,
        filter: &SecretFilter,
        page: Page,
    ) -> StoreResult<Listed<SecretRow>> {
        let wanted = |filter: &Option<String>, value: &str| {
            filter.as_deref().is_none_or(|wanted| wanted == value)
        };
        let matches = |row: &&SecretRow| {
            row.deleted_at.is_none()
                && wanted(&filter.realm, &row.id.realm)
                && wanted(&filter.key, &row.id.key)
        };
        let rows = self
            .enter("list_secrets")
            .await?
            .secrets
            .values()
            .filter(matches)
            .cloned()
            .collect();
        let order = |row: &SecretRow| {
            (
                -row.updated_at.epoch_ms(),
                format!("{}\0{}", row.id.realm, row.id.key),
            )
        };
        Ok(page_of(rows, order, page))
    }

    async fn insert_secret(&self, row: &SecretRow) -> StoreResult<bool> {
        let mut state = self.enter("insert_secret").await?;
        let is_new = !state.secrets.contains_key(&row.id);
        state
            .secrets
            .entry(row.id.clone())
            .or_insert_with(|| row.clone());
        Ok(is_new)
    }

    async fn update_secret(&self, row: &SecretRow, expected_revision: i64) -> StoreResult<bool> {
        let mut state = self.enter("update_secret").await?;
        let stored = state
            .secrets
            .get_mut(&row.id)
            .filter(|stored| stored.revision == expected_revision);
        let Some(stored) = stored else {
            return Ok(false);
        };
        let (pushed, pushed_version) = (stored.pushed.clone(), stored.pushed_version);
        *stored = SecretRow {
            pushed,
            pushed_version,
            ..row.clone()
        };
        Ok(true)
    }

    async fn update_pushed(
        &self,
        id: &SecretId,
        pushed: &Credentials,
        expected_version: i64,
        now: Timestamp,
    ) -> StoreResult<bool> {
        let mut state = self.enter("update_pushed").await?;
        let live = state
            .secrets
            .get_mut(id)
            .filter(|row| row.deleted_at.is_none());
        let Some(row) = live.filter(|row| row.pushed_version == expected_version) else {
            return Ok(false);
        };
        row.pushed = pushed.clone();
        row.pushed_version += 1;
        row.changed_at = now;
        Ok(true)
    }

    async fn begin_spend(
        &self,
        id: &SecretId,
        before: Option<&Intent>,
        intent: &Intent,
    ) -> StoreResult<bool> {
        let mut state = self.enter("begin_spend").await?;
        let grant = state.tokens.get_mut(id).map(|(row, ..)| &mut row.grant);
        let is_before = |grant: &&mut Grant| {
            grant.generation == intent.generation && grant.intent.as_ref() == before
        };
        let Some(grant) = grant.filter(is_before) else {
            return Ok(false);
        };
        grant.intent = Some(intent.clone());
        Ok(true)
    }

    async fn end_spend(
        &self,
        id: &SecretId,
        intent: &Intent,
        spent: Option<&Grant>,
    ) -> StoreResult<bool> {
        let mut state = self.enter("end_spend").await?;
        let grant = state.tokens.get_mut(id).map(|(row, ..)| &mut row.grant);
        let is_latest = |grant: &&mut Grant| {
            grant.generation == intent.generation
                && (spent.is_some() || grant.intent.as_ref() == Some(intent))
        };
        let Some(grant) = grant.filter(is_latest) else {
            return Ok(false);
        };
        grant.intent = None;
        if let Some(spent) = spent {
            *grant = Grant {
                generation: intent.generation + 1,
                intent: None,
                ..spent.clone()
            };
        }
        Ok(true)
    }

    async fn find_token(&self, id: &SecretId) -> StoreResult<Option<TokenRow>> {
        Ok(self
            .enter("find_token")
            .await?
            .tokens
            .get(id)
            .map(|(row, ..)| row.clone()))
    }

    async fn claim_lease(
        &self,
        id: &SecretId,
        owner: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> StoreResult<Option<Lease>> {
        let mut state = self.enter("claim_lease").await?;
        let row = state
            .tokens
            .entry(id.clone())
            .or_insert_with(|| (TokenRow::blank(id), None, now));
        if row.0.lease_until > now {
            return Ok(None);
        }
        row.0.lease_epoch += 1;
        row.0.lease_until = until;
        row.1 = Some(owner.to_owned());
        Ok(Some(Lease {
            id: id.clone(),
            owner: owner.to_owned(),
            epoch: row.0.lease_epoch,
            until,
        }))
    }

    async fn commit_token(&self, lease: &Lease, commit: &Commit) -> StoreResult<bool> {
        let mut state = self.enter("commit_token").await?;
        let Some(row) = state.of_lease(lease) else {
            return Ok(false);
        };
        free(row);
        row.0.version = commit.version;
        row.0.token = Some(commit.token.clone());
        row.0.due_at = commit.due_at;
        if let Some((_, until)) = &commit.previous {
            row.0.previous_valid_until = *until;
        }
        row.0.failed_attempts = 0;
        row.0.repeat_count = commit.repeat_count;
        if commit.is_foreign {
            row.0.foreign_refreshes = ForeignRefreshes {
                count: row.0.foreign_refreshes.count + 1,
                last_at: Some(commit.at),
            };
        }
        row.2 = commit.at;
        if commit.was_asked {
            state.asked.insert(lease.id.clone(), commit.at);
        }
        Ok(true)
    }

    async fn release_lease(
        &self,
        lease: &Lease,
        failure: Option<&RecordedFailure>,
    ) -> StoreResult<bool> {
        let mut state = self.enter("release_lease").await?;
        let Some(row) = state.of_lease(lease) else {
            return Ok(false);
        };
        free(row);
        if let Some(failure) = failure {
            row.0.failure = Some(failure.clone());
            row.0.failed_attempts += 1;
        }
        Ok(true)
    }

    async fn list_next_due(&self, by: Timestamp, most: u64) -> StoreResult<Vec<SecretId>> {
        let state = self.enter("list_next_due").await?;
        let due = state.secrets.values().filter_map(|row| {
            let due_at = row
                .next
                .as_ref()
                .map(|next| next.due_at)
                .filter(|due_at| *due_at <= by)?;
            Some((due_at, row.id.clone()))
        });
        let mut due: Vec<_> = due.collect();
        due.sort();
        due.truncate(usize::try_from(most).unwrap_or(usize::MAX));
        Ok(due.into_iter().map(|(_, id)| id).collect())
    }

    async fn retire_tokens(
        &self,
        realm: &str,
        key: Option<&str>,
        now: Timestamp,
    ) -> StoreResult<()> {
        let mut state = self.enter("retire_tokens").await?;
        let is_of = |id: &SecretId| id.realm == realm && key.is_none_or(|key| key == id.key);
        for (id, row) in state.tokens.iter_mut().filter(|(id, _)| is_of(id)) {
            let counters = (
                row.0.version,
                row.0.lease_epoch + 1,
                row.0.grant.generation + 1,
            );
            *row = (TokenRow::blank(id), None, now);
            (row.0.version, row.0.lease_epoch, row.0.grant.generation) = counters;
        }
        Ok(())
    }

    async fn delete_secrets(
        &self,
        realm: &str,
        key: Option<&str>,
        now: Timestamp,
    ) -> StoreResult<u64> {
        let mut state = self.enter("delete_secrets").await?;
        let is_of = |id: &SecretId| id.realm == realm && key.is_none_or(|key| key == id.key);
        let live = state
            .secrets
            .values_mut()
            .filter(|row| row.deleted_at.is_none() && is_of(&row.id));
        let mut count = 0;
        for row in live {
            row.content = SecretContent::default();
            row.next = None;
            row.pushed = Credentials::default();
            row.pushed_version += 1;
            row.version += 1;
            row.revision += 1;
            (row.updated_at, row.changed_at, row.deleted_at) = (now, now, Some(now));
            count += 1;
        }
        Ok(count)
    }

    async fn list_due(
        &self,
        window: &DueWindow,
        after: Option<&DueToken>,
        most: u64,
    ) -> StoreResult<Vec<DueToken>> {
        let state = self.enter("list_due").await?;
        let is_wanted = |id: &SecretId, row: &TokenRow| {
            let was_asked = state
                .asked
                .get(id)
                .is_some_and(|at| *at >= window.asked_since);
            was_asked
                || row
                    .grant
                    .expires_at
                    .is_some_and(|at| at <= window.grants_by)
        };
        let due = state.tokens.iter().filter_map(|(id, (row, ..))| {
            let due_at = row
                .due_at
                .filter(|due_at| *due_at <= window.by && is_wanted(id, row))?;
            Some((due_at, id.clone()))
        });
        let after = after.map(|after| (after.due_at, after.id.clone()));
        let mut due: Vec<_> = due
            .filter(|due| after.as_ref().is_none_or(|after| due > after))
            .collect();
        due.sort();
        due.truncate(usize::try_from(most).unwrap_or(usize::MAX));
        Ok(due
            .into_iter()
            .map(|(due_at, id)| DueToken { id, due_at })
            .collect())
    }

    async fn note_asked(&self, id: &SecretId, at: Timestamp) -> StoreResult<()> {
        self.enter("note_asked").await?.asked.insert(id.clone(), at);
        Ok(())
    }

    async fn insert_call(&self, row: &CallRow) -> StoreResult<()> {
        self.enter("insert_call")
            .await?
            .calls
            .insert(row.id.clone(), row.clone());
        Ok(())
    }

    async fn finish_call(&self, id: &str, outcome: &CallOutcome) -> StoreResult<()> {
        if let Some(row) = self.enter("finish_call").await?.calls.get_mut(id) {
            row.outcome.clone_from(&outcome.outcome);
            row.provider_code.clone_from(&outcome.provider_code);
            row.provider_message.clone_from(&outcome.provider_message);
            row.duration_ms = outcome.duration_ms;
        }
        Ok(())
    }

    async fn call_usage(
        &self,
        realm: &str,
        key: Option<&str>,
        since: Timestamp,
        asking_since: Timestamp,
    ) -> StoreResult<Usage> {
        Ok(calls::usage(
            &self.enter("call_usage").await?.calls,
            (realm, key),
            since,
            asking_since,
        ))
    }

    async fn withdraw_call(&self, id: &str) -> StoreResult<()> {
        self.enter("withdraw_call").await?.calls.remove(id);
        Ok(())
    }

    async fn list_calls(&self, filter: &CallFilter, page: Page) -> StoreResult<Listed<CallRow>> {
        let rows = calls::matching(&self.enter("list_calls").await?.calls, filter);
        Ok(page_of(
            rows,
            |row: &CallRow| (-row.at.epoch_ms(), String::new()),
            page,
        ))
    }

    async fn delete_calls(&self, before: Timestamp, most: u64) -> StoreResult<u64> {
        let mut state = self.enter("delete_calls").await?;
        let old = state
            .calls
            .values()
            .filter(|row| row.at < before)
            .map(|row| row.id.clone());
        let old: Vec<_> = old
            .take(usize::try_from(most).unwrap_or(usize::MAX))
            .collect();
        for id in &old {
            state.calls.remove(id);
        }
        Ok(old.len() as u64)
    }

    async fn list_changes(&self, since: Timestamp) -> StoreResult<Changes> {
        Ok(changes::since(&*self.enter("list_changes").await?, since))
    }

    async fn list_current(&self, ids: &[SecretId]) -> StoreResult<Changes> {
        Ok(changes::current(&*self.enter("list_current").await?, ids))
    }

    async fn delete_tombstones(&self, before: Timestamp) -> StoreResult<u64> {
        let mut state = self.enter("delete_tombstones").await?;
        let count = state.realms.len() + state.secrets.len();
        let keep = |deleted_at: Option<Timestamp>| deleted_at.is_none_or(|at| at >= before);
        state.realms.retain(|_, row| keep(row.deleted_at));
        state.secrets.retain(|_, row| keep(row.deleted_at));
        Ok((count - state.realms.len() - state.secrets.len()) as u64)
    }
}
