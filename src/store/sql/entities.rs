//! The tables as SeaORM sees them. Times are epoch milliseconds, sealed columns begin with a format
//! byte.

pub(super) mod api_key;
pub(super) mod call;
pub(super) mod realm;
pub(super) mod secret;
pub(super) mod token;
