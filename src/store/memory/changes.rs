//! What changed, and how things stand.

use std::collections::BTreeSet;

use async_trait::async_trait;

use super::super::{ChangeStore, Changes, RealmRow, SecretRow, StoreResult};
use super::{MemoryStore, State, TokenEntry};
use crate::clock::Timestamp;
use crate::secret::SecretId;

fn changed(state: &State, since: Timestamp) -> Changes {
    let realms = state.realms.values().filter(|row| row.changed_at >= since);
    let secrets = state.secrets.values().filter(|row| row.changed_at >= since);
    let tokens = state
        .tokens
        .iter()
        .filter(|(_, entry)| entry.changed_at >= since);
    let live = |version, deleted_at: Option<Timestamp>| deleted_at.is_none().then_some(version);
    Changes {
        realms: realms
            .map(|row| (row.id.clone(), live(row.version, row.deleted_at)))
            .collect(),
        secrets: secrets
            .map(|row| (row.id.clone(), live(row.version, row.deleted_at)))
            .collect(),
        tokens: tokens
            .map(|(id, entry)| (id.clone(), version_of(entry)))
            .collect(),
    }
}

fn current(state: &State, ids: &[SecretId]) -> Changes {
    let live = |version, deleted_at: Option<Timestamp>| deleted_at.is_none().then_some(version);
    let realm = |id: &str| {
        state
            .realms
            .get(id)
            .and_then(|row: &RealmRow| live(row.version, row.deleted_at))
    };
    let secret = |id| {
        state
            .secrets
            .get(id)
            .and_then(|row: &SecretRow| live(row.version, row.deleted_at))
    };
    let token = |id| state.tokens.get(id).and_then(version_of);
    let realms: BTreeSet<&String> = ids.iter().map(|id| &id.realm).collect();
    Changes {
        realms: realms
            .into_iter()
            .map(|id| (id.clone(), realm(id)))
            .collect(),
        secrets: ids.iter().map(|id| (id.clone(), secret(id))).collect(),
        tokens: ids.iter().map(|id| (id.clone(), token(id))).collect(),
    }
}

fn version_of(entry: &TokenEntry) -> Option<i64> {
    entry.row.token.as_ref().map(|_| entry.row.version)
}

#[async_trait]
impl ChangeStore for MemoryStore {
    async fn list_changes(&self, since: Timestamp) -> StoreResult<Changes> {
        Ok(changed(&*self.enter("list_changes").await?, since))
    }

    async fn list_current(&self, ids: &[SecretId]) -> StoreResult<Changes> {
        Ok(current(&*self.enter("list_current").await?, ids))
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
