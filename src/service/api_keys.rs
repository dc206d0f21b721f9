//! API keys: making, changing and following them, and admitting their callers.

mod held;

use std::sync::Arc;
use std::time::Duration;

use self::held::Held;
pub use self::held::{HeldKey, RateLeft};
use super::ServiceError;
use super::edit::Patch;
use super::realms::{WRITE_TRIES, too_many_writers};
use crate::api_key::{ApiKey, ApiKeyId, KeyHash, Rate, Role, Scope, Scopes};
use crate::clock::{Clock, Timestamp};
use crate::secret::is_invisible;
use crate::store::{ApiKeyRow, ApiKeyStore, StoreError};

/// The API keys.
#[derive(Clone)]
pub struct ApiKeys {
    store: Arc<dyn ApiKeyStore>,
    clock: Arc<dyn Clock>,
    held: Arc<Held>,
}

/// What a new key is for.
#[derive(Clone, Debug)]
pub struct NewApiKey {
    /// What its caller is.
    pub role: Role,
    /// Which secrets it reaches; none: all, or none where the role needs none.
    pub scopes: Vec<Scope>,
    /// The operator's words.
    pub note: Option<String>,
    /// When it ends; `None`: never.
    pub expires_at: Option<Timestamp>,
    /// How fast it may call.
    pub rate: Option<Rate>,
    /// The client certificate that stands for it.
    pub certificate: Option<KeyHash>,
}

/// A key that was made: the one time that it can be shown.
#[derive(Clone, Debug)]
pub struct MadeApiKey {
    /// For its caller.
    pub key: ApiKey,
    /// What is stored.
    pub row: ApiKeyRow,
}

/// What is changed of a key.
#[derive(Clone, Debug)]
pub struct ApiKeyEdit {
    /// The operator's words.
    pub note: Patch<String>,
    /// Which secrets it reaches; cleared: all.
    pub scopes: Patch<Vec<Scope>>,
    /// When it ends; cleared: never.
    pub expires_at: Patch<Timestamp>,
    /// How fast it may call; cleared: as fast as it can.
    pub rate: Patch<Rate>,
    /// Whether it is switched off.
    pub disabled: Option<bool>,
}

/// A key that ends so soon does not count as the last of role `admin`.
const ABOUT_TO_END: Duration = Duration::from_hours(1);

/// The longest note, in characters.
const LONGEST_NOTE: usize = 500;

impl ApiKeys {
    /// Over one store.
    #[must_use]
    pub fn new(store: Arc<dyn ApiKeyStore>, clock: Arc<dyn Clock>) -> Self {
        Self {
            store,
            clock,
            held: Arc::default(),
        }
    }

    /// The same with this key of role `admin` beside those of the store; for `auth.admin_key_file`.
    #[must_use]
    pub fn with_admin(
        store: Arc<dyn ApiKeyStore>,
        clock: Arc<dyn Clock>,
        admin: Option<&ApiKey>,
    ) -> Self {
        let fixed = admin.map(|key| fixed_admin(key, clock.now()));
        Self {
            held: Arc::new(Held::with(fixed.into_iter().collect())),
            ..Self::new(store, clock)
        }
    }

    /// The key that a client certificate stands for, if it works.
    #[must_use]
    pub fn find_by_certificate(&self, certificate: &KeyHash) -> Option<Arc<HeldKey>> {
        self.held.find_by_certificate(certificate, self.clock.now())
    }

    /// Whether any client certificate stands for a key.
    #[must_use]
    pub fn has_certificates(&self) -> bool {
        self.held.has_certificates()
    }

    /// Whether anybody could manage keys now, as far as is known.
    #[must_use]
    pub fn has_admin(&self) -> bool {
        self.held.has_admin(self.clock.now())
    }

    /// The key that a caller shows; `None` if it does not work, for whatever reason.
    #[must_use]
    pub fn verify(&self, shown: &str, now: Timestamp) -> Option<Arc<HeldKey>> {
        self.held.verify(shown, now)
    }

    /// Whether the store's keys have been read; before that nobody with a key can be admitted.
    #[must_use]
    pub fn is_loaded(&self) -> bool {
        self.held.is_loaded()
    }

    /// Takes over what changed since then; all, the first time.
    ///
    /// # Errors
    /// When the store cannot be asked; what is held stays.
    pub async fn follow(&self, since: Timestamp) -> Result<(), StoreError> {
        if !self.is_loaded() {
            return self.reload().await;
        }
        let changed = self.store.list_changed_api_keys(since).await?;
        self.held.take(changed, false);
        Ok(())
    }

