//! `[inputs]`

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Inputs of realms that are files.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct InputSettings {
    /// The folder with one folder for each realm, named like it, in which inputs with `"from":
    /// "file"` are read. Default none: no file is read. `TOKEN_SERVER__INPUTS__FILE_ROOT`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_root: Option<PathBuf>,
}
