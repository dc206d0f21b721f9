//! Which secrets are taken.

use std::collections::{BTreeMap, HashMap, HashSet};

use std::time::Duration;

use super::super::legacy::LegacySecret;
use super::super::report::{Kind, Line, Outcome};
use super::realms::{RealmPlan, StandingRealm};
use super::{Decision, Here, Rules, decide, stamps, told};
use crate::clock::Timestamp;
use crate::json::Issues;
use crate::realm::{Expiry, Mode};
use crate::secret::{Credentials, FixedToken, SecretContent, SecretId, is_mask};
use crate::service::{
    LARGEST_CREDENTIAL, LONGEST_KEY, LONGEST_REALM, check_name, pushed_that_stay,
};
use crate::store::{Replacing, SecretRow};

/// What the import does with secrets, and which are here after it.
#[derive(Debug, Default)]
pub(super) struct SecretPlan {
    pub(super) writes: Vec<Replacing<SecretRow>>,
    pub(super) needed_realms: Vec<(String, i64)>,
    pub(super) lines: Vec<Line>,
    /// For each inherited row, in their order.
    pub(super) standing: Vec<Option<StandingSecret>>,
}

/// A secret that is here after the import as it is there.
#[derive(Clone, Copy, Debug)]
pub(super) struct StandingSecret {
    pub(super) version: i64,
    pub(super) outcome: Outcome,
}

/// What becomes of a secret.
struct Planned {
    outcome: Outcome,
    note: Option<String>,
    write: Option<Replacing<SecretRow>>,
    standing: Option<StandingSecret>,
}

impl Planned {
    fn left(reason: String) -> Self {
        Self {
            outcome: Outcome::Left,
            note: Some(reason),
            write: None,
            standing: None,
        }
    }
}

/// Plans the secrets.
pub(super) fn plan(
    legacy: &[LegacySecret],
    present: Vec<SecretRow>,
    realms: &RealmPlan,
    rules: Rules<'_>,
) -> SecretPlan {
    let here: HashMap<_, _> = present
        .into_iter()
        .map(|row| (row.id.clone(), row))
        .collect();
    let mut seen = HashSet::new();
    let mut needed = BTreeMap::new();
    let mut plan = SecretPlan::default();
    for there in legacy {
        let planned = if seen.insert(&there.id) {
            plan_one(there, here.get(&there.id), realms, rules)
        } else {
            Planned::left("another row has the same realm and key".to_owned())
        };
        if let Some(write) = planned.write {
            if let Some(realm) = realms
                .standing(&there.id.realm)
                .ok()
                .filter(|realm| !realm.is_written)
            {
                needed.insert(realm.row.id.clone(), realm.row.revision);
            }
            plan.writes.push(write);
        }
        plan.lines
            .push(line(Kind::Secret, &there.id, planned.outcome, planned.note));
        plan.standing.push(planned.standing);
    }
    plan.needed_realms = needed.into_iter().collect();
    plan
}

/// A line about a secret or its token.
pub(super) fn line(kind: Kind, id: &SecretId, outcome: Outcome, note: Option<String>) -> Line {
    Line {
        kind,
        realm: id.realm.clone(),
        key: Some(id.key.clone()),
        outcome,
        note,
    }
}

fn plan_one(
    there: &LegacySecret,
    here: Option<&SecretRow>,
    realms: &RealmPlan,
    rules: Rules<'_>,
) -> Planned {
    if let Err(reason) = check(there) {
        return Planned::left(reason);
    }
    let realm = match realms.standing(&there.id.realm) {
        Ok(realm) => realm,
        Err(reason) => return Planned::left(reason),
    };
    let live = here.filter(|row| row.deleted_at.is_none());
    let (credentials, note) = unmasked(&there.credentials);
    let content = SecretContent {
        credentials,
        fixed: fixed_token(there, realm, live, rules),
    };
    let stays = live.and_then(|row| {
        let values = (&row.content.credentials, &content.credentials);
        pushed_that_stay(&realm.definition, values, &row.pushed)
    });
    let mut row = row(there, content, here, rules);
    if let Some(stays) = stays {
        (row.pushed, row.pushed_version) = (stays, row.pushed_version + 1);
    }
    let version = row.version;
    let beside = |here: &SecretRow| Here {
        updated_at: here.updated_at,
        changed_at: here.changed_at,
        is_deleted: here.deleted_at.is_some(),
        is_same: here.content == row.content,
    };
    match decide(here.map(beside), there.stamps, rules) {
        Decision::Leave(reason) => Planned::left(reason.to_owned()),
        Decision::Keep => {
            let outcome = Outcome::Unchanged;
            Planned {
                outcome,
                note,
                write: None,
                standing: Some(StandingSecret { version, outcome }),
            }
        }
        Decision::Write(outcome) => {
            let write = Some((row, here.map(|here| here.revision)));
            Planned {
                outcome,
                note,
                write,
                standing: Some(StandingSecret { version, outcome }),
            }
        }
    }
}

