//! Saving, listing and deleting secrets.

mod again;

use std::sync::Arc;

pub(crate) use self::again::pushed_that_stay;
use self::again::{demand_secrets_again, dropped_warning};
use super::edit::{NextValue, Patch, SecretEdit};
use super::realms::{WRITE_TRIES, too_many_writers};
use super::stored::stored_definition;
use super::{ServiceError, Tokens};
use crate::api_key::Scopes;
use crate::clock::{Clock, Timestamp};
use crate::realm::{Definition, Mode, Origin};
use crate::secret::{Credentials, FixedToken, SecretContent, SecretId, numbered};
use crate::store::{
    EditStore, Listed, NextCredentials, Page, RealmRow, SecretFilter, SecretOutline, SecretRow,
    StoreError,
};
use crate::token::TokenText;

/// A secret as it is answered; credentials are masked on the way out.
#[derive(Clone, Debug)]
pub struct Secret {
    /// The stored row.
    pub row: SecretRow,
    /// What the operator should know.
    pub warnings: Vec<String>,
}

/// The secrets.
#[derive(Clone)]
pub struct Secrets {
    store: Arc<dyn EditStore>,
    tokens: Tokens,
    clock: Arc<dyn Clock>,
}

impl Secrets {
    /// Over one store; edits are told to `tokens`.
    #[must_use]
    pub fn new(store: Arc<dyn EditStore>, tokens: Tokens, clock: Arc<dyn Clock>) -> Self {
        Self {
            store,
            tokens,
            clock,
        }
    }

    /// A secret by key, and realm; the realm may be left out where only one has the key. What is
    /// not in `scopes` is not there.
    ///
    /// # Errors
    /// `UnknownSecret`; `Invalid` naming the realms when several have the key; `Store`.
    pub async fn show(
        &self,
        key: &str,
        realm: Option<&str>,
        scopes: &Scopes,
    ) -> Result<SecretRow, ServiceError> {
        let id = self.name_of(key, realm, scopes).await?;
        let found = self.store.find_secret(&id).await?;
        let live = found.filter(|row| row.deleted_at.is_none() && row.id == id);
        live.ok_or(ServiceError::UnknownSecret(id))
    }

    /// The whole name of a live secret; its content is not read.
    async fn name_of(
        &self,
        key: &str,
        realm: Option<&str>,
        scopes: &Scopes,
    ) -> Result<SecretId, ServiceError> {
        let filter = SecretFilter {
            realm: realm.map(str::to_owned),
            key: Some(key.to_owned()),
            scopes: scopes.clone(),
        };
        let page = Page {
            offset: 0,
            limit: 10,
        };
        let mut found = self.store.list_secrets(&filter, page).await?.items;
        found.retain(|head| head.id.key == key && realm.is_none_or(|realm| realm == head.id.realm));
        match (found.pop(), found.is_empty()) {
            (Some(only), true) => Ok(only.id),
            (Some(last), false) => {
                let realms: Vec<_> = found
                    .iter()
                    .chain([&last])
                    .map(|head| head.id.realm.as_str())
                    .collect();
                let detail = format!(
                    "required: several realms have this key ({})",
                    realms.join(", ")
                );
                Err(ServiceError::invalid("realm", detail))
            }
            (None, _) => Err(ServiceError::UnknownSecret(SecretId::new(
                realm.unwrap_or("*"),
                key,
            ))),
        }
    }

    /// A page of secrets.
    ///
    /// # Errors
    /// `Store`.
    pub async fn list(
        &self,
        realm: Option<&str>,
        scopes: &Scopes,
        page: Page,
    ) -> Result<Listed<SecretOutline>, ServiceError> {
        let filter = SecretFilter {
            realm: realm.map(str::to_owned),
            key: None,
            scopes: scopes.clone(),
        };
        Ok(self.store.list_secrets(&filter, page).await?)
    }

