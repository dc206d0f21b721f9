//! The query string, read by name so that errors name the parameter.

use std::borrow::Cow;

use axum::extract::FromRequestParts;
use http::request::Parts;
use url::form_urlencoded;

use super::Problem;
use crate::json::Issue;
use crate::store::Page;

/// The parameters of a request; of one given twice the last counts.
pub(super) struct Query(Vec<(String, String)>);

/// Which page of a list, for the API's description.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(
    dead_code,
    reason = "describes the parameters for OpenAPI; they are read one by one"
)]
pub(super) struct Paging {
    /// From 1.
    #[param(minimum = 1, maximum = 1_000_000_000, nullable = false)]
    page: Option<u64>,
    /// 1 to 1000, default 10.
    #[param(rename = "pageSize", minimum = 1, maximum = 1000, nullable = false)]
    page_size: Option<u64>,
}

const DEFAULT_PAGE_SIZE: u64 = 10;
const LARGEST_PAGE_SIZE: u64 = 1000;
const LAST_PAGE: u64 = 1_000_000_000;

impl Query {
    /// Reads a query string.
    pub(super) fn read(query: &str) -> Self {
        let pairs = pairs(query).map(|(name, value)| (name.into_owned(), value.into_owned()));
        Self(pairs.collect())
    }

    /// A parameter's value.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .rev()
            .find(|(other, _)| other == name)
            .map(|(_, value)| value.as_str())
    }

    /// A parameter that is true or false; absent is false.
    pub(super) fn flag(&self, name: &str) -> Result<bool, Problem> {
        self.text(name).map_or(Ok(false), |value| flag(name, value))
    }

    /// `page` and `pageSize`.
    pub(super) fn page(&self) -> Result<Page, Problem> {
        let mut issues = Vec::new();
        let mut number = |name: &str, default: u64, largest: u64| match self.text(name) {
            None | Some("") => default,
            Some(text) => match text.parse() {
                Ok(number) if (1..=largest).contains(&number) => number,
                Ok(_) | Err(_) => {
                    issues.push(Issue::at(
                        name,
                        format!("expected a whole number from 1 to {largest}"),
                    ));
                    default
                }
            },
        };
        let page = number("page", 1, LAST_PAGE);
        let limit = number("pageSize", DEFAULT_PAGE_SIZE, LARGEST_PAGE_SIZE);
        if issues.is_empty() {
            Ok(Page {
                offset: (page - 1) * limit,
                limit,
            })
        } else {
            Err(Problem::invalid(issues))
        }
    }
}

/// `true`, `1` or `false`, `0`, nothing.
pub(super) fn flag(name: &str, value: &str) -> Result<bool, Problem> {
    match value {
        "true" | "1" => Ok(true),
        "false" | "0" | "" => Ok(false),
        _ => Err(Problem::invalid_at(name, "expected true or false")),
    }
}

/// The parameters of a query string in order.
pub(super) fn pairs(query: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    form_urlencoded::parse(query.as_bytes())
}

impl<S: Send + Sync> FromRequestParts<S> for Query {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Ok(Self::read(parts.uri.query().unwrap_or_default()))
    }
}
