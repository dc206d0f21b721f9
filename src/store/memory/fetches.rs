//! Looking through the log of calls.

use std::collections::BTreeMap;

use super::{FetchFilter, FetchRow, Usage};
use crate::clock::Timestamp;

type Fetches = BTreeMap<String, FetchRow>;

pub(super) fn usage(
    fetches: &Fetches,
    (realm, key): (&str, Option<&str>),
    since: Timestamp,
    asking_since: Timestamp,
) -> Usage {
    let is_of =
        |row: &&FetchRow| row.secret.realm == realm && key.is_none_or(|key| key == row.secret.key);
    let mut usage = Usage::default();
    for row in fetches.values().filter(is_of).filter(|row| row.at > since) {
        match row.outcome.as_str() {
            FetchRow::WITHHELD => {}
            FetchRow::ASKING => usage.count += u64::from(row.at > asking_since),
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
pub(super) fn matching(fetches: &Fetches, filter: &FetchFilter) -> Vec<FetchRow> {
    let is = |wanted: &Option<String>, value: &str| {
        wanted.as_deref().is_none_or(|wanted| wanted == value)
    };
    let matches = |row: &&FetchRow| {
        is(&filter.realm, &row.secret.realm)
            && is(&filter.key, &row.secret.key)
            && is(&filter.outcome, &row.outcome)
            && filter.from.is_none_or(|from| row.at >= from)
            && filter.to.is_none_or(|to| row.at < to)
    };
    fetches.values().rev().filter(matches).cloned().collect()
}
