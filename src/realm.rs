//! The realm language: what an operator writes to teach the server a provider. Pure: no I/O, no
//! clock, no store.
//!
//! [`Definition::read`] checks a definition when it is saved: the inherited form, `oauth2` and the
//! general form are all read into one [`Recipe`]. A [`Run`] then goes through one fetch: it makes a
//! request, takes its response, makes the next, and finishes with a token or a failure. Whoever
//! runs it only carries bytes.

mod bounded_json;
mod budget;
pub mod catalog;
mod definition;
mod duration;
mod encode;
mod general;
mod host;
mod hosts;
mod inherited;
mod location;
mod margin;
mod oauth2;
mod outcome;
mod path;
mod plain_http;
mod policy;
mod quota;
mod recipe;
pub mod reference;
mod rehearsal;
mod response;
mod run;
pub mod schema;
mod template;
mod time;

pub use budget::RunLimits;
pub use definition::{Definition, Mode, Reference, is_name};
pub use duration::read_text as read_duration;
pub use location::Location;
pub use margin::RefreshAhead;
pub use outcome::{DEFAULT_LIFE, Expiry, Fetched};
pub use path::Path;
pub use policy::{DEFAULT_OVERLAP, Policy, Reissue};
pub use quota::{CountedBy, Quota, Unit, Window};
pub use recipe::{Input, Origin, Recipe};
pub use rehearsal::{Rehearsal, RehearsalError, Rehearsed};
pub use response::RawResponse;
pub use run::{BaseName, Body, Facts, Request, Run, Saved, Shown, TlsMaterial};

pub(crate) use template::doubt as key_doubt;

use definition::{check_header_name, http_url};
use general::{flag, read_url, values as general_values};
