//! Looking through the log of calls.

use std::collections::BTreeMap;

use super::{CallFilter, CallRow, Usage};
use crate::clock::Timestamp;

type Calls = BTreeMap<String, CallRow>;

pub(super) fn usage(
    calls: &Calls,
    (realm, key): (&str, Option<&str>),
    since: Timestamp,
    asking_since: Timestamp,
) -> Usage {
    let is_of =
        |row: &&CallRow| row.secret.realm == realm && key.is_none_or(|key| key == row.secret.key);
    let mut usage = Usage::default();
    for row in calls.values().filter(is_of).filter(|row| row.at > since) {
        match row.outcome.as_str() {
            CallRow::WITHHELD => {}
            CallRow::ASKING => usage.count += u64::from(row.at > asking_since),
            _ => {
                usage.made += 1;
                usage.count += 1;
                usage.oldest_at = usage.oldest_at.into_iter().chain([row.at]).min();
            }
        }
    }
    usage
}

/// The latest ids first.
pub(super) fn matching(calls: &Calls, filter: &CallFilter) -> Vec<CallRow> {
    let is = |wanted: &Option<String>, value: &str| {
        wanted.as_deref().is_none_or(|wanted| wanted == value)
    };
    let matches = |row: &&CallRow| {
        is(&filter.realm, &row.secret.realm)
            && is(&filter.key, &row.secret.key)
            && is(&filter.outcome, &row.outcome)
            && filter.from.is_none_or(|from| row.at >= from)
            && filter.to.is_none_or(|to| row.at < to)
    };
    calls.values().rev().filter(matches).cloned().collect()
}
