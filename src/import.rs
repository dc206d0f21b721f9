//! Taking over realms, secrets and live tokens of the inherited service.
//!
//! [`run`] reads the inherited tables and what is here, plans (pure, see `plan`), and writes all or
//! nothing. Called by the command line. A second run finds nothing to do; what was edited here
//! stays unless asked otherwise.

mod error;
mod legacy;
mod plan;
mod report;

use std::collections::BTreeSet;

use crate::json::Issues;
use crate::service::{LONGEST_REALM, bases, check_name, stored_definition};
use crate::store::{Page, RealmFilter, RealmStore as _, SqlStore, StoreClock as _, StoreError};
use legacy::Legacy;
use plan::{Rules, plan};

pub use error::ImportError;
pub use legacy::LegacyUrl;
pub use report::{Counts, Kind, Line, Outcome, Report};

/// How an import is done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Plan and report only.
    pub dry_run: bool,
    /// Replace also what was edited or deleted here.
    pub overwrite: bool,
    /// Callers now ask here and no longer there: renew the tokens as if they had been asked for
    /// here.
    pub switched: bool,
    /// Hosts that credentials may go to from now on.
    pub confirm_hosts: Vec<String>,
}

/// How often the plan is made anew when rows changed under it.
const TRIES: u32 = 3;
/// Realms of one look.
const REALMS_AT_ONCE: u64 = 500;

/// Imports from the inherited database and tells what was taken, left and why.
///
/// # Errors
/// `Unreadable`, `Missing` for the inherited database; `Store` for ours: then nothing is written.
pub async fn run(
    from: &LegacyUrl,
    store: &SqlStore,
    settings: Settings,
) -> Result<Report, ImportError> {
    let legacy = Legacy::read(from).await?;
    let mut attempt = 1;
    loop {
        match run_once(&legacy, store, &settings).await {
            Err(StoreError::Conflict(_)) if attempt < TRIES => attempt += 1,
            outcome => return Ok(outcome?),
        }
    }
}

async fn run_once(
    legacy: &Legacy,
    store: &SqlStore,
    settings: &Settings,
) -> Result<Report, StoreError> {
    let lending = lending(store).await?;
    let present = store.list_present(&realms_named_by(legacy)).await?;
    let rules = Rules {
        now: store.now().await?,
        overwrite: settings.overwrite,
        switched: settings.switched,
        confirm_hosts: &settings.confirm_hosts,
        lending: &lending,
    };
    let planned = plan(legacy, present, rules);
    if !settings.dry_run {
        store.write_import(&planned.import).await?;
    }
    let switched = settings.switched.then_some(planned.import.asked.len());
    Ok(Report::new(settings.dry_run, switched, planned.lines))
}

/// The realms here that others name in `depends_on`.
async fn lending(store: &SqlStore) -> Result<BTreeSet<String>, StoreError> {
    let (mut lending, mut offset) = (BTreeSet::new(), 0);
    loop {
        let page = Page {
            offset,
            limit: REALMS_AT_ONCE,
        };
        let listed = store.list_realms(&RealmFilter::default(), page).await?;
        for row in &listed.items {
            let named = bases(stored_definition(row).ok().as_ref());
            lending.extend(named.into_iter().flatten().filter(|base| *base != row.id));
        }
        offset += REALMS_AT_ONCE;
        if offset >= listed.total {
            return Ok(lending);
        }
    }
}

/// The realm ids that can be here; others are not even asked for, since `PostgreSQL` refuses NUL in
/// a text.
fn realms_named_by(legacy: &Legacy) -> Vec<String> {
    let ids = legacy.realms.iter().map(|realm| &realm.id);
    let ids: BTreeSet<_> = ids
        .chain(legacy.secrets.iter().map(|secret| &secret.id.realm))
        .collect();
    ids.into_iter().filter(|id| is_valid(id)).cloned().collect()
}

fn is_valid(id: &str) -> bool {
    let mut issues = Issues::default();
    check_name(id, "/id", LONGEST_REALM, &mut issues);
    issues.into_result(Some(())).is_ok()
}
