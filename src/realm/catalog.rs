//! The shipped presets: one file each in `catalog/`, data with a recorded exchange, embedded in the
//! program.

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::json::suggestion;

#[derive(rust_embed::RustEmbed)]
#[folder = "catalog/"]
#[include = "*.json"]
struct Files;

static PRESETS: LazyLock<Vec<Preset>> = LazyLock::new(|| {
    let mut names: Vec<_> = Files::iter().collect();
    names.sort();
    let read =
        |name: &str| Files::get(name).and_then(|file| serde_json::from_slice(&file.data).ok());
    names.iter().filter_map(|name| read(name)).collect()
});

/// A text in two languages.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Localised {
    /// English.
    pub en: String,
    /// Simplified Chinese.
    pub zh: String,
}

/// A provider that is described already.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preset {
    /// Its name: lower-case letters, digits and `-` (`_` in the two inherited ones).
    pub id: String,
    /// What it is.
    pub title: Localised,
    /// The vendor's page: of the token where one was seen, else of the product.
    pub documentation: String,
    /// Where its facts were read.
    pub source: String,
    /// What an operator should know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notes: Option<Localised>,
    /// The `config` of a realm.
    pub config: Json,
    /// Recorded exchanges: one that succeeds, one that fails, maybe more.
    pub examples: Vec<Json>,
}

/// All presets, by id.
#[must_use]
pub fn presets() -> &'static [Preset] {
    &PRESETS
}

/// The files that are there but cannot be read as presets; none, as the tests see to.
#[must_use]
pub fn unreadable() -> Vec<String> {
    let is_wrong = |name: &str| {
        Files::get(name).is_none_or(|file| serde_json::from_slice::<Preset>(&file.data).is_err())
    };
    Files::iter()
        .filter(|name| is_wrong(name))
        .map(|name| name.to_string())
        .collect()
}

/// A preset by its id.
///
/// # Errors
/// That there is none, with the nearest.
pub fn preset(id: &str) -> Result<&'static Preset, String> {
    let found = PRESETS.iter().find(|preset| preset.id == id);
    found.ok_or_else(|| {
        let near = suggestion(id, PRESETS.iter().map(|preset| preset.id.as_str()));
        format!("there is no preset {id}{near}; token-server catalog list shows them")
    })
}

/// Presets in whose id or titles a text is, whatever its case; all for an empty one.
#[must_use]
pub fn search(text: &str) -> Vec<&'static Preset> {
    let text = text.to_lowercase();
    let has = |preset: &&Preset| {
        [&preset.id, &preset.title.en, &preset.title.zh]
            .iter()
            .any(|name| name.to_lowercase().contains(&text))
    };
    PRESETS.iter().filter(has).collect()
}

impl Preset {
    /// The names of the inputs that a secret of it has.
    #[must_use]
    pub fn inputs(&self) -> Vec<String> {
        let definition = super::Definition::read(Some(&self.config), None).ok();
        let references = definition
            .as_ref()
            .map(super::Definition::input_names)
            .unwrap_or_default();
        references.into_iter().map(str::to_owned).collect()
    }

    /// A realm of it, to be posted.
    #[must_use]
    pub fn realm(&self, id: &str) -> Json {
        serde_json::json!({"id": id, "config": self.config, "comment": format!("{} ({})", self.title.en, self.id)})
    }
}