    /// Creates or updates a secret. Its version moves only if a credential changed, which retires
    /// the token.
    ///
    /// # Errors
    /// `UnknownRealm`, `Invalid`, `Store`.
    pub async fn save(&self, edit: &SecretEdit) -> Result<Secret, ServiceError> {
        let id = SecretId::new(&edit.realm, &edit.key);
        for _ in 0..WRITE_TRIES {
            let realm = self.realm(&id.realm).await?;
            let definition = stored_definition(&realm)?;
            let stored = self.store.find_secret(&id).await?;
            let live = stored.as_ref().filter(|row| row.deleted_at.is_none());
            demand_secrets_again(edit, live, &definition)?;
            let mut row = merge(edit, &id, stored.as_ref(), &definition, self.clock.now())?;
            if stored.is_none() {
                row.version = self.first_version(&id).await?;
            }
            let written = match &stored {
                None => self.store.insert_secret(&row).await?,
                Some(stored) if row.pushed_version == stored.pushed_version => {
                    self.store.update_secret(&row, stored.revision).await?
                }
                Some(stored) => self.store.move_secret(&row, stored.revision).await?,
            };
            if written {
                self.tokens.forget(&id);
                self.demand_realm_stands(&row).await?;
                if row.next.is_some() {
                    self.tokens.try_next_behind(&id);
                }
                let mut warnings = warnings(&definition, &row);
                warnings.extend(dropped_warning(stored.as_ref(), &row));
                warnings.extend(fixed_warning(edit, &definition, &row, self.clock.now()));
                return Ok(Secret { row, warnings });
            }
        }
        Err(too_many_writers(&id))
    }

    /// Writes an input that its realm declares as pushed; `None` takes it away. Answers the pushed
    /// version.
    ///
    /// # Errors
    /// `Invalid`: the realm has no such input, or the value is too large; `UnknownRealm`,
    /// `UnknownSecret`, `Store`.
    pub async fn push(
        &self,
        id: &SecretId,
        name: &str,
        value: Option<String>,
    ) -> Result<i64, ServiceError> {
        let realm = self.realm(&id.realm).await?;
        let definition = stored_definition(&realm)?;
        demand_pushed(&definition, id, name)?;
        if value
            .as_ref()
            .is_some_and(|value| value.len() > super::edit::LARGEST_CREDENTIAL)
        {
            let detail = format!(
                "must not be larger than {} bytes",
                super::edit::LARGEST_CREDENTIAL
            );
            return Err(ServiceError::invalid("/value", detail));
        }
        for _ in 0..WRITE_TRIES {
            let row = self
                .store
                .find_secret(id)
                .await?
                .filter(|row| row.deleted_at.is_none());
            let row = row.ok_or_else(|| ServiceError::UnknownSecret(id.clone()))?;
            let mut pushed = row.pushed.clone();
            match &value {
                Some(value) => pushed.set(name, value.as_str()),
                None => pushed.remove(name),
            }
            if self
                .store
                .update_pushed(id, &pushed, row.pushed_version, self.clock.now())
                .await?
            {
                return Ok(row.pushed_version + 1);
            }
        }
        Err(too_many_writers(id))
    }

    /// Above any that a token was made with: the row may be gone, and the retirement of its token
    /// lost with it.
    async fn first_version(&self, id: &SecretId) -> Result<i64, StoreError> {
        let token = self.store.find_token(id).await?.and_then(|row| row.token);
        Ok(token.map_or(1, |token| token.secret_version + 1))
    }

    async fn realm(&self, id: &str) -> Result<RealmRow, ServiceError> {
        let found = self
            .store
            .find_realm(id)
            .await?
            .filter(|row| row.deleted_at.is_none());
        found.ok_or_else(|| ServiceError::UnknownRealm(id.to_owned()))
    }

    /// The realm may have been deleted while the secret was written: then the secret goes too.
    async fn demand_realm_stands(&self, row: &SecretRow) -> Result<(), ServiceError> {
        let realm = self.realm(&row.id.realm).await;
        if let Err(ServiceError::UnknownRealm(_)) = &realm {
            delete_live(self.store.as_ref(), &row.id, self.clock.now()).await?;
        }
        realm.map(|_| ())
    }

