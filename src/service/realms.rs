//! Saving, listing and deleting realms.

mod confirm;

use std::sync::Arc;

use super::edit::{Patch, RealmEdit};
use super::stored::{config_of, stored_definition};
use super::{ServiceError, Tokens};
use crate::clock::Clock;
use crate::realm::Definition;
use crate::store::{
    EditStore, Listed, Page, RealmFilter, RealmRow, SecretFilter, SecretOutline, StoreError,
};

/// A realm as it is answered.
#[derive(Clone, Debug)]
pub struct Realm {
    /// The stored row.
    pub row: RealmRow,
    /// What the operator should know.
    pub warnings: Vec<String>,
}

/// The realms.
#[derive(Clone)]
pub struct Realms {
    store: Arc<dyn EditStore>,
    tokens: Tokens,
    clock: Arc<dyn Clock>,
}

/// How often a write that lost a race is tried again.
pub(super) const WRITE_TRIES: u32 = 10;
/// How many realms are looked at for a cycle.
const MOST_BASES: usize = 100;
/// How many secrets a saved realm's warnings look at.
const WARN_SECRETS: u64 = 100;

impl Realms {
    /// Over one store; edits are told to `tokens`.
    #[must_use]
    pub fn new(store: Arc<dyn EditStore>, tokens: Tokens, clock: Arc<dyn Clock>) -> Self {
        Self {
            store,
            tokens,
            clock,
        }
    }

    /// A realm by id.
    ///
    /// # Errors
    /// `UnknownRealm`, `Store`.
    pub async fn show(&self, id: &str) -> Result<RealmRow, ServiceError> {
        self.find_live(id)
            .await?
            .ok_or_else(|| ServiceError::UnknownRealm(id.to_owned()))
    }

    /// What a saved realm says.
    ///
    /// # Errors
    /// `UnknownRealm`, `StoredRealm`, `Store`.
    pub async fn definition(&self, id: &str) -> Result<Definition, ServiceError> {
        stored_definition(&self.show(id).await?)
    }

    /// A page of realms.
    ///
    /// # Errors
    /// `Store`.
    pub async fn list(
        &self,
        filter: &RealmFilter,
        page: Page,
    ) -> Result<Listed<RealmRow>, ServiceError> {
        Ok(self.store.list_realms(filter, page).await?)
    }

    /// Creates or updates a realm. Its version moves only if what is fetched changed.
    ///
    /// # Errors
    /// `Invalid` with everything wrong in the definition; `HostsChanged`; `Store`.
    pub async fn save(&self, edit: &RealmEdit) -> Result<Realm, ServiceError> {
        for _ in 0..WRITE_TRIES {
            let stored = self.store.find_realm(&edit.id).await?;
            let row = merge(edit.clone(), stored.as_ref(), self.clock.now());
            let definition =
                Definition::read(config_of(&row)?.as_ref(), row.logic_code.as_deref())?;
            self.demand_no_cycle(&row.id, &definition).await?;
            self.demand_hosts(&row.id, &definition, stored.as_ref(), &edit.confirm_hosts)
                .await?;
            let row = with_versions(row, &definition, stored.as_ref());
            let written = match &stored {
                None => self.store.insert_realm(&row).await?,
                Some(stored) => self.store.update_realm(&row, stored.revision).await?,
            };
            if written {
                self.tokens.forget_realm(&row.id);
                let mut warnings = self.warnings(&row.id, &definition).await?;
                warnings.extend(unused_function(&row));
                return Ok(Realm { row, warnings });
            }
        }
        Err(too_many_writers(&edit.id))
    }

    /// Refuses a realm that depends on itself by others that are saved; what only secrets decide
    /// shows when fetching.
    async fn demand_no_cycle(&self, id: &str, definition: &Definition) -> Result<(), ServiceError> {
        let bases = |definition: &Definition| -> Vec<String> {
            let recipe = definition.recipe();
            recipe
                .into_iter()
                .flat_map(|recipe| recipe.literal_bases())
                .map(str::to_owned)
                .collect()
        };
        let (mut seen, mut open) = (std::collections::BTreeSet::new(), bases(definition));
        while let Some(base) = open.pop() {
            if base == id {
                let detail =
                    format!("realm {id} depends on itself, by the realms that it depends on");
                return Err(ServiceError::invalid("/config/depends_on", detail));
            }
            if !seen.insert(base.clone()) || seen.len() > MOST_BASES {
                continue;
            }
            if let Some(row) = self.find_live(&base).await? {
                open.extend(
                    stored_definition(&row)
                        .map(|definition| bases(&definition))
                        .unwrap_or_default(),
                );
            }
        }
        Ok(())
    }

    /// Deletes a realm; with `cascade` its secrets too. A cascade that was cut off can be repeated.
    ///
    /// # Errors
    /// `UnknownRealm`; `RealmInUse` while secrets use it; `Store`.
    pub async fn delete(&self, id: &str, cascade: bool) -> Result<(), ServiceError> {
        let outcome = if cascade {
            self.delete_with_secrets(id).await
        } else {
            self.delete_unused(id).await
        };
        self.tokens.forget_realm(id);
        outcome
    }

