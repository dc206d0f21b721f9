//! Reading JSON documents: strictly, member by member, with everything that is wrong reported at
//! once.

mod object;
mod read;
mod suggestion;

pub use object::{Issue, Issues, Object};
pub(crate) use object::{kind, pointer};
pub(crate) use read::read;
pub(crate) use suggestion::suggestion;
