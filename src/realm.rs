//! The realm language: what an operator writes to teach the server a provider. Pure: no I/O, no clock, no store.
//!
//! [`Definition::read`] checks a definition when it is saved, [`Definition::plan`] turns it and a secret's credentials
//! into the request to send, [`Reading::read`] judges the answer. The upstream layer only carries bytes between the
//! last two.

mod answer;
mod definition;
mod duration;
mod issue;
mod margin;
mod path;
mod plan;
mod policy;
mod quota;

pub use answer::{Answer, DEFAULT_LIFE, Reading};
pub use definition::{
    Argument, ConfigForm, ContentType, Definition, FunctionForm, Method, Mode, Place, Reference, Value,
    is_name,
};
pub use issue::{Issue, Issues, Object};
pub use margin::RefreshAhead;
pub use path::Path;
pub use plan::{Body, Plan, Request};
pub use policy::{DEFAULT_OVERLAP, Policy, Reissue};
pub use quota::{Quota, Scope, Unit, Window};
