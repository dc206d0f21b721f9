//! Grants, fenced by their generation.

use async_trait::async_trait;

use super::super::{Grant, GrantStore, Intent, StoreResult};
use super::MemoryStore;
use crate::secret::SecretId;

#[async_trait]
impl GrantStore for MemoryStore {
    async fn begin_spend(
        &self,
        id: &SecretId,
        before: Option<&Intent>,
        intent: &Intent,
    ) -> StoreResult<bool> {
        let mut state = self.enter("begin_spend").await?;
        let grant = state.tokens.get_mut(id).map(|entry| &mut entry.row.grant);
        let is_before = |grant: &&mut Grant| {
            grant.generation == intent.generation && grant.intent.as_ref() == before
        };
        let Some(grant) = grant.filter(is_before) else {
            return Ok(false);
        };
        grant.intent = Some(intent.clone());
        Ok(true)
    }

    async fn end_spend(
        &self,
        id: &SecretId,
        intent: &Intent,
        spent: Option<&Grant>,
    ) -> StoreResult<bool> {
        let mut state = self.enter("end_spend").await?;
        let grant = state.tokens.get_mut(id).map(|entry| &mut entry.row.grant);
        let is_latest = |grant: &&mut Grant| {
            grant.generation == intent.generation
                && (spent.is_some() || grant.intent.as_ref() == Some(intent))
        };
        let Some(grant) = grant.filter(is_latest) else {
            return Ok(false);
        };
        grant.intent = None;
        if let Some(spent) = spent {
            *grant = Grant {
                generation: intent.generation + 1,
                intent: None,
                ..spent.clone()
            };
        }
        Ok(true)
    }
}
