//! What a stored realm says.

use serde_json::Value;

use super::ServiceError;
use crate::realm::Definition;
use crate::store::RealmRow;

/// The definition of a stored row.
///
/// # Errors
/// `StoredRealm` when the row was written by something that did not check it.
pub(crate) fn stored_definition(row: &RealmRow) -> Result<Definition, ServiceError> {
    let unreadable = || ServiceError::StoredRealm(row.id.clone());
    let config = config_of(row).map_err(|_| unreadable())?;
    Definition::read(config.as_ref(), row.logic_code.as_deref()).map_err(|_| unreadable())
}

/// The config of a stored row.
pub(super) fn config_of(row: &RealmRow) -> Result<Option<Value>, ServiceError> {
    let parse = |text: &str| serde_json::from_str(text);
    row.config
        .as_deref()
        .map(parse)
        .transpose()
        .map_err(|_| ServiceError::StoredRealm(row.id.clone()))
}