    /// Deletes a secret and its token; also one whose content cannot be read.
    ///
    /// # Errors
    /// As [`Secrets::show`].
    pub async fn delete(
        &self,
        key: &str,
        realm: Option<&str>,
        scopes: &Scopes,
    ) -> Result<(), ServiceError> {
        let id = match realm {
            Some(realm) => SecretId::new(realm, key),
            None => self.name_of(key, None, scopes).await?,
        };
        let is_there = id.is_savable() && scopes.allow(id.borrowed());
        if !is_there || delete_live(self.store.as_ref(), &id, self.clock.now()).await? == 0 {
            return Err(ServiceError::UnknownSecret(id));
        }
        self.tokens.forget(&id);
        Ok(())
    }
}

/// Leaves a tombstone and retires the token; answers whether there was a live one.
async fn delete_live(
    store: &dyn EditStore,
    id: &SecretId,
    now: Timestamp,
) -> Result<u64, StoreError> {
    let deleted = store.delete_secrets(&id.realm, Some(&id.key), now).await?;
    store.retire_tokens(&id.realm, Some(&id.key), now).await?;
    Ok(deleted)
}

fn merge(
    edit: &SecretEdit,
    id: &SecretId,
    stored: Option<&SecretRow>,
    definition: &Definition,
    now: Timestamp,
) -> Result<SecretRow, ServiceError> {
    let live = stored.filter(|row| row.deleted_at.is_none());
    let mut content = live.map(|row| row.content.clone()).unwrap_or_default();
    if edit.clears_named {
        content.credentials.retain(|name| numbered(name).is_some());
    }
    for (name, patch) in &edit.credentials {
        match patch {
            Patch::Keep => {}
            Patch::Clear => content.credentials.remove(name),
            Patch::Set(value) => content.credentials.set(name, value),
        }
    }
    if content.credentials.len() > super::edit::MOST_CREDENTIALS {
        let detail = format!(
            "a secret has at most {} credentials",
            super::edit::MOST_CREDENTIALS
        );
        return Err(ServiceError::invalid("/credentials", detail));
    }
    content.fixed = merge_fixed(edit, content.fixed.take(), definition)?;
    let unchanged = live.is_some_and(|row| row.content == content);
    let next = merge_next(edit, live, &content, definition, now)?;
    let stays = live.and_then(|row| {
        let values = (&row.content.credentials, &content.credentials);
        pushed_that_stay(definition, values, &row.pushed)
    });
    let pushed_version = stored.map_or(0, |row| row.pushed_version);
    Ok(SecretRow {
        id: id.clone(),
        content,
        next,
        pushed_version: pushed_version + i64::from(stays.is_some()),
        pushed: stays
            .or_else(|| live.map(|row| row.pushed.clone()))
            .unwrap_or_default(),
        version: stored.map_or(1, |row| row.version + i64::from(!unchanged)),
        revision: stored.map_or(1, |row| row.revision + 1),
        created_at: live.map_or(now, |row| row.created_at),
        updated_at: now,
        changed_at: now,
        deleted_at: None,
    })
}

/// What a secret lacks, and what its realm does not know.
fn warnings(definition: &Definition, row: &SecretRow) -> Vec<String> {
    let mut inputs = row.content.credentials.clone();
    for (name, value) in row.pushed.iter() {
        inputs.set(name, value);
    }
    let missing = definition.missing(|name| inputs.get(name).is_some());
    let missing = missing
        .iter()
        .map(|reference| reference.missing_in(&row.id));
    let surplus = definition.undeclared(&row.content.credentials);
    let surplus = surplus.into_iter().map(|name| {
        format!(
            "realm {} has no input {name}: this credential of secret {} is not used",
            row.id.realm, row.id
        )
    });
    missing.chain(surplus).collect()
}

/// What is wrong with the operator's token.
fn fixed_warning(
    edit: &SecretEdit,
    definition: &Definition,
    row: &SecretRow,
    now: Timestamp,
) -> Option<String> {
    if definition.mode() != Mode::Fixed {
        return None;
    }
    let id = &row.id;
    match (&row.content.fixed, &edit.expires_at) {
        (None, Patch::Set(_)) => Some(format!(
            "expires_at is not stored, since secret {id} has no token: save both together"
        )),
        (
            Some(FixedToken {
                expires_at: Some(at),
                ..
            }),
            _,
        ) if *at <= now => Some(format!(
            "the token of secret {id} has expired ({}) and is not handed out: save a new one",
            at.rfc3339()
        )),
        (Some(_) | None, _) => None,
    }
}

