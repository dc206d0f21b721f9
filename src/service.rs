//! The rules. Knows no HTTP and no SQL.
//!
//! ```text
//! tokens.get ─ fresh ──▶ memory
//!            ├ ageing ─▶ memory, and a renewal behind the caller's back
//!            └ missing ▶ flights: one per secret in this process
//!                          └▶ renewal: store → lease → upstream → store (fenced) → memory
//! ```
//!
//! `renewal` is the one path that fetches and stores a token. Everything else calls it.

mod answer;
mod api_keys;
mod calls;
mod cause;
mod circuits;
mod edit;
mod error;
mod flights;
mod hosts;
mod input_files;
pub mod memory;
mod permits;
mod readiness;
mod realms;
mod refresher;
mod renewal;
mod reported;
mod requester;
mod schedule;
mod secrets;
pub mod store_time;
mod stored;
pub mod sync;
mod tokens;
mod upkeep;

pub use answer::{Refused, Stale, TokenAnswer};
pub use api_keys::{ApiKeyEdit, ApiKeys, HeldKey, MadeApiKey, NewApiKey, RateLeft};
pub use calls::Calls;
pub use cause::Cause;
pub(crate) use edit::read_confirmed;
pub(crate) use edit::{
    LARGEST_CREDENTIAL, LONGEST_COMMENT, LONGEST_KEY, LONGEST_REALM, REALM_ANSWER_FIELDS,
    SECRET_ANSWER_FIELDS, check_name,
};
pub use edit::{NextValue, Patch, RealmEdit, SecretEdit};
pub use error::ServiceError;
pub(crate) use hosts::{bases, demand_confirmed, origins};
pub use input_files::InputFiles;
pub use readiness::{Readiness, StandingWarning};
pub use realms::{Realm, Realms};
pub use refresher::{Refresher, RefresherSettings, Swept};
pub use renewal::{
    GrantStatus, QuotaUse, Renewal, RenewalParts, RenewalSettings, SecretStatus, Shows, TokenState,
    Trial, TrialInputs, TrialReport,
};
pub use requester::Requester;
pub(crate) use schedule::due_at;
pub(crate) use secrets::pushed_that_stay;
pub use secrets::{Secret, Secrets};
pub(crate) use stored::stored_definition;
pub use tokens::Tokens;
pub use upkeep::{Upkeep, UpkeepParts};
