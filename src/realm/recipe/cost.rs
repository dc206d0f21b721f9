//! What working out the values of a run costs, as far as it can be told before.

use super::templates::all_templates;
use super::{Recipe, VarValue};
use crate::realm::template::{Cost, Template};

/// The most filters of a definition that is cheap.
const FEW_FILTERS: usize = 50;

impl Recipe {
    /// Whether its values may take longer than a few milliseconds to work out: it signs or encrypts
    /// with keys, or has many filters.
    pub(in crate::realm) fn is_costly(&self) -> bool {
        let signs = self
            .vars
            .iter()
            .any(|var| matches!(&var.value, VarValue::Jwt(jwt) if !jwt.algorithm.is_symmetric()));
        let costs = all_templates(self).map(Template::cost);
        let cost = costs.fold(Cost::default(), Cost::plus);
        signs || cost.key_operations > 0 || cost.filters > FEW_FILTERS
    }
}
