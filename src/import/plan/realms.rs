//! Which realms are taken.

use std::collections::{BTreeSet, HashMap, HashSet};

use serde_json::Value;

use super::super::legacy::LegacyRealm;
use super::super::report::{Kind, Line, Outcome};
use super::{Decision, Here, Rules, decide, stamps, told};
use crate::json::{Issue, Issues};
use crate::realm::Definition;
use crate::service::{
    LONGEST_COMMENT, LONGEST_REALM, ServiceError, bases, check_name, demand_confirmed, origins,
    stored_definition,
};
use crate::store::{RealmRow, Replacing};

/// What the import does with realms, and which are here after it.
#[derive(Debug, Default)]
pub(super) struct RealmPlan {
    pub(super) writes: Vec<Replacing<RealmRow>>,
    pub(super) lines: Vec<Line>,
    standing: HashMap<String, StandingRealm>,
    /// All ids there, left ones too.
    named: HashSet<String>,
    /// Those here that have secrets.
    with_secrets: BTreeSet<String>,
}

/// A realm that is here after the import.
#[derive(Debug)]
pub(super) struct StandingRealm {
    pub(super) row: RealmRow,
    pub(super) definition: Definition,
    /// What it is there, if that can be read.
    pub(super) there: Option<Definition>,
    pub(super) is_written: bool,
}

impl StandingRealm {
    /// Whether tokens fetched there are tokens of this realm.
    pub(super) fn fetches_as_there(&self) -> bool {
        self.there
            .as_ref()
            .is_some_and(|there| there.fetches_like(&self.definition))
    }
}

impl RealmPlan {
    /// The realm after the import, or why there is none.
    pub(super) fn standing(&self, id: &str) -> Result<&StandingRealm, String> {
        if let Some(standing) = self.standing.get(id) {
            return Ok(standing);
        }
        if self.named.contains(id) {
            return Err("its realm was left, and is not here".to_owned());
        }
        let folded = id.to_lowercase();
        let alike = self
            .standing
            .keys()
            .filter(|other| other.trim().to_lowercase() == folded.trim())
            .min();
        Err(alike.map_or_else(
            || "its realm does not exist".to_owned(),
            |alike| {
                format!("its realm does not exist: there is {alike}, and names are compared exactly here")
            },
        ))
    }
}

/// Plans the realms; those of `present` that stay are standing too.
pub(super) fn plan(
    legacy: &[LegacyRealm],
    present: Vec<RealmRow>,
    with_secrets: &BTreeSet<String>,
    rules: Rules<'_>,
) -> RealmPlan {
    let here: HashMap<_, _> = present
        .into_iter()
        .map(|row| (row.id.clone(), row))
        .collect();
    let mut plan = RealmPlan {
        with_secrets: with_secrets.clone(),
        ..RealmPlan::default()
    };
    for row in here.values().filter(|row| row.deleted_at.is_none()) {
        if let Ok(definition) = stored_definition(row) {
            let standing = StandingRealm {
                row: row.clone(),
                definition,
                there: None,
                is_written: false,
            };
            plan.standing.insert(row.id.clone(), standing);
        }
    }
    for there in legacy {
        let (outcome, note) = plan.add(there, here.get(&there.id), rules);
        plan.lines.push(Line {
            kind: Kind::Realm,
            realm: there.id.clone(),
            key: None,
            outcome,
            note,
        });
    }
    plan
}

impl RealmPlan {
    fn add(
        &mut self,
        there: &LegacyRealm,
        here: Option<&RealmRow>,
        rules: Rules<'_>,
    ) -> (Outcome, Option<String>) {
        if !self.named.insert(there.id.clone()) {
            return (
                Outcome::Left,
                Some("another row has the same id".to_owned()),
            );
        }
        let read = match Read::of(there) {
            Ok(read) => read,
            Err(issues) => return (Outcome::Left, Some(told(&issues))),
        };
        let decision = decide(here.map(|row| read.beside(row)), there.stamps, rules);
        let unconfirmed = matches!(decision, Decision::Write(_))
            .then(|| self.unconfirmed(&there.id, &read.definition, rules))
            .flatten();
        let outcome = match decision {
            Decision::Write(_) if unconfirmed.is_some() => Outcome::Left,
            Decision::Write(outcome) => {
                let (row, definition) = (read.row(there, here, rules), read.definition.clone());
                self.writes
                    .push((row.clone(), here.map(|here| here.revision)));
                let standing = StandingRealm {
                    row,
                    definition,
                    there: None,
                    is_written: true,
                };
                self.standing.insert(there.id.clone(), standing);
                outcome
            }
            Decision::Keep => Outcome::Unchanged,
            Decision::Leave(_) => Outcome::Left,
        };
        if let Some(standing) = self.standing.get_mut(&there.id) {
            standing.there = Some(read.definition);
        }
        let reason = if let Decision::Leave(reason) = decision {
            Some(reason.to_owned())
        } else {
            unconfirmed
        };
        (outcome, reason.or(read.note))
    }

