//! `log`

use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::client::{Client, ServerFlags};
use super::output::{Output, print};
use super::realm::{PageFlags, list};

/// The calls of providers, latest first.
#[derive(Debug, Args)]
pub(super) struct LogArgs {
    #[command(flatten)]
    server: ServerFlags,
    /// Only of this realm.
    #[arg(long)]
    realm: Option<String>,
    /// Only of this key.
    #[arg(long)]
    key: Option<String>,
    /// Only with this outcome: ok, a problem's code, withheld or pending.
    #[arg(long)]
    outcome: Option<String>,
    /// Print the latest, then each further one as it ends, until Ctrl-C.
    #[arg(long, conflicts_with_all = ["page", "page_size"])]
    follow: bool,
    #[command(flatten)]
    page: PageFlags,
}

/// How often `--follow` asks.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// Runs the command.
pub(super) async fn run(args: &LogArgs, output: Output) -> anyhow::Result<()> {
    let client = args.server.client()?;
    let mut query = args.page.query();
    for (name, value) in [("realm", &args.realm), ("key", &args.key), ("outcome", &args.outcome)] {
        query.extend(value.clone().map(|value| (name, value)));
    }
    if args.follow {
        return follow(&client, query, output).await;
    }
    let answer = client.get(&["api", "log"], &query).await?;
    list(output, &answer, &["at", "realm", "key", "cause", "outcome", "provider_code", "duration_ms"])
}

/// A line for each call that has ended, in the order they began; what was printed is not printed again.
async fn follow(client: &Client, query: Vec<(&'static str, String)>, output: Output) -> anyhow::Result<()> {
    let mut printed = std::collections::BTreeSet::new();
    loop {
        let answer = client.get(&["api", "log"], &query).await?;
        let items = answer["data"]["list"].as_array().cloned().unwrap_or_default();
        let ended = items.iter().rev().filter(|item| item["outcome"] != "pending");
        for item in ended {
            if printed.insert(item["id"].as_str().unwrap_or_default().to_owned()) {
                print(&line(item, output))?;
            }
        }
        // Ids grow with time: the ones below the page are not seen again.
        if let Some(first) = items.last().and_then(|item| item["id"].as_str()) {
            printed = printed.split_off(first);
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
}

fn line(item: &Value, output: Output) -> String {
    if output == Output::Json {
        return item.to_string();
    }
    let text = |name: &str| item[name].as_str().unwrap_or_default().to_owned();
    let at =
        item["at"].as_i64().map(crate::clock::Timestamp::from_epoch_ms).map(crate::clock::Timestamp::rfc3339);
    let (code, message) = (text("provider_code"), text("provider_message"));
    let words =
        [at.unwrap_or_default(), text("realm"), text("key"), text("cause"), text("outcome"), code, message];
    words.join(" ").trim_end().to_owned()
}
