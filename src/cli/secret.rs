//! `secret list|show|apply|delete|status|renew|retry`

use clap::{Args, Subcommand};
use serde_json::{Map, Value};

use super::Exit;
use super::client::{Client, ServerFlags};
use super::output::{Output, dated, print};
use super::realm::{PageFlags, apply, list};

/// Secrets of a running server.
#[derive(Debug, Args)]
pub(super) struct SecretArgs {
    #[command(flatten)]
    server: ServerFlags,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List secrets, newest edit first. Credentials are masked.
    List {
        /// Only of this realm.
        #[arg(long)]
        realm: Option<String>,
        #[command(flatten)]
        page: PageFlags,
    },
    /// Show one secret. Credentials are masked.
    Show {
        #[command(flatten)]
        name: Name,
    },
    /// Create or update secrets from files (JSON, YAML or TOML), or one from flags.
    #[command(after_help = "Examples:\n  token-server secret apply secrets.json\n  \
        token-server secret apply --realm wxgzh --key my-app --set key_1=invented-appid --set-file key_2=secret.txt")]
    Apply(ApplyArgs),
    /// Delete a secret and its token.
    Delete {
        #[command(flatten)]
        name: Name,
    },
    /// How its renewal stands: last success, last failure, next attempt, quotas.
    Status {
        #[command(flatten)]
        name: Name,
    },
    /// Fetch a new token although the held one is good; prints the status.
    Renew {
        #[command(flatten)]
        name: Name,
    },
    /// Try again now although the last attempt failed.
    Retry {
        #[command(flatten)]
        name: Name,
    },
}

/// Which secret.
#[derive(Debug, Args)]
struct Name {
    /// Its key.
    key: String,
    /// Its realm; may be left out where only one realm has the key.
    #[arg(long)]
    realm: Option<String>,
}

impl Name {
    fn query(&self) -> Vec<(&'static str, String)> {
        self.realm
            .clone()
            .map(|realm| ("realm", realm))
            .into_iter()
            .collect()
    }
}

#[derive(Debug, Args)]
struct ApplyArgs {
    /// The files; - is standard input.
    #[arg(value_name = "FILE", required_unless_present = "key", conflicts_with_all = ["key", "realm"])]
    files: Vec<String>,
    /// The realm, with --key.
    #[arg(long, requires = "key")]
    realm: Option<String>,
    /// The key, with --realm.
    #[arg(long, requires = "realm")]
    key: Option<String>,
    /// A credential (shown to other users of this machine while the command runs; --set-file is
    /// not).
    #[arg(long, value_name = "NAME=VALUE", requires = "key")]
    set: Vec<String>,
    /// A credential read from a file, e.g. a private key; - is standard input. A final line break
    /// is left out.
    #[arg(long, value_name = "NAME=FILE", requires = "key")]
    set_file: Vec<String>,
    /// Try these credentials first; they replace the others once they bring a token.
    #[arg(long, requires = "key")]
    next: bool,
}

/// Runs the command.
pub(super) async fn run(args: &SecretArgs, output: Output) -> anyhow::Result<()> {
    let client = args.server.client()?;
    match &args.action {
        Action::List { realm, page } => {
            let mut query = page.query();
            query.extend(realm.clone().map(|realm| ("realm", realm)));
            let answer = client.get(&["api", "secret"], &query).await?;
            list(output, &answer, &["realm", "key", "version", "updated_at"])
        }
        Action::Show { name } => output.print_one(
            &client
                .get(&["api", "secret", &name.key], &name.query())
                .await?,
        ),
        Action::Apply(args) => apply_secrets(&client, args, output).await,
        Action::Delete { name } => {
            client
                .delete(&["api", "secret", &name.key], &name.query())
                .await?;
            print(&format!("deleted secret {}", name.key))
        }
        Action::Status { name } => {
            let status = client
                .get(&["api", "secret", &name.key, "status"], &name.query())
                .await?;
            print_status(&status, output)
        }
        Action::Renew { name } => {
            let path = ["api", "secret", &name.key, "renew"];
            let status = client.post_with(&path, &name.query(), &Value::Null).await?;
            print_status(&status, output)
        }
        Action::Retry { name } => {
            let path = ["api", "secret", &name.key, "retry"];
            output.print_one(&client.post_with(&path, &name.query(), &Value::Null).await?)
        }
    }
}

fn print_status(status: &Value, output: Output) -> anyhow::Result<()> {
    match output {
        Output::Table => output.print_one(&dated(status)),
        Output::Json => output.print_one(status),
    }
}

async fn apply_secrets(client: &Client, args: &ApplyArgs, output: Output) -> anyhow::Result<()> {
    let Some((realm, key)) = args.realm.as_ref().zip(args.key.as_ref()) else {
        return apply(client, "secret", (&args.files, &[]), output).await;
    };
    let mut credentials = Map::new();
    for pair in &args.set {
        let (name, value) = split(pair)?;
        credentials.insert(name.to_owned(), value.into());
    }
    for pair in &args.set_file {
        let (name, file) = split(pair)?;
        credentials.insert(name.to_owned(), read(file)?.into());
    }
    let credentials = serde_json::json!({"credentials": credentials});
    let mut document = if args.next {
        serde_json::json!({"next": credentials})
    } else {
        credentials
    };
    document["realm"] = realm.as_str().into();
    document["key"] = key.as_str().into();
    let answer = client.post(&["api", "secret"], &document).await?;
    for warning in answer["warnings"].as_array().into_iter().flatten() {
        super::output::note(&format!(
            "warning: {}",
            warning.as_str().unwrap_or_default()
        ));
    }
    output.print_items(
        &answer,
        &[Value::clone(&answer)],
        &["realm", "key", "version"],
    )
}

fn split(pair: &str) -> anyhow::Result<(&str, &str)> {
    // The value is a credential: it is not repeated.
    pair.split_once('=')
        .ok_or_else(|| Exit::failed("--set and --set-file take NAME=VALUE and NAME=FILE").into())
}

/// A file without its final line break; - is standard input.
pub(super) fn read(file: &str) -> anyhow::Result<String> {
    let text = match file {
        "-" => std::io::read_to_string(std::io::stdin()),
        file => std::fs::read_to_string(file),
    };
    let text = text.map_err(|error| Exit::failed(format!("{file}: {error}")))?;
    Ok(text
        .strip_suffix('\n')
        .map_or(text.as_str(), |line| {
            line.strip_suffix('\r').unwrap_or(line)
        })
        .to_owned())
}
