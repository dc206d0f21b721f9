//! `dev`: a server to try things with, and a fake provider in the same process.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::output::print;
use crate::app::{Server, Services};
use crate::clock::SystemClock;
use crate::config::{Config, ConfigError, Environment};
use crate::fake_provider::{
    FakeProvider, OAUTH2_CLIENT_ID, OAUTH2_CLIENT_SECRET, WECHAT_APPID, WECHAT_SECRET,
    WECOM_CORPID, WECOM_SECRET,
};
use crate::http::Keyless;
use crate::http::server::{Listener, Serving, serve};
use crate::service::{RealmEdit, SecretEdit};
use crate::telemetry::logs;

use super::Exit;

/// Run a server to try things with.
#[derive(Debug, Args)]
pub(super) struct DevArgs {
    /// The address and port of the API; loopback only.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    listen: String,
    /// Keep the data in this folder. Default: a temporary folder, removed at the end.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

/// Runs the server until it is told to end.
pub(super) async fn run(args: &DevArgs) -> anyhow::Result<()> {
    let temporary = tempfile::Builder::new()
        .prefix("token-server-dev-")
        .tempdir()?;
    let folder = args
        .data
        .clone()
        .unwrap_or_else(|| temporary.path().to_owned());
    std::fs::create_dir_all(&folder)
        .map_err(|error| Exit::failed(format!("--data {}: {error}", folder.display())))?;
    let config = dev_config(args, &folder).map_err(|error| {
        let (what, is_public) = error
            .0
            .split_once("; listen on")
            .map_or((error.0.as_str(), false), |(what, _)| (what, true));
        let hint = if is_public {
            "; dev listens on loopback only, serve on any address"
        } else {
            ""
        };
        Exit::config(format!("{what}{hint}"))
    })?;
    logs::start(&config.log).map_err(Exit::config)?;
    let server = Server::bind(config, Keyless::Everything)
        .await
        .map_err(Exit::start)?;
    let (address, kept) = (server.address().map_err(Exit::start)?, args.data.is_some());
    let outcome = server
        .run(move |services| async move {
            let provider = start_fake_provider(&services).await?;
            save_examples(&services, &provider).await?;
            print(&welcome(
                &format!("http://{address}"),
                &provider,
                &folder.display().to_string(),
                kept,
            ))
        })
        .await;
    temporary.close()?;
    Ok(outcome.map_err(Exit::start)?)
}

/// Defaults, flags, and `TOKEN_SERVER__LOG__…` of the environment; nothing that could name a real
/// database.
fn dev_config(args: &DevArgs, folder: &std::path::Path) -> Result<Config, ConfigError> {
    let database = format!("sqlite:{}", folder.join("token-server.db").display());
    let flags = [
        ("server.listen", args.listen.clone()),
        ("server.drain_delay_seconds", "0".to_owned()),
        ("database.url", database),
        ("upstream.allow_networks", "loopback".to_owned()),
    ];
    let environment =
        Environment::of_process().only(&["TOKEN_SERVER__LOG__", "TOKEN_SERVER__METRICS__"]);
    let mut config = Config::load_without_file(&environment, &flags)?;
    config.upstream.plain_http = true;
    Ok(config)
}

/// Answers the fake provider's URL.
async fn start_fake_provider(services: &Services) -> anyhow::Result<String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let url = format!("http://{}", listener.local_addr()?);
    let provider = FakeProvider::new(Arc::new(SystemClock::default()));
    let serving = Serving::usual(provider.router(), services.tasks.clone());
    let tasks = services.tasks.clone();
    services.tasks.spawn("fake provider", async move {
        serve(
            Listener::Plain(listener),
            serving,
            tasks.stopping(),
            std::time::Duration::ZERO,
        )
        .await;
    });
    Ok(url)
}

async fn save_examples(services: &Services, provider: &str) -> anyhow::Result<()> {
    for (realm, secret) in examples(provider) {
        let edit = RealmEdit {
            // The provider in this process, which has another port with each start.
            confirm_hosts: vec!["127.0.0.1".to_owned()],
            ..RealmEdit::read(&realm)?
        };
        services.realms.save(&edit).await?;
        services.secrets.save(&SecretEdit::read(&secret)?).await?;
    }
    Ok(())
}

/// A realm and a secret for each kind of provider.
fn examples(provider: &str) -> [(Value, Value); 3] {
    let argument = |name: &str, place: &str, value: &str| json!({"name": name, "place": place, "value": value});
    let config = |path: &str, method: &str, arguments: Vec<Value>| {
        json!({"url": format!("{provider}{path}"), "method": method, "arguments": arguments,
            "token_path": "access_token", "content_type": "json", "expires_in_path": "expires_in"})
    };
    let wechat = vec![
        argument("appid", "url", "$key_1"),
        argument("secret", "url", "$key_2"),
        argument("grant_type", "url", "$key_3"),
    ];
    let wecom = vec![
        argument("corpid", "url", "$key_1"),
        argument("corpsecret", "url", "$key_2"),
    ];
    let oauth2 = vec![
        argument("grant_type", "body", "client_credentials"),
        argument("client_id", "body", "$client_id"),
        argument("client_secret", "body", "$client_secret"),
    ];
    let kinds = [
        (
            "demo-wechat",
            "WeChat-like: a new fetch retires the old token after 5 minutes",
            config("/cgi-bin/token", "GET", wechat),
            json!({"key_1": WECHAT_APPID, "key_2": WECHAT_SECRET, "key_3": "client_credential"}),
        ),
        (
            "demo-wecom",
            "WeCom-like: the same token while it is valid",
            config("/cgi-bin/gettoken", "GET", wecom),
            json!({"key_1": WECOM_CORPID, "key_2": WECOM_SECRET}),
        ),
        (
            "demo-oauth2",
            "OAuth2-like: client credentials, 5 minutes",
            config("/oauth2/token", "POST", oauth2),
            json!({"credentials": {"client_id": OAUTH2_CLIENT_ID, "client_secret": OAUTH2_CLIENT_SECRET}}),
        ),
    ];
    kinds.map(|(id, comment, config, mut secret)| {
        secret["realm"] = id.into();
        secret["key"] = "demo".into();
        (
            json!({"id": id, "config": config, "comment": comment}),
            secret,
        )
    })
}

fn welcome(server: &str, provider: &str, folder: &str, kept: bool) -> String {
    let kept = if kept {
        "kept"
    } else {
        "removed at the end; --data DIR keeps it"
    };
    format!(
        "\ntoken-server is ready at {server}; its API is described at {server}/docs\n\
         fake provider: {provider}    data: {folder} ({kept})\n\n\
         A token, fetched once and then served from memory:\n\
         \x20 curl '{server}/api/token?realm=demo-wechat&key=demo'\n\
         \x20 curl '{server}/api/token?realm=demo-wecom&key=demo'\n\
         \x20 curl '{server}/api/token?realm=demo-oauth2&key=demo'\n\
         A new one although the held one is good:\n\
         \x20 curl '{server}/api/token?realm=demo-wechat&key=demo&flush=true'\n\
         How often the provider was asked:\n\
         \x20 curl '{provider}/calls'\n\
         Realms and secrets:\n\
         \x20 curl '{server}/api/realm'\n\
         \x20 curl '{server}/api/secret'\n\
         Ctrl-C ends it.\n"
    )
}
