//! Call rows.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::super::{
    CallFilter, CallOutcome, CallRow, CallStore, Listed, Page, StoreResult, Usage, UsageOf,
};
use super::{MemoryStore, page_of};
use crate::clock::Timestamp;

type Calls = BTreeMap<String, CallRow>;

fn usage(calls: &Calls, of: UsageOf<'_>) -> Usage {
    let is = |wanted: Option<&str>, value: &str| wanted.is_none_or(|wanted| wanted == value);
    let is_of = |row: &&CallRow| {
        row.secret.realm == of.realm
            && is(of.key, &row.secret.key)
            && is(of.cause, &row.cause)
            && of
                .caller
                .is_none_or(|caller| row.caller.as_deref() == Some(caller))
    };
    let mut usage = Usage::default();
    for row in calls.values().filter(is_of).filter(|row| row.at > of.since) {
        match row.outcome.as_str() {
            CallRow::WITHHELD => {}
            CallRow::ASKING => usage.count += u64::from(row.at > of.asking_since),
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
fn matching(calls: &Calls, filter: &CallFilter) -> Vec<CallRow> {
    let is = |wanted: &Option<String>, value: &str| {
        wanted.as_deref().is_none_or(|wanted| wanted == value)
    };
    let matches = |row: &&CallRow| {
        is(&filter.realm, &row.secret.realm)
            && is(&filter.key, &row.secret.key)
            && filter.scopes.allow(row.secret.borrowed())
            && is(&filter.outcome, &row.outcome)
            && filter.from.is_none_or(|from| row.at >= from)
            && filter.to.is_none_or(|to| row.at < to)
    };
    calls.values().rev().filter(matches).cloned().collect()
}

#[async_trait]
impl CallStore for MemoryStore {
    async fn insert_call(&self, row: &CallRow) -> StoreResult<()> {
        self.enter("insert_call")
            .await?
            .calls
            .insert(row.id.clone(), row.clone());
        Ok(())
    }

    async fn finish_call(&self, id: &str, outcome: &CallOutcome) -> StoreResult<()> {
        if let Some(row) = self.enter("finish_call").await?.calls.get_mut(id) {
            row.outcome.clone_from(&outcome.outcome);
            row.provider_code.clone_from(&outcome.provider_code);
            row.provider_message.clone_from(&outcome.provider_message);
            row.duration_ms = outcome.duration_ms;
        }
        Ok(())
    }

    async fn call_usage(&self, of: UsageOf<'_>) -> StoreResult<Usage> {
        Ok(usage(&self.enter("call_usage").await?.calls, of))
    }

    async fn withdraw_call(&self, id: &str) -> StoreResult<()> {
        self.enter("withdraw_call").await?.calls.remove(id);
        Ok(())
    }

    async fn list_calls(&self, filter: &CallFilter, page: Page) -> StoreResult<Listed<CallRow>> {
        let rows = matching(&self.enter("list_calls").await?.calls, filter);
        Ok(page_of(
            rows,
            |row: &CallRow| (-row.at.epoch_ms(), String::new()),
            page,
        ))
    }

    async fn delete_calls(&self, before: Timestamp, most: u64) -> StoreResult<u64> {
        let mut state = self.enter("delete_calls").await?;
        let old = state
            .calls
            .values()
            .filter(|row| row.at < before)
            .map(|row| row.id.clone());
        let old: Vec<_> = old
            .take(usize::try_from(most).unwrap_or(usize::MAX))
            .collect();
        for id in &old {
            state.calls.remove(id);
        }
        Ok(old.len() as u64)
    }
}