    /// Takes over all keys: finds what a look missed.
    ///
    /// # Errors
    /// When the store cannot be asked; what is held stays.
    pub async fn reload(&self) -> Result<(), StoreError> {
        let all = self.store.list_api_keys().await?;
        self.held.take(all, true);
        Ok(())
    }

    /// Tells the store which keys were used.
    pub async fn tell_uses(&self) {
        for (id, used) in self.held.untold() {
            if let Err(error) = self.store.note_api_key_use(&id, used).await {
                tracing::debug!(%error, %id, "that an API key was used could not be noted");
            }
        }
    }

    /// Makes a key.
    ///
    /// # Errors
    /// `Invalid` where the role needs a scope, or has none; `Store`.
    pub async fn create(&self, new: NewApiKey) -> Result<MadeApiKey, ServiceError> {
        let key = ApiKey::generate().map_err(|error| no_random(&error))?;
        let now = self.clock.now();
        let row = ApiKeyRow {
            id: key.id().clone(),
            hash: key.hash(),
            previous: None,
            certificate: new.certificate,
            scopes: scopes_of(new.role, new.scopes)?,
            role: new.role,
            note: checked_note(new.note)?,
            rate: new.rate,
            created_at: now,
            expires_at: in_future(new.expires_at, now)?,
            disabled_at: None,
            last_used: None,
            revision: 1,
            changed_at: now,
            deleted_at: None,
        };
        if !self.store.insert_api_key(&row).await? {
            return Err(ServiceError::Store(StoreError::Conflict(
                "an id was drawn twice".to_owned(),
            )));
        }
        self.held.take(vec![row.clone()], false);
        tracing::info!(id = %row.id, role = row.role.as_str(), "an API key was made");
        Ok(MadeApiKey { key, row })
    }

    /// All that are not revoked, oldest first.
    ///
    /// # Errors
    /// `Store`.
    pub async fn list(&self) -> Result<Vec<ApiKeyRow>, ServiceError> {
        Ok(self.store.list_api_keys().await?)
    }

    /// One key.
    ///
    /// # Errors
    /// `UnknownApiKey`, `Store`.
    pub async fn show(&self, id: &str) -> Result<ApiKeyRow, ServiceError> {
        let unknown = || ServiceError::UnknownApiKey(id.chars().take(20).collect());
        let id = ApiKeyId::read(id).ok_or_else(unknown)?;
        let found = self.store.find_api_key(&id).await?;
        found
            .filter(|row| row.deleted_at.is_none())
            .ok_or_else(unknown)
    }

    /// Changes a key.
    ///
    /// # Errors
    /// `UnknownApiKey`; `Invalid`; `LastAdminKey` when nobody could manage keys any more; `Store`.
    pub async fn edit(&self, id: &str, edit: &ApiKeyEdit) -> Result<ApiKeyRow, ServiceError> {
        self.change(id, false, |row, now| apply(edit, row, now))
            .await
    }

    /// Gives a key new secret digits; those before work for `overlap` longer.
    ///
    /// # Errors
    /// `UnknownApiKey`, `Store`.
    pub async fn rotate(&self, id: &str, overlap: Duration) -> Result<MadeApiKey, ServiceError> {
        let row = self.show(id).await?;
        let key = ApiKey::generate_for(&row.id).map_err(|error| no_random(&error))?;
        let hash = key.hash();
        let row = self
            .change(id, true, |row, now| {
                let previous = (!overlap.is_zero()).then(|| (row.hash, now.plus(overlap)));
                Ok(ApiKeyRow {
                    hash,
                    previous,
                    ..row
                })
            })
            .await?;
        tracing::info!(id = %row.id, "an API key was rotated");
        Ok(MadeApiKey { key, row })
    }

    /// Ends a key for good. `force`: also the last one of role `admin`.
    ///
    /// # Errors
    /// `UnknownApiKey`, `LastAdminKey`, `Store`.
    pub async fn revoke(&self, id: &str, force: bool) -> Result<(), ServiceError> {
        let row = self
            .change(id, force, |row, now| {
                Ok(ApiKeyRow {
                    deleted_at: Some(now),
                    ..row
                })
            })
            .await?;
        tracing::info!(id = %row.id, "an API key was revoked");
        Ok(())
    }

    /// Writes a changed row; tried again on what others wrote.
    async fn change(
        &self,
        id: &str,
        force: bool,
        edit: impl Fn(ApiKeyRow, Timestamp) -> Result<ApiKeyRow, ServiceError>,
    ) -> Result<ApiKeyRow, ServiceError> {
        for _ in 0..WRITE_TRIES {
            let before = self.show(id).await?;
            let now = self.clock.now();
            let after = ApiKeyRow {
                revision: before.revision + 1,
                changed_at: now,
                ..edit(before.clone(), now)?
            };
            if !self.store.update_api_key(&after, before.revision).await? {
                continue;
            }
            if !force && is_admin(&before, now) && !is_admin(&after, now) {
                self.demand_admin_left(&before, &after).await?;
            }
            self.held.take(vec![after.clone()], false);
            return Ok(after);
        }
        Err(too_many_writers(&id))
    }

