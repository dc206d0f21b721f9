//! Which saves of a realm need its hosts confirmed.

use std::collections::BTreeSet;

use super::Realms;
use crate::realm::Definition;
use crate::service::ServiceError;
use crate::service::hosts::{bases, demand_confirmed, origins};
use crate::service::stored::stored_definition;
use crate::store::{Page, RealmFilter, RealmRow, SecretFilter, StoreError};

/// Realms of one look.
const PAGE: u64 = 500;

impl Realms {
    /// Refuses a save by which the credentials of secrets, or tokens of others, would go to a host
    /// that nobody confirmed.
    pub(super) async fn demand_hosts(
        &self,
        id: &str,
        definition: &Definition,
        stored: Option<&RealmRow>,
        confirmed: &[String],
    ) -> Result<(), ServiceError> {
        let before = stored
            .filter(|row| row.deleted_at.is_none())
            .and_then(|row| stored_definition(row).ok());
        let now = origins(Some(definition));
        let old = origins(before.as_ref());
        if self.borrows_anew(definition, before.as_ref()).await? {
            return demand_confirmed(&BTreeSet::new(), &now, confirmed);
        }
        let borrows = before.is_some() && !bases(Some(definition)).is_empty();
        match demand_confirmed(&old, &now, confirmed) {
            Err(changed) if borrows || self.has_secrets(id).await? || self.is_base(id).await? => {
                Err(changed)
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    async fn has_secrets(&self, id: &str) -> Result<bool, StoreError> {
        Ok(self.secrets_of(id, 1).await?.total > 0)
    }

    async fn has_any_secret(&self) -> Result<bool, StoreError> {
        let first = Page {
            offset: 0,
            limit: 1,
        };
        Ok(self
            .store
            .list_secrets(&SecretFilter::default(), first)
            .await?
            .total
            > 0)
    }

    /// Whether it uses tokens of a realm that has secrets, and did not before.
    async fn borrows_anew(
        &self,
        definition: &Definition,
        before: Option<&Definition>,
    ) -> Result<bool, StoreError> {
        let (now, old) = (bases(Some(definition)), bases(before));
        for base in now.difference(&old) {
            let has_secrets = match base {
                Some(base) => self.has_secrets(base).await?,
                // A secret's values name it: it may be any.
                None => self.has_any_secret().await?,
            };
            if has_secrets {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether another realm names it in `depends_on`.
    async fn is_base(&self, id: &str) -> Result<bool, StoreError> {
        let mut offset = 0;
        loop {
            let page = Page {
                offset,
                limit: PAGE,
            };
            let listed = self
                .store
                .list_realms(&RealmFilter::default(), page)
                .await?;
            let found = listed.items.iter().any(|row| {
                let definition = stored_definition(row).ok();
                row.id != id && bases(definition.as_ref()).contains(&Some(id.to_owned()))
            });
            offset += PAGE;
            if found || offset >= listed.total {
                return Ok(found);
            }
        }
    }
}
