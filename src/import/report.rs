//! What an import did, row by row. Holds names and reasons, never a credential or a token.

use std::fmt;

use serde::Serialize;

/// What a line is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A realm.
    Realm,
    /// A secret.
    Secret,
    /// A secret's token.
    Token,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Realm => "realm",
            Self::Secret => "secret",
            Self::Token => "token",
        }
    }
}

/// What became of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It is new here.
    Taken,
    /// It replaced what was here.
    Updated,
    /// It was here already.
    Unchanged,
    /// It was not taken; the line's note says why.
    Left,
}

impl Outcome {
    fn as_str(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Updated => "updated",
            Self::Unchanged => "unchanged",
            Self::Left => "left",
        }
    }
}

/// One row of the inherited tables.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// What it is.
    pub kind: Kind,
    /// Realm id.
    pub realm: String,
    /// Key of the secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// What became of it.
    pub outcome: Outcome,
    /// Why it was left, or what else the operator should know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// How many rows came to what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// New here.
    pub taken: usize,
    /// Replaced.
    pub updated: usize,
    /// Here already.
    pub unchanged: usize,
    /// Not taken.
    pub left: usize,
}

impl Counts {
    fn count(&mut self, outcome: Outcome) {
        let count = match outcome {
            Outcome::Taken => &mut self.taken,
            Outcome::Updated => &mut self.updated,
            Outcome::Unchanged => &mut self.unchanged,
            Outcome::Left => &mut self.left,
        };
        *count += 1;
    }
}

/// What an import did, or would do.
///
/// Shape: `{dry_run, realms: {taken, updated, unchanged, left}, secrets, tokens, rows: [{kind,
/// realm, key?, outcome, note?}], switched?}`; `Display` is a table of the rows with the counts
/// below it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whether nothing was written on purpose.
    pub dry_run: bool,
    /// Of realms.
    pub realms: Counts,
    /// Of secrets.
    pub secrets: Counts,
    /// Of tokens; a secret without one is not counted.
    pub tokens: Counts,
    /// One for each row: realms, then secrets, then tokens.
    pub rows: Vec<Line>,
    /// At the switch: how many secrets count as asked for now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub switched: Option<usize>,
}

impl Report {
    /// Counts the lines.
    pub(super) fn new(dry_run: bool, switched: Option<usize>, rows: Vec<Line>) -> Self {
        let mut report = Self {
            dry_run,
            switched,
            ..Self::default()
        };
        for line in &rows {
            let counts = match line.kind {
                Kind::Realm => &mut report.realms,
                Kind::Secret => &mut report.secrets,
                Kind::Token => &mut report.tokens,
            };
            counts.count(line.outcome);
        }
        report.rows = rows;
        report
    }

    /// What becomes of the tokens after the import, in one line.
    fn renewals(&self) -> Option<String> {
        let Counts {
            taken,
            updated,
            unchanged,
            ..
        } = self.tokens;
        match self.switched {
            Some(count) => Some(format!(
                "Switched: secrets with a live token here, which are renewed in the background from now on: {count}."
            )),
            None if taken + updated + unchanged > 0 => Some(
                "Imported tokens are renewed once somebody asks for them here. When the callers have switched, run \
                 this again with --switched."
                    .to_owned(),
            ),
            None => None,
        }
    }
}

