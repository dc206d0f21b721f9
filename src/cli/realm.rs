//! `realm list|show|apply|check|test|delete`

mod check;
mod trial;

use clap::{Args, Subcommand};
use serde_json::Value;

use super::Exit;
use super::client::{Client, ServerFlags};
use super::document;
use super::output::{Output, note, print};
use crate::realm::catalog;

/// Realms of a running server.
#[derive(Debug, Args)]
pub(super) struct RealmArgs {
    #[command(flatten)]
    server: ServerFlags,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List realms, newest edit first.
    List {
        /// Look for this in id and comment.
        #[arg(long)]
        keyword: Option<String>,
        #[command(flatten)]
        page: PageFlags,
    },
    /// Show one realm.
    Show {
        /// Its id.
        id: String,
    },
    /// Create or update realms from JSON, YAML or TOML: an object, an array of them, or a list as
    /// the API answers it.
    Apply {
        /// The files; - is standard input.
        #[arg(required_unless_present = "preset", value_name = "FILE")]
        files: Vec<String>,
        /// A preset of the catalog instead of a file.
        #[arg(long, value_name = "PRESET", conflicts_with = "files")]
        preset: Option<String>,
        /// The realm's id, with --preset; default the preset's.
        #[arg(long, requires = "preset")]
        id: Option<String>,
        /// A host that credentials may go to from now on, where the server asks for that; may be
        /// repeated.
        #[arg(long, value_name = "HOST")]
        confirm_host: Vec<String>,
    },
    /// Check a definition without a server: what would be sent, and how recorded answers are
    /// judged.
    Check(check::CheckArgs),
    /// Run a definition once against its provider: what was sent and answered, secrets masked;
    /// nothing is stored.
    Test(trial::TrialArgs),
    /// Delete a realm.
    Delete {
        /// Its id.
        id: String,
        /// Delete its secrets too.
        #[arg(long)]
        cascade: bool,
    },
}

/// Which page of a list.
#[derive(Debug, Args)]
pub(super) struct PageFlags {
    /// From 1.
    #[arg(long, default_value_t = 1)]
    page: u64,
    /// 1 to 1000.
    #[arg(long, default_value_t = 100)]
    page_size: u64,
}

impl PageFlags {
    /// As query parameters.
    pub(super) fn query(&self) -> Vec<(&'static str, String)> {
        vec![
            ("page", self.page.to_string()),
            ("pageSize", self.page_size.to_string()),
        ]
    }
}

/// Runs the command.
pub(super) async fn run(args: &RealmArgs, output: Output) -> anyhow::Result<()> {
    if let Action::Check(args) = &args.action {
        return check::run(args, output);
    }
    let client = args.server.client()?;
    match &args.action {
        Action::Check(_) => Ok(()),
        Action::Test(args) => trial::run(&client, args, output).await,
        Action::List { keyword, page } => {
            let mut query = page.query();
            query.extend(keyword.clone().map(|keyword| ("keyword", keyword)));
            let answer = client.get(&["api", "realm"], &query).await?;
            list(
                output,
                &answer,
                &["id", "mode", "version", "updated_at", "comment"],
            )
        }
        Action::Show { id } => output.print_one(&client.get(&["api", "realm", id], &[]).await?),
        Action::Apply {
            preset: Some(preset),
            id,
            confirm_host,
            ..
        } => {
            let preset = catalog::preset(preset).map_err(Exit::failed)?;
            let realm = preset.realm(id.as_deref().unwrap_or(&preset.id));
            let realm = confirmed(realm, confirm_host);
            let applied = post(&client, "realm", &realm, &preset.id).await?;
            print_applied(output, "realm", &[applied])?;
            let inputs = preset.inputs().join(", ");
            note(&format!("a secret of it has: {inputs}"));
            Ok(())
        }
        Action::Apply {
            files,
            confirm_host,
            ..
        } => apply(&client, "realm", (files, confirm_host), output).await,
        Action::Delete { id, cascade } => {
            let query = [("cascade", cascade.to_string())];
            client.delete(&["api", "realm", id], &query).await?;
            print(&format!("deleted realm {id}"))
        }
    }
}

/// Prints a list as the API answers it.
pub(super) fn list(output: Output, answer: &Value, columns: &[&str]) -> anyhow::Result<()> {
    let items = answer["data"]["list"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    output.print_items(answer, items, columns)?;
    let total = answer["data"]["total"].as_u64().unwrap_or_default();
    if output == Output::Table && total > items.len() as u64 {
        note(&format!(
            "{} of {total}; --page and --page-size show more",
            items.len()
        ));
    }
    Ok(())
}

/// Posts each document of the files; stops at the first that is refused, naming it.
pub(super) async fn apply(
    client: &Client,
    what: &str,
    (files, confirm_hosts): (&[String], &[String]),
    output: Output,
) -> anyhow::Result<()> {
    let mut applied = Vec::new();
    for file in files {
        for (index, document) in document::read_all(file)?.into_iter().enumerate() {
            applied.push(
                post(
                    client,
                    what,
                    &confirmed(document, confirm_hosts),
                    &format!("{file}, document {}", index + 1),
                )
                .await?,
            );
        }
    }
    print_applied(output, what, &applied)
}

/// The document with the hosts that are confirmed on the command line.
pub(super) fn confirmed(mut document: Value, hosts: &[String]) -> Value {
    if let Some(members) = document.as_object_mut().filter(|_| !hosts.is_empty()) {
        members.insert("confirm_hosts".to_owned(), hosts.to_vec().into());
    }
    document
}

/// Posts one document; `name` is said when it is refused.
async fn post(client: &Client, what: &str, document: &Value, name: &str) -> anyhow::Result<Value> {
    let answer = client
        .post(&["api", what], document)
        .await
        .map_err(|error| error.context(name.to_owned()))?;
    for warning in answer["warnings"].as_array().into_iter().flatten() {
        note(&format!(
            "warning: {}",
            warning.as_str().unwrap_or_default()
        ));
    }
    Ok(answer)
}

fn print_applied(output: Output, what: &str, applied: &[Value]) -> anyhow::Result<()> {
    let columns: &[&str] = if what == "realm" {
        &["id", "mode", "version"]
    } else {
        &["realm", "key", "version"]
    };
    output.print_items(&Value::from(applied.to_vec()), applied, columns)
}
