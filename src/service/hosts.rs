//! A definition that leads to another host than before has to be confirmed: it would take credentials
//! there.

use std::collections::BTreeSet;

use url::Url;

use super::ServiceError;
use crate::realm::{Definition, Recipe};

/// Refuses hosts that were not there before and are not confirmed.
///
/// # Errors
/// `HostsChanged` with all hosts before and now.
pub(crate) fn demand_confirmed(
    before: &BTreeSet<String>,
    now: &BTreeSet<String>,
    confirmed: &[String],
) -> Result<(), ServiceError> {
    let mut added = now.difference(before);
    if added.all(|origin| is_confirmed(origin, confirmed)) {
        return Ok(());
    }
    Err(ServiceError::HostsChanged {
        old: before.iter().cloned().collect(),
        new: now.iter().cloned().collect(),
    })
}

/// Whether an origin is named: as it is listed, without its scheme, or by its host alone.
fn is_confirmed(origin: &str, confirmed: &[String]) -> bool {
    let without_scheme = origin.split_once("://").map_or(origin, |(_, rest)| rest);
    let host = Url::parse(origin).ok();
    let host = host.as_ref().and_then(Url::host_str);
    confirmed.iter().any(|named| {
        named == origin || named == without_scheme || host.is_some_and(|host| named == host)
    })
}

/// Where the requests of a definition may go.
pub(crate) fn origins(definition: Option<&Definition>) -> BTreeSet<String> {
    definition
        .and_then(Definition::recipe)
        .map(Recipe::origins)
        .unwrap_or_default()
}

/// The realms whose tokens it uses; `None`: one that a secret's values name.
pub(crate) fn bases(definition: Option<&Definition>) -> BTreeSet<Option<String>> {
    let Some(recipe) = definition.and_then(Definition::recipe) else {
        return BTreeSet::new();
    };
    let literal = recipe.literal_bases();
    let is_named_elsewhere = literal.len() < recipe.aliases().count();
    let literal = literal.into_iter().map(|base| Some(base.to_owned()));
    literal.chain(is_named_elsewhere.then_some(None)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_added_must_be_named() {
        let set = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        let names =
            |list: &[&str]| -> Vec<String> { list.iter().map(|text| (*text).to_owned()).collect() };
        for (before, now, confirmed, passes) in [
            (vec!["https://a"], vec!["https://a"], vec![], true),
            (
                vec!["https://a", "https://b"],
                vec!["https://a"],
                vec![],
                true,
            ),
            (vec!["https://a"], vec!["https://b"], vec![], false),
            (vec!["https://a"], vec!["https://b"], vec!["b"], true),
            (vec!["https://a"], vec!["https://b:81"], vec!["b:81"], true),
            (vec!["https://a"], vec!["http://a"], vec![], false),
            (
                vec!["https://a"],
                vec!["https://b", "https://c"],
                vec!["b"],
                false,
            ),
            (vec![], vec!["https://{{ host }}"], vec!["{{ host }}"], true),
            (vec![], vec!["*.b.example"], vec!["*.b.example"], true),
            (vec![], vec!["https://bb"], vec!["b"], false),
        ] {
            let outcome = demand_confirmed(&set(&before), &set(&now), &names(&confirmed));
            assert_eq!(outcome.is_ok(), passes, "{before:?} {now:?} {confirmed:?}");
        }
    }
}