    /// Takes a change back that leaves no working key of role `admin`. It is looked after the write:
    /// of two who end each other's key at once both see none left, and both are taken back.
    async fn demand_admin_left(
        &self,
        before: &ApiKeyRow,
        after: &ApiKeyRow,
    ) -> Result<(), ServiceError> {
        let now = self.clock.now();
        let all = self.store.list_api_keys().await?;
        if self.held.has_fixed_admin() || all.iter().any(|row| is_admin(row, now)) {
            return Ok(());
        }
        let back = ApiKeyRow {
            revision: after.revision + 1,
            changed_at: now,
            ..before.clone()
        };
        self.store.update_api_key(&back, after.revision).await?;
        self.held.take(vec![back], false);
        Err(ServiceError::LastAdminKey)
    }
}

/// A key of the configuration, as if it were stored.
fn fixed_admin(key: &ApiKey, now: Timestamp) -> ApiKeyRow {
    ApiKeyRow {
        id: key.id().clone(),
        hash: key.hash(),
        previous: None,
        certificate: None,
        role: Role::Admin,
        scopes: Scopes::All,
        note: Some("auth.admin_key_file".to_owned()),
        rate: None,
        created_at: now,
        expires_at: None,
        disabled_at: None,
        last_used: None,
        revision: 0,
        changed_at: now,
        deleted_at: None,
    }
}

/// Whether it can manage API keys, now and for a while: one that is about to end is no way in.
fn is_admin(row: &ApiKeyRow, now: Timestamp) -> bool {
    let lasts = row.works_at(now) && row.works_at(now.plus(ABOUT_TO_END));
    row.role == Role::Admin && row.scopes.cover_all() && lasts
}

fn apply(edit: &ApiKeyEdit, row: ApiKeyRow, now: Timestamp) -> Result<ApiKeyRow, ServiceError> {
    let scopes = match &edit.scopes {
        Patch::Keep => row.scopes.clone(),
        Patch::Clear => scopes_of(row.role, Vec::new())?,
        Patch::Set(scopes) => scopes_of(row.role, scopes.clone())?,
    };
    let expires_at = match edit.expires_at {
        Patch::Keep => row.expires_at,
        Patch::Clear => None,
        Patch::Set(at) => in_future(Some(at), now)?,
    };
    Ok(ApiKeyRow {
        scopes,
        expires_at,
        note: checked_note(edit.note.clone().over(row.note.clone()))?,
        rate: edit.rate.clone().over(row.rate),
        disabled_at: match edit.disabled {
            None => row.disabled_at,
            Some(true) => row.disabled_at.or(Some(now)),
            Some(false) => None,
        },
        ..row
    })
}

/// What the scopes of a new key mean.
fn scopes_of(role: Role, scopes: Vec<Scope>) -> Result<Scopes, ServiceError> {
    match (scopes.is_empty(), role.needs_scope()) {
        (true, true) => Err(ServiceError::invalid(
            "/scopes",
            format!(
                "required: role {} reaches only what its scopes allow, as wxgzh:* ; *:* is every secret",
                role.as_str()
            ),
        )),
        (false, _) if role == Role::Cron => Err(ServiceError::invalid(
            "/scopes",
            "role cron reaches no secret: leave them out",
        )),
        (true, false) => Ok(Scopes::All),
        (false, _) => Ok(Scopes::Only(scopes)),
    }
}

fn checked_note(note: Option<String>) -> Result<Option<String>, ServiceError> {
    let note = note.filter(|note| !note.is_empty());
    if note
        .as_ref()
        .is_some_and(|note| note.chars().any(is_invisible))
    {
        let detail = "control characters and others that cannot be seen are not allowed";
        return Err(ServiceError::invalid("/note", detail));
    }
    if note
        .as_ref()
        .is_some_and(|note| note.chars().count() > LONGEST_NOTE)
    {
        let detail = format!("at most {LONGEST_NOTE} characters");
        return Err(ServiceError::invalid("/note", detail));
    }
    Ok(note)
}

fn in_future(end: Option<Timestamp>, now: Timestamp) -> Result<Option<Timestamp>, ServiceError> {
    if end.is_some_and(|end| end <= now) {
        return Err(ServiceError::invalid("/expires_at", "lies in the past"));
    }
    Ok(end)
}

fn no_random(error: &crate::api_key::NoRandom) -> ServiceError {
    ServiceError::Store(StoreError::Unavailable(error.to_string()))
}