    /// Why a realm is left: credentials of secrets here, or tokens of others, would go to hosts that
    /// nobody confirmed.
    fn unconfirmed(&self, id: &str, there: &Definition, rules: Rules<'_>) -> Option<String> {
        let here = self.standing.get(id).map(|standing| &standing.definition);
        let borrows_anew = !bases(Some(there)).is_subset(&bases(here));
        let borrows = here.is_some() && !bases(Some(there)).is_empty();
        if !borrows_anew
            && !borrows
            && !self.with_secrets.contains(id)
            && !rules.lending.contains(id)
        {
            return None;
        }
        let before = if borrows_anew {
            BTreeSet::new()
        } else {
            origins(here)
        };
        let outcome = demand_confirmed(&before, &origins(Some(there)), rules.confirm_hosts);
        let Err(ServiceError::HostsChanged { new, .. }) = outcome else {
            return None;
        };
        let old = Vec::from_iter(origins(here)).join(", ");
        let old = if old.is_empty() { "none" } else { &old };
        Some(format!(
            "its hosts are not confirmed: {old} \u{2192} {}; --confirm-host HOST takes it",
            new.join(", ")
        ))
    }
}

/// An inherited realm that checks.
#[derive(Debug)]
struct Read {
    config: Option<Value>,
    logic_code: Option<String>,
    comment: Option<String>,
    definition: Definition,
    note: Option<String>,
}

impl Read {
    fn of(there: &LegacyRealm) -> Result<Self, Vec<Issue>> {
        let mut issues = Issues::default();
        check_name(&there.id, "/id", LONGEST_REALM, &mut issues);
        let config = read_config(there.config.as_deref(), &mut issues);
        if there
            .logic_code
            .as_deref()
            .is_some_and(|code| code.contains(char::is_control))
        {
            issues.add("/logic_code", "must not have control characters");
        }
        let definition = Definition::read(config.as_ref(), there.logic_code.as_deref());
        let definition = definition.map_err(|more| issues.extend(more)).ok();
        let definition = issues.into_result(definition)?;
        let comment = there.comment.as_deref().map(clean_comment);
        let was_cleaned = comment != there.comment;
        Ok(Self {
            config,
            logic_code: there.logic_code.clone(),
            comment,
            definition,
            note: was_cleaned
                .then(|| "control characters of its comment, or its end, were cut".to_owned()),
        })
    }

    fn beside(&self, here: &RealmRow) -> Here {
        let config = here
            .config
            .as_deref()
            .and_then(|text| serde_json::from_str::<Value>(text).ok());
        let text = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        Here {
            updated_at: here.updated_at,
            changed_at: here.changed_at,
            is_deleted: here.deleted_at.is_some(),
            is_same: config.filter(|config| !config.is_null()) == self.config
                && text(&here.logic_code) == self.logic_code
                && text(&here.comment) == self.comment,
        }
    }

    /// The row to write. Its version moves only if what is fetched changed.
    fn row(&self, there: &LegacyRealm, here: Option<&RealmRow>, rules: Rules<'_>) -> RealmRow {
        let (created_at, updated_at) = stamps(there.stamps, rules.now);
        let live = here.filter(|row| row.deleted_at.is_none());
        let before = live.and_then(|row| stored_definition(row).ok());
        let is_like_before = before.is_some_and(|before| before.fetches_like(&self.definition));
        RealmRow {
            id: there.id.clone(),
            config: self.config.as_ref().map(ToString::to_string),
            logic_code: self.logic_code.clone(),
            comment: self.comment.clone(),
            version: here.map_or(1, |row| row.version + i64::from(!is_like_before)),
            revision: here.map_or(1, |row| row.revision + 1),
            created_at,
            updated_at,
            changed_at: rules.now,
            deleted_at: None,
        }
    }
}

/// The config as JSON; `null` and `{}` mean none there.
fn read_config(text: Option<&str>, issues: &mut Issues) -> Option<Value> {
    let parsed = serde_json::from_str::<Value>(text?)
        .map_err(|wrong| issues.add("/config", format!("is not JSON: {wrong}")))
        .ok()?;
    let is_none = parsed.is_null() || parsed.as_object().is_some_and(serde_json::Map::is_empty);
    (!is_none).then_some(parsed)
}

/// A comment is no reason to leave a realm: what ours does not take is cut off.
fn clean_comment(comment: &str) -> String {
    let keeps = |c: &char| !c.is_control() || matches!(c, '\n' | '\r' | '\t');
    comment
        .chars()
        .filter(keeps)
        .take(LONGEST_COMMENT)
        .collect()
}
