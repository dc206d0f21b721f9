//! What a fetch starts from: the values of a secret, wherever they come from.

use super::{Renewal, View};
use crate::clock::Timestamp;
use crate::failure::Failure;
use crate::realm::{Definition, Facts, Origin, Recipe};
use crate::secret::{Credentials, SecretId};
use crate::service::schedule::hash;
use crate::store::{Grant, RealmRow, SecretRow, TokenRow};
use crate::token::TokenText;

/// The values of a secret as a fetch sees them.
#[derive(Clone, Default)]
pub(in crate::service) struct Inputs {
    /// By name.
    pub(in crate::service) values: Credentials,
    /// A file that could not be read.
    pub(in crate::service) failure: Option<Failure>,
    /// Stands for the stored credentials that the grant began with.
    pub(super) seed: String,
    /// Whether the provider has replaced a rotating input before.
    pub(super) has_saved: bool,
}

impl Renewal {
    /// The values of a secret: stored, pushed, rotated, or read from files.
    pub(super) async fn inputs(
        &self,
        recipe: &Recipe,
        secret: &SecretRow,
        row: Option<&TokenRow>,
    ) -> Inputs {
        let stored = &secret.content.credentials;
        let seed = seed(recipe, stored);
        let grant = row
            .map(|row| &row.grant)
            .filter(|grant| grant.seed == seed && !grant.values.is_empty());
        let mut inputs = Inputs {
            values: stored.clone(),
            failure: None,
            has_saved: grant.is_some(),
            seed,
        };
        for (name, value) in secret.pushed.iter() {
            inputs.values.set(name, value);
        }
        for (name, value) in grant.into_iter().flat_map(|grant| grant.values.iter()) {
            inputs.values.set(name, value);
        }
        for input in recipe.inputs_from(Origin::File) {
            let Some(name) = stored.get(&input.name).or(input.default.as_deref()) else {
                continue;
            };
            let realm = &secret.id.realm;
            match self.parts.files.read(realm, &input.name, name).await {
                Ok(content) => inputs.values.set(&input.name, content),
                Err(failure) => inputs.failure = inputs.failure.take().or(Some(failure)),
            }
        }
        inputs
    }
}

impl View {
    /// What a fetch starts from.
    pub(super) fn facts(
        &self,
        id: &SecretId,
        forced: bool,
        now: Timestamp,
        tokens: Tokens,
    ) -> Facts {
        Facts {
            secret: id.clone(),
            inputs: self.inputs.values.clone(),
            tokens,
            has_saved: self.inputs.has_saved,
            forced,
            now,
            uuid: uuid::Uuid::new_v4().to_string(),
            nonce: uuid::Uuid::new_v4().simple().to_string(),
        }
    }

    /// The grant as stored; a blank one before the first use.
    pub(super) fn grant(&self) -> Grant {
        self.row
            .as_ref()
            .map(|row| row.grant.clone())
            .unwrap_or_default()
    }
}

type Tokens = std::collections::BTreeMap<String, TokenText>;

/// Stands for the first values of a grant: a change of them means that the operator has authorised
/// anew. So does a change of what says where requests go: a grant does not follow it there.
fn seed(recipe: &Recipe, stored: &Credentials) -> String {
    let mut text = String::new();
    let rotating = recipe.inputs_from(Origin::Rotating);
    let rotating: Vec<&str> = rotating.map(|input| input.name.as_str()).collect();
    let hosts = recipe.host_inputs();
    let hosts = hosts.into_iter().filter(|name| !rotating.contains(name));
    for name in rotating.iter().copied().chain(hosts) {
        for part in [name, "\0", stored.get(name).unwrap_or_default(), "\0"] {
            text.push_str(part);
        }
    }
    TokenText::from(text).fingerprint()
}

/// A number that stands for what a fetch depends on beside the two versions: an edit of the policy,
/// a push or a changed file is a reason to try again at once.
pub(super) fn settings_fingerprint(
    realm: &RealmRow,
    definition: &Definition,
    secret: &SecretRow,
    inputs: &Inputs,
) -> i64 {
    let config = realm
        .config
        .as_deref()
        .and_then(|text| serde_json::from_str::<serde_json::Value>(text).ok());
    let of = |name: &str| {
        config
            .as_ref()
            .and_then(|config| config.get(name).map(ToString::to_string))
    };
    let mut text = of("policy").unwrap_or_default();
    text.push_str(&of("errors").unwrap_or_default());
    if secret.pushed_version > 0 {
        text.push_str(&secret.pushed_version.to_string());
    }
    let files = definition
        .recipe()
        .into_iter()
        .flat_map(|recipe| recipe.inputs_from(Origin::File));
    for input in files {
        text.push_str(inputs.values.get(&input.name).unwrap_or_default());
    }
    if text.is_empty() {
        0
    } else {
        hash(text.bytes()).cast_signed()
    }
}
