//! `token get|report`

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::client::ServerFlags;
use super::output::{Output, print};
use super::secret::read;

/// Tokens of a running server.
#[derive(Debug, Args)]
pub(super) struct TokenArgs {
    #[command(flatten)]
    server: ServerFlags,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Get a working token.
    Get {
        #[command(flatten)]
        of: Of,
        /// Fetch a new token although the held one is good.
        #[arg(long)]
        flush: bool,
        /// A token that lives for so many seconds yet.
        #[arg(long, value_name = "SECONDS", conflicts_with = "flush")]
        min_ttl: Option<u32>,
        /// Print nothing but the token.
        #[arg(long)]
        token_only: bool,
    },
    /// Tell that the provider refused a token; it is renewed if it is still the current one.
    Report(ReportArgs),
}

/// Whose token.
#[derive(Debug, Args)]
struct Of {
    /// The realm.
    #[arg(long)]
    realm: String,
    /// The secret's key.
    #[arg(long)]
    key: String,
}

#[derive(Debug, Args)]
struct ReportArgs {
    #[command(flatten)]
    of: Of,
    #[command(flatten)]
    refused: Refused,
    /// The provider's code, for the log.
    #[arg(long)]
    code: Option<String>,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Refused {
    /// The version the token was handed out with.
    #[arg(long)]
    version: Option<i64>,
    /// The SHA-256 of the token, 64 hex digits.
    #[arg(long, value_name = "HEX")]
    fingerprint: Option<String>,
    /// A file with the token; - is standard input.
    #[arg(long, value_name = "FILE")]
    token_file: Option<String>,
}

impl ReportArgs {
    fn document(&self) -> anyhow::Result<Value> {
        let mut document = json!({"realm": self.of.realm, "key": self.of.key});
        let Refused {
            version,
            fingerprint,
            token_file,
        } = &self.refused;
        let token = token_file.as_deref().map(read).transpose()?;
        let members = [
            ("version", version.map(Value::from)),
            ("fingerprint", fingerprint.clone().map(Value::from)),
            ("token", token.map(Value::from)),
            ("code", self.code.clone().map(Value::from)),
        ];
        for (name, value) in members {
            if let Some(value) = value {
                document[name] = value;
            }
        }
        Ok(document)
    }
}

/// Runs the command.
pub(super) async fn run(args: &TokenArgs, output: Output) -> anyhow::Result<()> {
    let client = args.server.client()?;
    match &args.action {
        Action::Get {
            of,
            flush,
            min_ttl,
            token_only,
        } => {
            let mut query = vec![("realm", of.realm.clone()), ("key", of.key.clone())];
            query.extend(flush.then(|| ("flush", "true".to_owned())));
            query.extend(
                min_ttl.map(|seconds| ("min_ttl", (u64::from(seconds) * 1000).to_string())),
            );
            let answer = client.get(&["api", "token"], &query).await?;
            if *token_only {
                return print(answer["token"].as_str().unwrap_or_default());
            }
            output.print_one(&answer)
        }
        Action::Report(report) => output.print_one(
            &client
                .post(&["api", "token", "report"], &report.document()?)
                .await?,
        ),
    }
}
