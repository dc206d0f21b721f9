//! `key create|list|show|rotate|disable|enable|revoke`: on the database, while a server runs or
//! not. That is the way back in when no key is left.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use super::output::{Output, dated, print};
use super::{ConfigFlags, Exit, reach_store};
use crate::api_key::{ApiKey, KeyHash, Rate, Role, Scope, Scopes};
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::realm::read_duration;
use crate::service::store_time::compare;
use crate::service::{ApiKeyEdit, ApiKeys, MadeApiKey, NewApiKey, Patch, ServiceError};
use crate::store::ApiKeyRow;

/// The API keys of callers.
#[derive(Debug, Args)]
pub(super) struct KeyArgs {
    #[command(flatten)]
    config: ConfigFlags,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make a key and print it, this one time.
    Create(CreateArgs),
    /// List the keys that are not revoked.
    List,
    /// Show one.
    Show {
        /// Its id, the 11 digits after tsk_.
        id: String,
    },
    /// Give a key new digits and print it, this one time; the old one works for a while longer.
    Rotate {
        /// Its id.
        id: String,
        /// How long the old one works on.
        #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = duration)]
        overlap: Duration,
        /// Print the new key alone, to be written to a file.
        #[arg(long)]
        key_only: bool,
    },
    /// Switch a key off; enable switches it on again.
    Disable {
        /// Its id.
        id: String,
    },
    /// Switch a key on that was disabled.
    Enable {
        /// Its id.
        id: String,
    },
    /// End a key for good.
    Revoke {
        /// Its id.
        id: String,
        /// Also the last working key of role admin.
        #[arg(long)]
        force: bool,
    },
}