fn demand_pushed(definition: &Definition, id: &SecretId, name: &str) -> Result<(), ServiceError> {
    let names: Vec<&str> = definition
        .recipe()
        .into_iter()
        .flat_map(|recipe| recipe.inputs_from(Origin::Pushed))
        .map(|input| input.name.as_str())
        .collect();
    if names.contains(&name) {
        return Ok(());
    }
    let known = if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    };
    Err(ServiceError::invalid(
        "name",
        format!(
            "{name} is no pushed input of realm {}; it has: {known}",
            id.realm
        ),
    ))
}

/// The next credentials after the edit, tried at once; none where they change nothing.
fn merge_next(
    edit: &SecretEdit,
    stored: Option<&SecretRow>,
    content: &SecretContent,
    definition: &Definition,
    now: Timestamp,
) -> Result<Option<NextCredentials>, ServiceError> {
    let before = stored.and_then(|row| row.next.as_ref());
    let values = match &edit.next {
        Patch::Clear => return Ok(None),
        Patch::Keep if definition.mode() == Mode::Fixed => return Ok(None),
        Patch::Set(_) if definition.mode() == Mode::Fixed => {
            return Err(ServiceError::invalid(
                "/next",
                "a secret of a fixed realm has no credentials to try",
            ));
        }
        Patch::Keep => before
            .map(|next| next.credentials.clone())
            .unwrap_or_default(),
        Patch::Set(values) => {
            let value = |(name, value): &(String, NextValue)| match value {
                NextValue::Given(text) => Some((name.clone(), text.clone())),
                NextValue::AsBefore => before
                    .and_then(|next| Some((name.clone(), next.credentials.get(name)?.to_owned()))),
            };
            values.iter().filter_map(value).collect()
        }
    };
    let mut rotating = definition
        .recipe()
        .into_iter()
        .flat_map(|recipe| recipe.inputs_from(Origin::Rotating));
    if let Some(input) = rotating.find(|input| values.get(&input.name).is_some()) {
        let detail = format!(
            "{} rotates: store the new grant as the credential itself",
            input.name
        );
        return Err(ServiceError::invalid("/next", detail));
    }
    let changed = values
        .iter()
        .filter(|(name, value)| content.credentials.get(name) != Some(value));
    let credentials: Credentials = changed.collect();
    let added = credentials
        .names()
        .filter(|name| content.credentials.get(name).is_none())
        .count();
    if content.credentials.len() + added > super::edit::MOST_CREDENTIALS {
        let detail = format!(
            "a secret has at most {} credentials",
            super::edit::MOST_CREDENTIALS
        );
        return Err(ServiceError::invalid("/next", detail));
    }
    let as_before =
        before.filter(|next| next.credentials == credentials && edit.next == Patch::Keep);
    let fresh = || NextCredentials {
        credentials,
        since: now,
        due_at: now,
        failure: None,
        failed_attempts: 0,
    };
    Ok(as_before
        .cloned()
        .or_else(|| Some(fresh()).filter(|next| !next.credentials.is_empty())))
}

/// The operator's token after the edit. Other modes take none; an expiry read from an answer is
/// ignored there.
fn merge_fixed(
    edit: &SecretEdit,
    stored: Option<FixedToken>,
    definition: &Definition,
) -> Result<Option<FixedToken>, ServiceError> {
    if definition.mode() != Mode::Fixed {
        return match edit.token {
            Patch::Set(_) => Err(ServiceError::invalid(
                "/token",
                "only a secret of a fixed realm takes a token",
            )),
            Patch::Keep | Patch::Clear => Ok(None),
        };
    }
    let expires_at = |before: Option<Timestamp>| edit.expires_at.clone().over(before);
    Ok(match &edit.token {
        Patch::Clear => None,
        // A new token does not inherit the expiry of the one before.
        Patch::Set(token) => Some(FixedToken {
            token: TokenText::from(token.as_str()),
            expires_at: expires_at(None),
        }),
        Patch::Keep => stored.map(|held| FixedToken {
            expires_at: expires_at(held.expires_at),
            ..held
        }),
    })
}