    /// The realm first: nothing can be saved in it from then on.
    async fn delete_with_secrets(&self, id: &str) -> Result<(), ServiceError> {
        let row = self.store.find_realm(id).await?;
        let row = row.ok_or_else(|| ServiceError::UnknownRealm(id.to_owned()))?;
        let was_live = row.deleted_at.is_none();
        if was_live {
            self.tombstone(row).await?;
        }
        let now = self.clock.now();
        let secrets = self.store.delete_secrets(id, None, now).await?;
        self.store.retire_tokens(id, None, now).await?;
        if was_live || secrets > 0 {
            Ok(())
        } else {
            Err(ServiceError::UnknownRealm(id.to_owned()))
        }
    }

    async fn delete_unused(&self, id: &str) -> Result<(), ServiceError> {
        let row = self.show(id).await?;
        self.demand_unused(id).await?;
        let deleted = self.tombstone(row.clone()).await?;
        if let Err(in_use) = self.demand_unused(id).await {
            // A secret was saved between the two looks: it keeps its realm.
            let restored = RealmRow {
                revision: deleted.revision + 1,
                changed_at: self.clock.now(),
                ..row
            };
            self.store.update_realm(&restored, deleted.revision).await?;
            return Err(in_use);
        }
        Ok(())
    }

    async fn demand_unused(&self, id: &str) -> Result<(), ServiceError> {
        let filter = SecretFilter {
            realm: Some(id.to_owned()),
            ..SecretFilter::default()
        };
        let first = Page {
            offset: 0,
            limit: 1,
        };
        match self.store.list_secrets(&filter, first).await?.total {
            0 => Ok(()),
            secrets => Err(ServiceError::RealmInUse {
                id: id.to_owned(),
                secrets,
            }),
        }
    }

    async fn secrets_of(&self, id: &str, limit: u64) -> Result<Listed<SecretOutline>, StoreError> {
        let filter = SecretFilter {
            realm: Some(id.to_owned()),
            ..SecretFilter::default()
        };
        self.store
            .list_secrets(&filter, Page { offset: 0, limit })
            .await
    }

    /// Wins over edits: tried again on what they wrote.
    async fn tombstone(&self, mut row: RealmRow) -> Result<RealmRow, ServiceError> {
        for _ in 0..WRITE_TRIES {
            let now = self.clock.now();
            let deleted = RealmRow {
                config: None,
                logic_code: None,
                comment: None,
                version: row.version + 1,
                revision: row.revision + 1,
                updated_at: now,
                changed_at: now,
                deleted_at: Some(now),
                ..row.clone()
            };
            if self.store.update_realm(&deleted, row.revision).await? {
                return Ok(deleted);
            }
            row = self.show(&row.id).await?;
        }
        Err(too_many_writers(&row.id))
    }

    async fn find_live(&self, id: &str) -> Result<Option<RealmRow>, StoreError> {
        Ok(self
            .store
            .find_realm(id)
            .await?
            .filter(|row| row.deleted_at.is_none()))
    }

    async fn warnings(
        &self,
        id: &str,
        definition: &Definition,
    ) -> Result<Vec<String>, ServiceError> {
        let mut warnings = definition.warnings();
        if !definition.references().is_empty() {
            for secret in self.secrets_of(id, WARN_SECRETS).await?.items {
                let has = |name: &str| {
                    let mut names = secret.names.credentials.iter().chain(&secret.pushed);
                    names.any(|there| there == name)
                };
                let missing = definition.missing(has);
                warnings.extend(
                    missing
                        .iter()
                        .map(|reference| reference.missing_in(&secret.id)),
                );
            }
        }
        Ok(warnings)
    }
}

/// The inherited service prefers the config without a word.
fn unused_function(row: &RealmRow) -> Option<String> {
    let code = row.logic_code.as_ref().filter(|code| !code.is_empty());
    let warning = || {
        format!(
            "realm {} has both config and logic_code: config decides, the function is not called; null clears either",
            row.id
        )
    };
    row.config.as_ref().and(code).map(|_| warning())
}

fn merge(edit: RealmEdit, stored: Option<&RealmRow>, now: crate::clock::Timestamp) -> RealmRow {
    let live = stored.filter(|row| row.deleted_at.is_none());
    let config = match edit.config {
        Patch::Keep => live.and_then(|row| row.config.clone()),
        Patch::Clear => None,
        Patch::Set(config) => Some(config.to_string()),
    };
    RealmRow {
        config,
        logic_code: edit
            .logic_code
            .over(live.and_then(|row| row.logic_code.clone())),
        comment: edit.comment.over(live.and_then(|row| row.comment.clone())),
        version: stored.map_or(1, |row| row.version),
        revision: stored.map_or(1, |row| row.revision + 1),
        created_at: live.map_or(now, |row| row.created_at),
        updated_at: now,
        changed_at: now,
        deleted_at: None,
        id: edit.id,
    }
}

/// Moves the version on if the stored definition fetched something else, or was deleted.
fn with_versions(row: RealmRow, definition: &Definition, stored: Option<&RealmRow>) -> RealmRow {
    let Some(stored) = stored else { return row };
    let unchanged = stored.deleted_at.is_none()
        && stored_definition(stored).is_ok_and(|before| before.fetches_like(definition));
    RealmRow {
        version: stored.version + i64::from(!unchanged),
        ..row
    }
}

pub(super) fn too_many_writers(name: &dyn std::fmt::Display) -> ServiceError {
    ServiceError::Store(StoreError::Conflict(format!(
        "{name} is being written by others"
    )))
}