impl Line {
    /// `realm` or `realm/key`; quoted where it would not show as it is.
    fn name(&self) -> String {
        let name = match &self.key {
            Some(key) => format!("{}/{key}", self.realm),
            None => self.realm.clone(),
        };
        let parts = [Some(&self.realm), self.key.as_ref()];
        let shows = |part: &String| part.trim() == part && !part.is_empty();
        let is_plain =
            !name.contains(crate::secret::is_invisible) && parts.into_iter().flatten().all(shows);
        if is_plain { name } else { format!("{name:?}") }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.rows.iter().map(Line::name).collect();
        let width = names
            .iter()
            .map(|name| name.chars().count())
            .max()
            .unwrap_or_default()
            .min(60);
        for (line, name) in self.rows.iter().zip(names) {
            let (outcome, kind) = (line.outcome.as_str(), line.kind.as_str());
            let row = format!(
                "{outcome:<9}  {kind:<6}  {name:<width$}  {}",
                line.note.as_deref().unwrap_or("")
            );
            writeln!(f, "{}", row.trim_end())?;
        }
        if !self.rows.is_empty() {
            writeln!(f)?;
        }
        writeln!(
            f,
            "{:<7}  {:>7}  {:>7}  {:>9}  {:>7}",
            "", "taken", "updated", "unchanged", "left"
        )?;
        for (kind, counts) in [
            ("realms", self.realms),
            ("secrets", self.secrets),
            ("tokens", self.tokens),
        ] {
            let Counts {
                taken,
                updated,
                unchanged,
                left,
            } = counts;
            writeln!(
                f,
                "{kind:<7}  {taken:>7}  {updated:>7}  {unchanged:>9}  {left:>7}"
            )?;
        }
        if let Some(renewals) = self.renewals() {
            writeln!(f, "\n{renewals}")?;
        }
        if self.dry_run {
            writeln!(f, "\nNothing was written: this was a dry run.")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn line(
        kind: Kind,
        realm: &str,
        key: Option<&str>,
        outcome: Outcome,
        note: Option<&str>,
    ) -> Line {
        Line {
            kind,
            realm: realm.to_owned(),
            key: key.map(str::to_owned),
            outcome,
            note: note.map(str::to_owned),
        }
    }

    fn report() -> Report {
        let rows = vec![
            line(Kind::Realm, "wxgzh", None, Outcome::Taken, None),
            line(
                Kind::Secret,
                "wxgzh",
                Some("公众号 "),
                Outcome::Left,
                Some("must not end with blanks"),
            ),
            line(
                Kind::Token,
                "wxgzh",
                Some("a\u{1b}[2J"),
                Outcome::Unchanged,
                None,
            ),
        ];
        Report::new(true, None, rows)
    }

    #[test]
    fn the_table_has_a_line_for_each_row_and_the_counts_below() {
        insta::assert_snapshot!(report().to_string(), @r#"
        taken      realm   wxgzh
        left       secret  "wxgzh/公众号 "        must not end with blanks
        unchanged  token   "wxgzh/a\u{1b}[2J"

                   taken  updated  unchanged     left
        realms         1        0          0        0
        secrets        0        0          0        1
        tokens         0        0          1        0

        Imported tokens are renewed once somebody asks for them here. When the callers have switched, run this again with --switched.

        Nothing was written: this was a dry run.
        "#);
    }

    #[test]
    fn the_switch_is_reported_in_one_line() {
        let switched = Report::new(false, Some(7), Vec::new());
        let last = switched.to_string().lines().last().map(str::to_owned);
        assert_eq!(
            last.as_deref(),
            Some(
                "Switched: secrets with a live token here, which are renewed in the background from now on: 7."
            )
        );
        assert_eq!(
            serde_json::to_value(switched).unwrap()["switched"],
            json!(7)
        );
        assert_eq!(Report::new(false, None, Vec::new()).renewals(), None);
    }

    #[test]
    fn the_json_has_counts_and_rows() {
        let counts = |taken, unchanged, left| json!({"taken": taken, "updated": 0, "unchanged": unchanged, "left": left});
        let expected = json!({
            "dry_run": true,
            "realms": counts(1, 0, 0), "secrets": counts(0, 0, 1), "tokens": counts(0, 1, 0),
            "rows": [
                {"kind": "realm", "realm": "wxgzh", "outcome": "taken"},
                {"kind": "secret", "realm": "wxgzh", "key": "公众号 ", "outcome": "left",
                 "note": "must not end with blanks"},
                {"kind": "token", "realm": "wxgzh", "key": "a\u{1b}[2J", "outcome": "unchanged"},
            ],
        });
        assert_eq!(serde_json::to_value(report()).unwrap(), expected);
    }
}
