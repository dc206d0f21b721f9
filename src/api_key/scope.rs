//! Which secrets a caller may reach.

use std::fmt;
use std::str::FromStr;

use crate::secret::SecretRef;

/// Two patterns, `realm:key`. `*` is any run of characters, also none, inside one of the two;
/// everything else is itself, byte by byte. The first colon separates them: a realm whose own name
/// has a colon is matched by a `*` in its place only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    realm: Pattern,
    key: Pattern,
}

/// Scopes allow, and nothing forbids: what any of them matches may be reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Scopes {
    /// Every secret.
    #[default]
    All,
    /// Those that one of these matches.
    Only(Vec<Scope>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Pattern(String);

impl Scopes {
    /// Whether a secret may be reached.
    #[must_use]
    pub fn allow(&self, secret: SecretRef<'_>) -> bool {
        match self {
            Self::All => true,
            Self::Only(scopes) => scopes.iter().any(|scope| scope.matches(secret)),
        }
    }

    /// Whether every secret of a realm may be reached, also those to come: who changes a realm
    /// changes what is fetched for all of them.
    #[must_use]
    pub fn cover_realm(&self, realm: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(scopes) => scopes
                .iter()
                .any(|scope| scope.key.is_all() && scope.realm.matches(realm)),
        }
    }

    /// Whether some secret of a realm may be reached.
    #[must_use]
    pub fn touch_realm(&self, realm: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(scopes) => scopes.iter().any(|scope| scope.realm.matches(realm)),
        }
    }

    /// Whether every secret of every realm may be reached.
    #[must_use]
    pub fn cover_all(&self) -> bool {
        match self {
            Self::All => true,
            Self::Only(scopes) => scopes
                .iter()
                .any(|scope| scope.key.is_all() && scope.realm.is_all()),
        }
    }

    /// The pairs of patterns, of realm and key; `None`: all. In each `*` is any run of characters.
    #[must_use]
    pub fn patterns(&self) -> Option<Vec<(&str, &str)>> {
        match self {
            Self::All => None,
            Self::Only(scopes) => Some(
                scopes
                    .iter()
                    .map(|scope| (scope.realm.0.as_str(), scope.key.0.as_str()))
                    .collect(),
            ),
        }
    }

    /// As they are written; empty: all.
    #[must_use]
    pub fn to_texts(&self) -> Vec<String> {
        match self {
            Self::All => Vec::new(),
            Self::Only(scopes) => scopes.iter().map(Scope::to_string).collect(),
        }
    }
}

impl Scope {
    /// Whether a secret is in it.
    #[must_use]
    pub fn matches(&self, secret: SecretRef<'_>) -> bool {
        self.realm.matches(secret.realm) && self.key.matches(secret.key)
    }
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| {
            format!(
                "{why}: expected REALM:KEY, where * stands for any run of characters, as wxgzh:* ; found {text:?}"
            )
        };
        let (realm, key) = text.split_once(':').ok_or_else(|| wrong("no colon"))?;
        if realm.is_empty() || key.is_empty() {
            return Err(wrong("one part is empty"));
        }
        if text.chars().any(crate::secret::is_invisible) {
            return Err(wrong("a control character, or one that does not show"));
        }
        if text.chars().count() > LONGEST_SCOPE {
            return Err(format!("a scope has at most {LONGEST_SCOPE} characters"));
        }
        Ok(Self {
            realm: Pattern(realm.to_owned()),
            key: Pattern(key.to_owned()),
        })
    }
}

/// The longest realm, a colon, the longest key.
const LONGEST_SCOPE: usize = 251;

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.realm.0, self.key.0)
    }
}

impl Pattern {
    fn is_all(&self) -> bool {
        self.0.bytes().all(|byte| byte == b'*')
    }

    /// Takes as much time as pattern and text are long together, for each star.
    fn matches(&self, text: &str) -> bool {
        let Some((first, rest)) = self.0.split_once('*') else {
            return self.0 == text;
        };
        let Some(mut left) = text.strip_prefix(first) else {
            return false;
        };
        let mut parts: Vec<&str> = rest.split('*').collect();
        let last = parts.pop().unwrap_or_default();
        for part in parts {
            // The first place is as good as any later one, since more is left after it.
            match left.find(part) {
                Some(place) => left = left.get(place + part.len()..).unwrap_or_default(),
                None => return false,
            }
        }
        left.ends_with(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(scope: &str, realm: &str, key: &str) -> bool {
        scope
            .parse::<Scope>()
            .unwrap()
            .matches(SecretRef { realm, key })
    }

    #[test]
    fn a_star_is_any_run_inside_one_part() {
        for (scope, realm, key, expected) in [
            ("wxgzh:app", "wxgzh", "app", true),
            ("wxgzh:app", "wxgzh", "App", false),
            ("wxgzh:app", "wxgzh", "app2", false),
            ("wxgzh:*", "wxgzh", "", true),
            ("wxgzh:*", "wxgzh2", "a", false),
            ("wx*:*", "wxgzh", "a:b/c", true),
            ("*:*", "r", "键", true),
            ("*:team-*-prod", "r", "team-a-prod", true),
            ("*:team-*-prod", "r", "team--prod", true),
            ("*:team-*-prod", "r", "team-prod", false),
            ("*:a*b*c", "r", "a1b2b3c", true),
            ("*:a*b*c", "r", "acb", false),
            ("*:*a*a", "r", "a", false),
            ("*:aa*aa", "r", "aaa", false),
            ("r:a:b", "r", "a:b", true),
            ("r:a:b", "r:a", "b", false),
            ("r*a:b", "r:a", "b", true),
            ("r:+", "r", "x", false),
            ("r:?", "r", "x", false),
            ("r:**", "r", "x", true),
        ] {
            assert_eq!(
                matches(scope, realm, key),
                expected,
                "{scope} {realm} {key}"
            );
        }
    }

    #[test]
    fn scopes_only_allow() {
        let scopes = ["a:*", "b:x"].map(|text| text.parse().unwrap());
        let scopes = Scopes::Only(scopes.into());
        let allow = |realm, key| scopes.allow(SecretRef { realm, key });
        assert!(allow("a", "any") && allow("b", "x") && !allow("b", "y"));
        assert_eq!(scopes.to_texts(), ["a:*", "b:x"]);
        assert!(!Scopes::Only(Vec::new()).allow(SecretRef {
            realm: "a",
            key: "b"
        }));
    }

    #[test]
    fn a_realm_is_covered_by_a_scope_of_all_its_keys() {
        let of =
            |texts: &[&str]| Scopes::Only(texts.iter().map(|text| text.parse().unwrap()).collect());
        let some = of(&["a:*", "b:x", "c*:**"]);
        let covered = ["a", "b", "c1"].map(|realm| some.cover_realm(realm));
        assert_eq!(covered, [true, false, true]);
        assert!(some.touch_realm("b") && !some.touch_realm("d"));
        assert!(!some.cover_all() && of(&["*:*"]).cover_all() && Scopes::All.cover_all());
        assert!(!of(&[]).touch_realm("a"));
    }

    #[test]
    fn what_is_no_scope_is_told() {
        for wrong in [
            "",
            "a",
            ":a",
            "a:",
            "a:\n",
            &format!("a:{}", "b".repeat(300)),
        ] {
            assert!(wrong.parse::<Scope>().is_err(), "{wrong:?}");
        }
    }
}
