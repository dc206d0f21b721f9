//! The table of what each role may do, made by asking every route as each of them.

use std::sync::Arc;

use axum::body::Body;
use http::{Method, Request, StatusCode, header};
use secrecy::ExposeSecret as _;
use serde_json::Value;

use crate::api_key::{Role, Scope};
use crate::app::{Services, door};
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::http::{Door, Keyless, Peer};
use crate::service::NewApiKey;
use crate::store::MemoryStore;

/// A route, and whether it answers a caller without a key and one of each role.
#[derive(Debug)]
pub(super) struct RouteAccess {
    /// GET, POST, …
    method: String,
    /// As the description of the API writes it.
    path: String,
    /// What it does, in a line.
    summary: String,
    /// Without an API key; then in the order of [`Role::ALL`].
    open_to: [bool; 7],
}

/// Asks every route of the API's description as each role, on an empty store.
///
/// # Errors
/// When the parts cannot be set up.
pub(super) async fn matrix() -> anyhow::Result<Vec<RouteAccess>> {
    let config = Config::default();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let store = Arc::new(MemoryStore::new(Arc::clone(&clock)));
    let services = Services::build(&config, store, clock, None)?;
    services.api_keys.reload().await?;
    let mut keys = vec![None];
    for role in Role::ALL {
        keys.push(Some(key_of(&services, role).await?));
    }
    let door = door(&services, &config, Keyless::Nothing)?;
    let description = serde_json::to_value(crate::http::description())?;
    let mut routes = Vec::new();
    for (method, path, summary) in operations(&description) {
        let mut open_to = [false; 7];
        for (open, key) in open_to.iter_mut().zip(&keys) {
            let status = ask(&door, &method, &path, key.as_deref()).await?;
            *open = status != StatusCode::UNAUTHORIZED && status != StatusCode::FORBIDDEN;
        }
        routes.push(RouteAccess {
            method: method.to_uppercase(),
            path,
            summary,
            open_to,
        });
    }
    Ok(routes)
}

async fn key_of(services: &Services, role: Role) -> anyhow::Result<String> {
    let every: Scope = "*:*".parse().map_err(anyhow::Error::msg)?;
    let scopes = role.needs_scope().then_some(every);
    let made = services.api_keys.create(NewApiKey {
        role,
        scopes: scopes.into_iter().collect(),
        note: None,
        expires_at: None,
        rate: None,
        certificate: None,
    });
    Ok(made.await?.key.text().expose_secret().to_owned())
}

/// Method, path and summary of each operation.
fn operations(description: &Value) -> Vec<(String, String, String)> {
    let mut all = Vec::new();
    for (path, item) in description["paths"].as_object().into_iter().flatten() {
        for (method, operation) in item.as_object().into_iter().flatten() {
            let summary = operation["summary"].as_str().unwrap_or_default();
            all.push((method.clone(), path.clone(), summary.to_owned()));
        }
    }
    all
}

async fn ask(
    door: &Door,
    method: &str,
    path: &str,
    key: Option<&str>,
) -> anyhow::Result<StatusCode> {
    let named = path.replace("{id}", "none").replace("{key}", "none");
    let mut request = Request::builder()
        .method(Method::from_bytes(method.to_uppercase().as_bytes())?)
        .uri(named.replace("{name}", "none"))
        .header(header::HOST, "localhost");
    if let Some(key) = key {
        request = request.header(header::AUTHORIZATION, format!("Bearer {key}"));
    }
    let (request, peer) = (request.body(Body::empty())?, Peer::default());
    let answer = door.answer(request, &peer);
    Ok(answer.await.status())
}

/// The page, in English or Chinese.
pub(super) fn page(routes: &[RouteAccess], head: &str) -> String {
    let names = Role::ALL.map(Role::as_str);
    let mut lines = vec![
        format!("{head}\n| | | none | {} |", names.join(" | ")),
        format!("|---|---|{}", "---|".repeat(7)),
    ];
    for route in routes {
        let marks = route.open_to.map(|open| if open { "✓" } else { "" });
        let summary: Vec<_> = route.summary.split_whitespace().collect();
        lines.push(format!(
            "| `{} {}` | {} | {} |",
            route.method,
            route.path,
            summary.join(" ").trim_end_matches('.'),
            marks.join(" | ")
        ));
    }
    lines.join("\n") + "\n"
}
