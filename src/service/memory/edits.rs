//! Which realms and secrets were edited of late.

use std::collections::VecDeque;

use crate::secret::SecretId;

/// A point in the sequence of edits; see [`Memory::mark`](super::Memory::mark).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark(u64);

/// The latest edits, oldest first.
#[derive(Debug, Default)]
pub(super) struct Edits {
    /// How many came before the first that is kept.
    forgotten: u64,
    kept: VecDeque<Edit>,
}

#[derive(Debug)]
struct Edit {
    realm: String,
    /// `None`: the realm itself.
    key: Option<String>,
    /// After the edit; `None`: deleted, or not known.
    version: Option<i64>,
}

/// More edits than this during one fetch, and its token is not kept in memory.
const MOST: usize = 4096;

impl Edits {
    pub(super) fn mark(&self) -> Mark {
        Mark(self.forgotten + self.kept.len() as u64)
    }

    pub(super) fn note_realm(&mut self, realm: &str, version: Option<i64>) {
        self.note(Edit {
            realm: realm.to_owned(),
            key: None,
            version,
        });
    }

    pub(super) fn note_secret(&mut self, id: &SecretId, version: Option<i64>) {
        self.note(Edit {
            realm: id.realm.clone(),
            key: Some(id.key.clone()),
            version,
        });
    }

    fn note(&mut self, edit: Edit) {
        self.kept.push_back(edit);
        if self.kept.len() > MOST {
            self.kept.pop_front();
            self.forgotten += 1;
        }
    }

    /// Whether what was made with these versions of rows read at `mark` still is current.
    pub(super) fn left_standing(
        &self,
        Mark(mark): Mark,
        id: &SecretId,
        realm_version: i64,
        secret_version: i64,
    ) -> bool {
        let Some(known) = mark.checked_sub(self.forgotten) else {
            return false;
        };
        let since = self
            .kept
            .iter()
            .skip(usize::try_from(known).unwrap_or(usize::MAX));
        let mut of_it = since.filter(|edit| {
            edit.realm == id.realm && edit.key.as_ref().is_none_or(|key| *key == id.key)
        });
        of_it.all(|edit| {
            let made_with = if edit.key.is_some() {
                secret_version
            } else {
                realm_version
            };
            edit.version == Some(made_with)
        })
    }
}