#[derive(Debug, Args)]
struct CreateArgs {
    /// What its caller is.
    #[arg(long, value_enum)]
    role: RoleName,
    /// Which secrets it reaches, REALM:KEY; * is any run of characters in one of the two. May be
    /// given several times; app, push and edge need one.
    #[arg(long = "scope", value_name = "REALM:KEY")]
    scopes: Vec<Scope>,
    /// What it is for.
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// When it ends: 30d, 12h, never [default: 7d for admin, else never].
    #[arg(long, value_name = "DURATION|never", value_parser = expiry)]
    expires: Option<Expiry>,
    /// How fast it may call, as 100/s.
    #[arg(long, value_name = "N/s")]
    rate: Option<Rate>,
    /// The client certificate (PEM) that stands for it.
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,
    /// Print the key alone, to be written to a file.
    #[arg(long)]
    key_only: bool,
    /// Print a key without a database, for `auth.admin_key_file`.
    #[arg(long, conflicts_with_all = ["scopes", "note", "expires", "rate", "certificate", "database", "config"])]
    offline: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum RoleName {
    /// Everything.
    Admin,
    /// Sees realms, status and log, renews; reads no token.
    Operator,
    /// Reads the tokens of its scopes.
    App,
    /// Writes pushed inputs of its scopes, nothing else.
    Push,
    /// An edge cache.
    Edge,
    /// The cron call only.
    Cron,
}

impl From<RoleName> for Role {
    fn from(name: RoleName) -> Self {
        match name {
            RoleName::Admin => Self::Admin,
            RoleName::Operator => Self::Operator,
            RoleName::App => Self::App,
            RoleName::Push => Self::Push,
            RoleName::Edge => Self::Edge,
            RoleName::Cron => Self::Cron,
        }
    }
}

/// When a key ends.
#[derive(Clone, Copy, Debug)]
enum Expiry {
    After(Duration),
    Never,
}

/// A key of role admin that was made by hand on the database is for the first hours.
const ADMIN_LIFE: Duration = Duration::from_hours(7 * 24);

fn duration(text: &str) -> Result<Duration, String> {
    read_duration(text).ok_or_else(|| "expected a duration like 1h (s, m, h, d)".to_owned())
}

fn expiry(text: &str) -> Result<Expiry, String> {
    if text == "never" {
        return Ok(Expiry::Never);
    }
    let life = duration(text)?;
    if life.is_zero() {
        return Err("expected more than 0, or never".to_owned());
    }
    Ok(Expiry::After(life))
}

/// Runs the command.
pub(super) async fn run(args: &KeyArgs, output: Output) -> anyhow::Result<()> {
    if let Action::Create(create) = &args.action
        && create.offline
    {
        return print_offline(create.role.into(), output);
    }
    let config = args.config.load(Vec::new())?;
    let store = reach_store(&config).await?;
    // What first touches an empty database makes its schema.
    store.migrate().await.map_err(Exit::store)?;
    let clock = Arc::new(SystemClock::default());
    compare(&clock, &store).await.map_err(Exit::store)?;
    let keys = ApiKeys::new(Arc::new(store.clone()), clock.clone());
    let outcome = act(&keys, &args.action, clock.now(), output).await;
    store.close().await;
    outcome
}

async fn act(
    keys: &ApiKeys,
    action: &Action,
    now: Timestamp,
    output: Output,
) -> anyhow::Result<()> {
    match action {
        Action::Create(args) => {
            let made = keys
                .create(new_key(args, now)?)
                .await
                .map_err(wrong_usage)?;
            if args.key_only {
                return print(made.key.text().expose_secret());
            }
            print_made(&made, output)
        }
        Action::List => {
            let rows = keys.list().await.map_err(refused)?;
            let list: Vec<_> = rows.iter().map(describe).collect();
            let columns = ["id", "role", "scopes", "note", "expires_at", "last_used_at"];
            let items: Vec<_> = list.iter().map(dated).collect();
            output.print_items(&json!({"list": list}), &items, &columns)
        }
        Action::Show { id } => print_row(&keys.show(id).await.map_err(refused)?, output),
        Action::Rotate {
            id,
            overlap,
            key_only,
        } => {
            let made = keys.rotate(id, *overlap).await.map_err(refused)?;
            if *key_only {
                return print(made.key.text().expose_secret());
            }
            print_made(&made, output)
        }
        Action::Disable { id } => print_row(
            &keys.edit(id, &switched(true)).await.map_err(refused)?,
            output,
        ),
        Action::Enable { id } => print_row(
            &keys.edit(id, &switched(false)).await.map_err(refused)?,
            output,
        ),
        Action::Revoke { id, force } => {
            keys.revoke(id, *force).await.map_err(refused)?;
            match output {
                Output::Json => print(&json!({"revoked": id}).to_string()),
                Output::Table => print(&format!("revoked {id}")),
            }
        }
    }
}

fn new_key(args: &CreateArgs, now: Timestamp) -> anyhow::Result<NewApiKey> {
    let role = Role::from(args.role);
    let life = match args.expires {
        Some(Expiry::After(life)) => Some(life),
        Some(Expiry::Never) => None,
        None => (role == Role::Admin).then_some(ADMIN_LIFE),
    };
    let certificate = args.certificate.as_ref().map(|file| {
        let read = CertificateDer::from_pem_file(file);
        let wrong = |error| Exit::usage(format!("--certificate {}: {error}", file.display()));
        read.map(|der| KeyHash::of(&der)).map_err(wrong)
    });
    Ok(NewApiKey {
        role,
        scopes: args.scopes.clone(),
        note: args.note.clone(),
        expires_at: life.map(|life| now.plus(life)),
        rate: args.rate,
        certificate: certificate.transpose()?,
    })
}

fn switched(off: bool) -> ApiKeyEdit {
    ApiKeyEdit {
        note: Patch::Keep,
        scopes: Patch::Keep,
        expires_at: Patch::Keep,
        rate: Patch::Keep,
        disabled: Some(off),
    }
}

/// What was given is wrong where it is invalid.
fn wrong_usage(error: ServiceError) -> Exit {
    if let ServiceError::Invalid(issues) = &error {
        let words: Vec<_> = issues
            .iter()
            .map(|issue| issue.to_string().replacen("/scopes", "--scope", 1))
            .collect();
        return Exit::usage(words.join("; "));
    }
    refused(error)
}

fn refused(error: ServiceError) -> Exit {
    if let ServiceError::Store(error) = error {
        return Exit::store(error);
    }
    Exit::failed(error.to_string())
}

fn print_offline(role: Role, output: Output) -> anyhow::Result<()> {
    if role != Role::Admin {
        return Err(Exit::usage(
            "--offline makes a key for auth.admin_key_file, which is one of role admin",
        )
        .into());
    }
    let key = ApiKey::generate()?;
    let text = key.text().expose_secret();
    match output {
        Output::Json => {
            print(&json!({"id": key.id().as_str(), "key": text, "role": "admin", "scopes": [], "expires_at": null}).to_string())
        }
        Output::Table => print(text),
    }
}

/// The one time that the key is shown.
fn print_made(made: &MadeApiKey, output: Output) -> anyhow::Result<()> {
    let MadeApiKey { key, row } = made;
    let text = key.text().expose_secret();
    let shown = json!({
        "id": row.id.as_str(), "key": text, "role": row.role.as_str(),
        "scopes": row.scopes.to_texts(), "expires_at": row.expires_at.map(Timestamp::epoch_ms),
    });
    match output {
        Output::Json => print(&serde_json::to_string_pretty(&shown)?),
        Output::Table => output.print_one(&dated(&shown)),
    }
}

fn print_row(row: &ApiKeyRow, output: Output) -> anyhow::Result<()> {
    match output {
        Output::Json => output.print_one(&describe(row)),
        Output::Table => output.print_one(&dated(&describe(row))),
    }
}

/// A key as lists show it; times in epoch milliseconds.
fn describe(row: &ApiKeyRow) -> Value {
    let ms = |at: Option<Timestamp>| at.map(Timestamp::epoch_ms);
    let scopes = match &row.scopes {
        Scopes::All if row.role == Role::Cron => json!([]),
        Scopes::All => json!(["*:*"]),
        Scopes::Only(_) => json!(row.scopes.to_texts()),
    };
    json!({
        "id": row.id.as_str(), "role": row.role.as_str(), "scopes": scopes, "note": row.note,
        "rate": row.rate.map(|rate| rate.to_string()),
        "certificate": row.certificate.map(KeyHash::to_hex),
        "created_at": row.created_at.epoch_ms(), "expires_at": ms(row.expires_at),
        "previous_until": ms(row.previous.map(|(_, until)| until)),
        "disabled_at": ms(row.disabled_at),
        "last_used_at": ms(row.last_used.map(|used| used.at)),
        "last_used_from": row.last_used.and_then(|used| used.from).map(|from| from.to_string()),
    })
}