fn check(there: &LegacySecret) -> Result<(), String> {
    let mut issues = Issues::default();
    check_name(&there.id.realm, "/realm", LONGEST_REALM, &mut issues);
    check_name(&there.id.key, "/key", LONGEST_KEY, &mut issues);
    for (name, _) in there
        .credentials
        .iter()
        .filter(|(_, value)| value.len() > LARGEST_CREDENTIAL)
    {
        issues.add(
            format!("/{name}"),
            format!("must not be larger than {LARGEST_CREDENTIAL} bytes"),
        );
    }
    issues.into_result(Some(())).map_err(|issues| told(&issues))
}

/// The row to write. Its version moves only if its content changed.
fn row(
    there: &LegacySecret,
    content: SecretContent,
    here: Option<&SecretRow>,
    rules: Rules<'_>,
) -> SecretRow {
    let (created_at, updated_at) = stamps(there.stamps, rules.now);
    let is_as_before = here.is_some_and(|row| row.deleted_at.is_none() && row.content == content);
    SecretRow {
        id: there.id.clone(),
        content,
        next: here
            .filter(|row| row.deleted_at.is_none())
            .and_then(|row| row.next.clone()),
        pushed: here.map(|row| row.pushed.clone()).unwrap_or_default(),
        pushed_version: here.map_or(0, |row| row.pushed_version),
        version: here.map_or(1, |row| row.version + i64::from(!is_as_before)),
        revision: here.map_or(1, |row| row.revision + 1),
        created_at,
        updated_at,
        changed_at: rules.now,
        deleted_at: None,
    }
}

/// The credentials without those that are a mask: an answer posted back there, which stored the
/// asterisks.
fn unmasked(there: &Credentials) -> (Credentials, Option<String>) {
    let (masks, values): (Vec<_>, Vec<_>) = there.iter().partition(|(_, value)| is_mask(value));
    let names: Vec<_> = masks.into_iter().map(|(name, _)| name).collect();
    let note = format!(
        "asterisks are no credential: {} counts as absent",
        names.join(", ")
    );
    (
        values.into_iter().collect(),
        (!names.is_empty()).then_some(note),
    )
}

/// The operator's token, where the realm is fixed. There, such a realm's token can only have been
/// put in by hand; once it has expired, what is here stays.
fn fixed_token(
    there: &LegacySecret,
    realm: &StandingRealm,
    live: Option<&SecretRow>,
    rules: Rules<'_>,
) -> Option<FixedToken> {
    if realm.definition.mode() != Mode::Fixed {
        return None;
    }
    let held = live.and_then(|row| row.content.fixed.clone());
    let given = there.token.as_ref().filter(|_| realm.fetches_as_there());
    match given.zip(lives_until(there, rules.now).ok()) {
        Some((token, expires_at)) => Some(FixedToken {
            token: token.clone(),
            expires_at: Some(expires_at),
        }),
        None => held,
    }
}

/// A token with less left is not worth taking.
const SHORTEST_LEFT: Duration = Duration::from_secs(10);
/// The longest life believed, as of a token that a provider gives: a hundred years.
const LONGEST_LEFT: Duration = Duration::from_hours(100 * 366 * 24);
/// Tokens that expired longer ago are not expected there.
const LONGEST_DEAD: Duration = Duration::from_hours(10 * 366 * 24);

/// Until when a token works that is worth taking, or why it is not.
pub(super) fn lives_until(there: &LegacySecret, now: Timestamp) -> Result<Timestamp, String> {
    if there
        .token
        .as_ref()
        .is_some_and(|token| token.expose().len() > LARGEST_CREDENTIAL)
    {
        return Err(format!("it is larger than {LARGEST_CREDENTIAL} bytes"));
    }
    let expires_at = there.expires_at.ok_or("its expiry is not known")?;
    if expires_at <= now {
        return Err("it has expired".to_owned());
    }
    if expires_at < now.plus(SHORTEST_LEFT) {
        return Err(format!("it expires in less than {SHORTEST_LEFT:?}"));
    }
    if expires_at > now.plus(LONGEST_LEFT) {
        return Err(too_far(expires_at.epoch_ms(), now));
    }
    Ok(expires_at)
}

/// Why an expiry is not believed, with what its number might be instead of milliseconds.
fn too_far(expires_at: i64, now: Timestamp) -> String {
    let guess = [(1000, "microseconds"), (1_000_000, "nanoseconds")]
        .into_iter()
        .find(|(parts, _)| {
            let at = Timestamp::from_epoch_ms(expires_at / parts);
            at > now.minus(LONGEST_DEAD) && at <= now.plus(LONGEST_LEFT)
        });
    let guess = guess.map_or(String::new(), |(_, unit)| format!(": is it in {unit}?"));
    format!(
        "its expires_at {expires_at} is more than 100 years from now, read as milliseconds since 1970{guess}"
    )
}

/// What an operator should know of a token that is taken with an expiry far from now.
pub(super) fn doubt(expires_at: Timestamp, now: Timestamp) -> Option<String> {
    let life = expires_at.since(now);
    let years = life.as_secs() / (366 * 86_400);
    Expiry::In(life).doubt().map(|_| {
        let ms = expires_at.epoch_ms();
        format!("it is taken to live {years} years: is its expires_at {ms} right?")
    })
}
