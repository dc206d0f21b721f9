//! Which columns the inherited tables have, and the statements that read them.

use std::collections::BTreeMap;

use sea_orm::{DbErr, QueryResult};

use crate::secret::numbered;

/// The columns of both tables with their types.
pub(super) const SELECT: &str = "SELECT CAST(table_name AS CHAR) AS owner, CAST(column_name AS CHAR) AS name, \
     CAST(data_type AS CHAR) AS type FROM information_schema.columns \
     WHERE table_schema = DATABASE() AND table_name IN ('realm', 'secret')";

/// A table's columns: name and type, both in lower case.
#[derive(Debug, Default)]
pub(super) struct Columns(BTreeMap<String, String>);

/// Both tables.
#[derive(Debug, Default)]
pub(super) struct Tables {
    pub(super) realm: Columns,
    pub(super) secret: Columns,
}

impl Tables {
    /// Reads what [`SELECT`] answers.
    pub(super) fn from_rows(rows: &[QueryResult]) -> Result<Self, DbErr> {
        let mut tables = Self::default();
        for row in rows {
            let table: String = row.try_get("", "owner")?;
            let name: String = row.try_get("", "name")?;
            let kind: String = row.try_get("", "type")?;
            let columns = if table == "realm" {
                &mut tables.realm
            } else {
                &mut tables.secret
            };
            columns.0.insert(name.to_lowercase(), kind.to_lowercase());
        }
        Ok(tables)
    }

    /// The tables and columns without which nothing can be read; empty when all are there.
    pub(super) fn missing(&self) -> String {
        let realm = self.realm.missing("realm", &["id"]);
        let secret = self.secret.missing("secret", &["key", "realm"]);
        realm
            .into_iter()
            .chain(secret)
            .collect::<Vec<_>>()
            .join(", ")
    }

    /// The statement that reads all realms.
    pub(super) fn select_realms(&self) -> String {
        let texts = ["id", "config", "logic_code", "comment"].into_iter();
        self.realm
            .select("realm", texts, &["created_at", "updated_at"], "id")
    }

    /// The statement that reads all secrets.
    pub(super) fn select_secrets(&self) -> String {
        let texts = ["realm", "key", "token"]
            .into_iter()
            .chain(self.secret.credentials());
        self.secret.select(
            "secret",
            texts,
            &["expires_at", "created_at", "updated_at"],
            "realm`, `key",
        )
    }
}

impl Columns {
    /// The columns `key_1`, `key_2`…, however many there are.
    pub(super) fn credentials(&self) -> impl Iterator<Item = &str> {
        self.0
            .keys()
            .map(String::as_str)
            .filter(|name| numbered(name).is_some())
    }

    fn missing(&self, table: &str, needed: &[&str]) -> Vec<String> {
        if self.0.is_empty() {
            return vec![format!("table {table}")];
        }
        let absent = needed
            .iter()
            .filter(|column| !self.0.contains_key(**column));
        absent
            .map(|column| format!("column {table}.{column}"))
            .collect()
    }

    fn select<'a>(
        &self,
        table: &str,
        texts: impl Iterator<Item = &'a str>,
        instants: &[&str],
        order: &str,
    ) -> String {
        let texts = texts.map(|name| self.text(name));
        let columns: Vec<_> = texts
            .chain(instants.iter().map(|name| self.instant(name)))
            .collect();
        format!(
            "SELECT {} FROM `{table}` ORDER BY `{order}`",
            columns.join(", ")
        )
    }

    /// Any type as text: JSON, BLOB, or one compared byte for byte, which the driver does not take
    /// for text.
    fn text(&self, name: &str) -> String {
        let value = if self.0.contains_key(name) {
            format!("`{name}`")
        } else {
            "NULL".to_owned()
        };
        format!("CAST({value} AS CHAR CHARACTER SET utf8mb4) AS `{name}`")
    }

    /// A time or a number as epoch milliseconds.
    fn instant(&self, name: &str) -> String {
        let value = match self.0.get(name).map(String::as_str) {
            Some("datetime" | "timestamp" | "date") => format!("UNIX_TIMESTAMP(`{name}`) * 1000"),
            Some(_) => format!("`{name}`"),
            None => "NULL".to_owned(),
        };
        format!("CAST({value} AS SIGNED) AS `{name}`")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(list: &[(&str, &str)]) -> Columns {
        Columns(
            list.iter()
                .map(|(name, kind)| ((*name).to_owned(), (*kind).to_owned()))
                .collect(),
        )
    }

    #[test]
    fn columns_that_are_not_there_are_read_as_null() {
        let realm = columns(&[
            ("id", "varchar"),
            ("config", "json"),
            ("updated_at", "datetime"),
        ]);
        let sql = Tables {
            realm,
            secret: Columns::default(),
        }
        .select_realms();
        assert!(
            sql.contains("CAST(`config` AS CHAR CHARACTER SET utf8mb4) AS `config`"),
            "{sql}"
        );
        assert!(
            sql.contains("CAST(NULL AS CHAR CHARACTER SET utf8mb4) AS `comment`"),
            "{sql}"
        );
        assert!(
            sql.contains("CAST(UNIX_TIMESTAMP(`updated_at`) * 1000 AS SIGNED) AS `updated_at`"),
            "{sql}"
        );
        assert!(
            sql.contains("CAST(NULL AS SIGNED) AS `created_at`"),
            "{sql}"
        );
    }

    #[test]
    fn all_numbered_credentials_are_read() {
        let secret = columns(&[
            ("key", "varchar"),
            ("key_1", "varchar"),
            ("key_7", "text"),
            ("key_x", "int"),
        ]);
        assert_eq!(secret.credentials().collect::<Vec<_>>(), ["key_1", "key_7"]);
    }

    #[test]
    fn what_is_missing_is_named() {
        let realm = columns(&[("id", "varchar")]);
        assert_eq!(
            Tables {
                realm,
                secret: Columns::default()
            }
            .missing(),
            "table secret"
        );
        let tables = Tables {
            realm: Columns::default(),
            secret: columns(&[("key", "varchar")]),
        };
        assert_eq!(tables.missing(), "table realm, column secret.realm");
    }
}
