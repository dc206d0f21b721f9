//! Which refused tokens were reported here before, so that a storm of reports is one line in the
//! log.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use super::Refused;
use crate::secret::SecretId;

/// The tokens that were reported to this instance, by what their reporters called them.
#[derive(Default)]
pub(super) struct Reported(Mutex<HashSet<(SecretId, String)>>);

/// So many are kept.
const MOST: usize = 10_000;

impl Reported {
    /// Notes a report; whether it is the first of its token.
    pub(super) fn note(&self, id: &SecretId, refused: &Refused) -> bool {
        let name = match refused {
            Refused::Token(token) => token.fingerprint(),
            Refused::Version(version) => version.to_string(),
            Refused::Fingerprint(hex) => hex.clone(),
        };
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if noted.len() >= MOST {
            noted.clear();
        }
        noted.insert((id.clone(), name))
    }
}
