//! `log`

use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::client::{Client, ServerFlags};
use super::output::{Output, dated, print};
use super::realm::{PageFlags, list};

/// What `--outcome` takes.
const OUTCOMES: &str = "Only with this outcome: ok, repeated (the held token came back), pending (under way, or its process \
    died), asking (the quotas are being looked at), withheld (a quota was used up: no call was made), overtaken (another \
    process used the grant meanwhile), store_unavailable, or why no token came: config, upstream_refused, upstream_busy, \
    upstream_quota, upstream_dependency, reauthorise, upstream_unreachable, upstream_timeout, upstream_malformed";

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
    #[arg(long, help = OUTCOMES)]
    outcome: Option<String>,
    /// Only begun at or after this time: RFC 3339, e.g. 2026-11-22T10:30:00Z, or epoch
    /// milliseconds.
    #[arg(long, value_name = "TIME", value_parser = instant)]
    from: Option<i64>,
    /// Only begun before this time.
    #[arg(long, value_name = "TIME", value_parser = instant, conflicts_with = "follow")]
    to: Option<i64>,
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
    for (name, value) in [
        ("realm", &args.realm),
        ("key", &args.key),
        ("outcome", &args.outcome),
    ] {
        query.extend(value.clone().map(|value| (name, value)));
    }
    for (name, at) in [("from", args.from), ("to", args.to)] {
        query.extend(at.map(|at| (name, at.to_string())));
    }
    if args.follow {
        return follow(&client, query, output).await;
    }
    let answer = client.get(&["api", "log"], &query).await?;
    let columns = [
        "at",
        "realm",
        "key",
        "cause",
        "outcome",
        "provider_code",
        "duration_ms",
        "provider_message",
    ];
    let answer = if output == Output::Table {
        dated(&answer)
    } else {
        answer
    };
    list(output, &answer, &columns)
}

/// A time as an operator writes it, in epoch milliseconds.
fn instant(text: &str) -> Result<i64, String> {
    let of_ms = text.parse().ok();
    let at = of_ms.or_else(|| text.parse().ok().map(jiff::Timestamp::as_millisecond));
    at.ok_or_else(|| {
        "expected RFC 3339, like 2026-11-22T10:30:00Z, or epoch milliseconds".to_owned()
    })
}

/// A line for each call that has ended, in the order they began; what was printed is not printed
/// again.
async fn follow(
    client: &Client,
    query: Vec<(&'static str, String)>,
    output: Output,
) -> anyhow::Result<()> {
    let mut followed = Followed::default();
    loop {
        let mut items = Vec::new();
        for page in 1..=MOST_PAGES {
            let query = paged(&query, page);
            let answer = client.get(&["api", "log"], &query).await?;
            let more = answer["data"]["list"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            let is_last = more.len() < PAGE || followed.knows_all_below(&more);
            items.extend(more);
            if is_last || followed.is_new() {
                break;
            }
        }
        for item in followed.take(items) {
            print(&line(&item, output))?;
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
}

const PAGE: usize = 200;
/// So many pages are looked back for calls that have ended meanwhile.
const MOST_PAGES: usize = 50;

fn paged(query: &[(&'static str, String)], page: usize) -> Vec<(&'static str, String)> {
    let own = query
        .iter()
        .filter(|(name, _)| !matches!(*name, "page" | "pageSize"))
        .cloned();
    own.chain([("page", page.to_string()), ("pageSize", PAGE.to_string())])
        .collect()
}

/// What was printed, and which calls have not ended: as far back as the oldest of these is looked.
/// Ids grow with time.
#[derive(Default)]
struct Followed {
    printed: std::collections::BTreeSet<String>,
    open: std::collections::BTreeSet<String>,
    newest: Option<String>,
}

impl Followed {
    fn is_new(&self) -> bool {
        self.newest.is_none()
    }

    /// Whether nothing older than this page is waited for or was not seen.
    fn knows_all_below(&self, page: &[Value]) -> bool {
        let oldest = page
            .last()
            .and_then(|item| item["id"].as_str())
            .unwrap_or_default();
        let waited_for = self.open.first().or(self.newest.as_ref());
        waited_for.is_none_or(|id| oldest <= id.as_str())
    }

    /// The ended calls of these that were not printed, in the order they began.
    fn take(&mut self, items: Vec<Value>) -> Vec<Value> {
        let id_of = |item: &Value| item["id"].as_str().unwrap_or_default().to_owned();
        let mut fresh = Vec::new();
        self.newest = items
            .first()
            .map(id_of)
            .max(self.newest.take())
            .or_else(|| Some(String::new()));
        let oldest = items.last().map(id_of);
        for item in items.into_iter().rev() {
            let id = id_of(&item);
            if matches!(item["outcome"].as_str(), Some("pending" | "asking")) {
                self.open.insert(id);
            } else {
                self.open.remove(&id);
                if self.printed.insert(id) {
                    fresh.push(item);
                }
            }
        }
        // What is below all that is looked at again need not be kept.
        let keep_from = self.open.first().cloned().min(oldest.clone()).or(oldest);
        if let Some(from) = keep_from {
            self.printed = self.printed.split_off(&from);
        }
        fresh
    }
}

fn line(item: &Value, output: Output) -> String {
    if output == Output::Json {
        return item.to_string();
    }
    let text = |name: &str| item[name].as_str().unwrap_or_default().to_owned();
    let at = item["at"]
        .as_i64()
        .map(crate::clock::Timestamp::from_epoch_ms)
        .map(crate::clock::Timestamp::rfc3339);
    let (code, message) = (text("provider_code"), text("provider_message"));
    let words = [
        at.unwrap_or_default(),
        text("realm"),
        text("key"),
        text("cause"),
        text("outcome"),
        code,
        message,
    ];
    words.join(" ").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_rfc_3339_or_epoch_milliseconds() {
        for (text, ms) in [
            ("2026-11-22T10:30:00Z", 1_795_343_400_000),
            ("2026-11-22T10:30:00.250Z", 1_795_343_400_250),
            ("2026-11-22T18:30:00+08:00", 1_795_343_400_000),
            ("1795343400000", 1_795_343_400_000),
        ] {
            assert_eq!(instant(text), Ok(ms), "{text}");
        }
        for text in ["", "yesterday", "2026-11-22", "2026-11-22T10:30:00"] {
            assert!(instant(text).unwrap_err().contains("RFC 3339"), "{text}");
        }
    }
}
