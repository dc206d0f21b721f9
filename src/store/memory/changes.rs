//! What changed, and how things stand.

use std::collections::BTreeSet;

use super::{Changes, RealmRow, SecretRow, State};
use crate::clock::Timestamp;
use crate::secret::SecretId;

pub(super) fn since(state: &State, since: Timestamp) -> Changes {
    let realms = state.realms.values().filter(|row| row.changed_at >= since);
    let secrets = state.secrets.values().filter(|row| row.changed_at >= since);
    let tokens = state
        .tokens
        .iter()
        .filter(|(_, (.., changed_at))| *changed_at >= since);
    let live = |version, deleted_at: Option<Timestamp>| deleted_at.is_none().then_some(version);
    Changes {
        realms: realms
            .map(|row| (row.id.clone(), live(row.version, row.deleted_at)))
            .collect(),
        secrets: secrets
            .map(|row| (row.id.clone(), live(row.version, row.deleted_at)))
            .collect(),
        tokens: tokens
            .map(|(id, (row, ..))| (id.clone(), row.token.as_ref().map(|_| row.version)))
            .collect(),
    }
}

pub(super) fn current(state: &State, ids: &[SecretId]) -> Changes {
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
    let token = |id| {
        state
            .tokens
            .get(id)
            .and_then(|(row, ..)| row.token.as_ref().map(|_| row.version))
    };
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
