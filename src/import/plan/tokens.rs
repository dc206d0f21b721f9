//! Which live tokens are taken.

use std::collections::HashMap;

use super::super::legacy::LegacySecret;
use super::super::report::{Kind, Line, Outcome};
use super::realms::{RealmPlan, StandingRealm};
use super::secrets::{SecretPlan, StandingSecret, doubt, line, lives_until};
use crate::clock::Timestamp;
use crate::realm::Mode;
use crate::secret::SecretId;
use crate::service::due_at;
use crate::store::{ImportedToken, StoredToken, TokenRow};
use crate::token::{Life, Outputs, TokenText};

/// What the import does with tokens.
#[derive(Debug, Default)]
pub(super) struct TokenPlan {
    pub(super) writes: Vec<ImportedToken>,
    pub(super) lines: Vec<Line>,
}

/// Plans the tokens of secrets that have one.
pub(super) fn plan(
    legacy: &[LegacySecret],
    here: &HashMap<SecretId, TokenRow>,
    realms: &RealmPlan,
    secrets: &SecretPlan,
    now: Timestamp,
) -> TokenPlan {
    let mut plan = TokenPlan::default();
    for (there, secret) in legacy.iter().zip(&secrets.standing) {
        let Some(text) = &there.token else { continue };
        let planned = find_live(there, text, realms, *secret, now);
        let planned = planned.and_then(|fetched| match fetched {
            Found::Fixed(outcome, expires_at) => {
                let kind = "as the operator's token".to_owned();
                let doubt = doubt(expires_at, now);
                let note = [Some(kind), doubt]
                    .into_iter()
                    .flatten()
                    .collect::<Vec<_>>();
                Ok((outcome, Some(note.join("; "))))
            }
            Found::Fetched(token, due_at) => {
                let doubt = token.life.expires_at.and_then(|at| doubt(at, now));
                let (outcome, imported) =
                    place(&there.id, token, due_at, here.get(&there.id), now)?;
                plan.writes.extend(imported);
                Ok((outcome, doubt))
            }
        });
        let (outcome, note) = planned.unwrap_or_else(|reason| (Outcome::Left, Some(reason)));
        plan.lines.push(line(Kind::Token, &there.id, outcome, note));
    }
    plan
}

/// A live token of a secret that is here as it is there.
enum Found {
    /// It is part of the secret.
    Fixed(Outcome, Timestamp),
    Fetched(StoredToken, Option<Timestamp>),
}

fn find_live(
    there: &LegacySecret,
    text: &TokenText,
    realms: &RealmPlan,
    secret: Option<StandingSecret>,
    now: Timestamp,
) -> Result<Found, String> {
    let secret = secret.ok_or("its secret was left")?;
    let realm = realms.standing(&there.id.realm)?;
    if !realm.fetches_as_there() {
        return Err("it was fetched with another definition than its realm has here".to_owned());
    }
    let expires_at = lives_until(there, now)?;
    if realm.definition.mode() == Mode::Fixed {
        return Ok(Found::Fixed(secret.outcome, expires_at));
    }
    // When it was asked for is not known: its life counts from now, so the margin is a share of
    // what is left.
    let life = Life {
        obtained_at: now,
        expires_at: Some(expires_at),
    };
    let due_at = due_at(life, &realm.definition.policy(), &there.id);
    Ok(Found::Fetched(held(text, life, realm, secret), due_at))
}

fn held(
    text: &TokenText,
    life: Life,
    realm: &StandingRealm,
    secret: StandingSecret,
) -> StoredToken {
    let (realm_version, secret_version) = (realm.row.version, secret.version);
    StoredToken {
        text: text.clone(),
        life,
        realm_version,
        secret_version,
        outputs: Outputs::default(),
    }
}

/// Why a token that is here under other versions is not one of the present credentials. Fetches
/// there do not say what they were made with, so a changed secret may still have its old token
/// there; such a token that was seen here before the change is known.
fn outlived(held: &StoredToken, token: &StoredToken) -> Option<&'static str> {
    if held.text != token.text {
        None
    } else if held.secret_version != token.secret_version {
        Some("it was fetched with the credentials before")
    } else if held.realm_version != token.realm_version {
        Some("it was fetched with the definition before")
    } else {
        None
    }
}

/// Beside the token that is here: the later one stays.
fn place(
    id: &SecretId,
    token: StoredToken,
    due_at: Option<Timestamp>,
    row: Option<&TokenRow>,
    now: Timestamp,
) -> Result<(Outcome, Option<ImportedToken>), String> {
    let here = row.and_then(|row| row.token.as_ref());
    if let Some(reason) = here.and_then(|here| outlived(here, &token)) {
        return Err(reason.to_owned());
    }
    let held = here.filter(|held| {
        held.realm_version == token.realm_version && held.secret_version == token.secret_version
    });
    if held.is_some_and(|held| held.text == token.text) {
        return Ok((Outcome::Unchanged, None));
    }
    if held.is_some_and(|held| {
        held.life
            .expires_at
            .is_none_or(|at| Some(at) >= token.life.expires_at)
    }) {
        return Err("the token here lasts longer".to_owned());
    }
    if row.is_some_and(|row| row.lease_until > now) {
        return Err("a new one is being fetched here at this moment".to_owned());
    }
    let outcome = if held.is_some() {
        Outcome::Updated
    } else {
        Outcome::Taken
    };
    let replaces = row.map(|row| (row.version, row.lease_epoch));
    Ok((
        outcome,
        Some(ImportedToken {
            id: id.clone(),
            token,
            due_at,
            replaces,
        }),
    ))
}
