//! What an import writes and reports, from the inherited rows and ours. Pure.
//!
//! Realms first, then secrets, which need a realm here, then tokens, which need both to be what
//! they were fetched with.

mod realms;
mod secrets;
#[cfg(test)]
mod tests;
mod tokens;

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use super::legacy::{Legacy, LegacyStamps};
use super::report::{Line, Outcome};
use crate::clock::Timestamp;
use crate::json::Issue;
use crate::secret::SecretId;
use crate::store::{Import, ImportedToken, Present, TokenRow};

/// By what a plan is made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules<'a> {
    /// The time of our database.
    pub(super) now: Timestamp,
    /// Replace also what was edited or deleted here.
    pub(super) overwrite: bool,
    /// Count the secrets with a live token as asked for now.
    pub(super) switched: bool,
    /// Hosts that credentials may go to from now on.
    pub(super) confirm_hosts: &'a [String],
    /// Realms here that others depend on.
    pub(super) lending: &'a BTreeSet<String>,
}

/// What to write, and what to tell.
#[derive(Debug)]
pub(super) struct Planned {
    pub(super) import: Import,
    pub(super) lines: Vec<Line>,
}

/// Plans an import.
pub(super) fn plan(legacy: &Legacy, present: Present, rules: Rules<'_>) -> Planned {
    let live = present.secrets.iter();
    let live = live.filter(|row| row.deleted_at.is_none());
    let with_secrets = live.map(|row| row.id.realm.clone()).collect();
    let realms = realms::plan(&legacy.realms, present.realms, &with_secrets, rules);
    let secrets = secrets::plan(&legacy.secrets, present.secrets, &realms, rules);
    let rows: HashMap<_, _> = present
        .tokens
        .into_iter()
        .map(|row| (row.id.clone(), row))
        .collect();
    let tokens = tokens::plan(&legacy.secrets, &rows, &realms, &secrets, rules.now);
    let import = Import {
        realms: realms.writes,
        needed_realms: secrets.needed_realms,
        secrets: secrets.writes,
        asked: if rules.switched {
            asked(legacy, &rows, &tokens.writes, rules.now)
        } else {
            Vec::new()
        },
        tokens: tokens.writes,
        at: Some(rules.now),
    };
    let lines = realms
        .lines
        .into_iter()
        .chain(secrets.lines)
        .chain(tokens.lines)
        .collect();
    Planned { import, lines }
}

/// The secrets of there that have a live token here after the import, whoever fetched it. One
/// without is fetched when somebody asks.
fn asked(
    legacy: &Legacy,
    rows: &HashMap<SecretId, TokenRow>,
    written: &[ImportedToken],
    now: Timestamp,
) -> Vec<SecretId> {
    let is_live = |id: &&SecretId| {
        let held = rows.get(id).and_then(|row| row.token.as_ref());
        held.is_some_and(|held| held.life.expires_at.is_none_or(|at| at > now))
    };
    let there = legacy.secrets.iter().map(|secret| &secret.id);
    let ids: BTreeSet<_> = there
        .filter(is_live)
        .chain(written.iter().map(|imported| &imported.id))
        .collect();
    ids.into_iter().cloned().collect()
}

/// What a row here says about itself.
#[derive(Clone, Copy, Debug)]
struct Here {
    updated_at: Timestamp,
    changed_at: Timestamp,
    is_deleted: bool,
    /// Whether it is what the import would write.
    is_same: bool,
}

/// What to do with an inherited row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decision {
    Write(Outcome),
    Keep,
    Leave(&'static str),
}

/// Decides between an inherited row and ours.
///
/// An edit here stamps `updated_at` and `changed_at` alike, an import never does (see [`stamps`]);
/// so who wrote a row last is known without comparing two databases' clocks. There, each fetch
/// moves a secret's `updated_at`, so a later time there alone does not mean that anybody edited it.
fn decide(here: Option<Here>, there: LegacyStamps, rules: Rules<'_>) -> Decision {
    let Some(here) = here else {
        return Decision::Write(Outcome::Taken);
    };
    let is_older_there = there
        .updated_at
        .is_some_and(|updated_at| updated_at < here.updated_at);
    match here {
        Here {
            is_deleted: true, ..
        } if rules.overwrite => Decision::Write(Outcome::Taken),
        Here {
            is_deleted: true, ..
        } => Decision::Leave("it was deleted here (--overwrite takes it again)"),
        Here { is_same: true, .. } => Decision::Keep,
        _ if rules.overwrite => Decision::Write(Outcome::Updated),
        _ if here.updated_at == here.changed_at => {
            Decision::Leave("it was edited here (--overwrite replaces it)")
        }
        _ if is_older_there => Decision::Leave("it is newer here (--overwrite replaces it)"),
        _ => Decision::Write(Outcome::Updated),
    }
}

/// `created_at` and `updated_at` of an imported row: those of there, but before now, so that they
/// differ from the `changed_at` it gets, also where the clock there is ahead or told no time.
fn stamps(there: LegacyStamps, now: Timestamp) -> (Timestamp, Timestamp) {
    let latest = now.minus(Duration::from_millis(1));
    let updated_at = there
        .updated_at
        .or(there.created_at)
        .map_or(latest, |at| at.min(latest));
    (
        there.created_at.map_or(updated_at, |at| at.min(updated_at)),
        updated_at,
    )
}

/// Everything that is wrong with a row, in one line.
fn told(issues: &[Issue]) -> String {
    issues
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("; ")
}
