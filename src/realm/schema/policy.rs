//! `policy`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

use super::{Duration, Scalar};

/// What a re-fetch does to the token held, and what the provider allows. Nothing said: as
/// `replaces` with an overlap of 5 s.
#[derive(JsonSchema, Serialize)]
#[schemars(deny_unknown_fields)]
pub(super) struct Policy {
    /// How long before its expiry a token is renewed at the earliest: a duration or a share like
    /// `"10%"`. Default the smaller of 5 minutes and 10 % of its life.
    #[schemars(example = &"10%")]
    refresh_ahead: Option<Duration>,
    /// `replaces` (default): a new token, the old one dies after `overlap`. `same`: the same token
    /// until less than `same_until` is left. `coexists`: all tokens work until they expire.
    #[schemars(example = &"same")]
    reissue: Option<String>,
    /// With `replaces`: how long the old token works on. Default 5 s.
    #[schemars(example = &"5m")]
    overlap: Option<Duration>,
    /// With `same`: the window before expiry in which a new token is given. Default 0: at expiry.
    #[schemars(example = &"30m")]
    same_until: Option<Duration>,
    /// With `same`: whether asking lengthens the token's life.
    #[schemars(example = true)]
    extends: Option<bool>,
    /// No second fetch before this, whoever asks. Default 0.
    #[schemars(example = &"20m")]
    min_interval: Option<Duration>,
    /// What the provider allows.
    #[schemars(example = json!([{"limit": 2000, "per": "1d", "window": "calendar", "zone": "Asia/Shanghai", "reserve": 200}]))]
    quota: Option<Vec<Quota>>,
    /// Fetches at once, in each instance.
    #[schemars(example = 2)]
    max_concurrency: Option<u32>,
    /// For a whole fetch, 100 ms to 5 minutes. Default the server's setting.
    #[schemars(example = &"20s")]
    timeout: Option<Duration>,
    /// The first pause after a failure, at least 100 ms; doubles up to 5 minutes. Default 1 s.
    #[schemars(example = &"2s")]
    cool_down: Option<Duration>,
    /// The pause after a failure that an operator must mend, at least 1 s. Default 10 minutes.
    /// While no valid token is held, an attempt is allowed sooner, at the pace of `cool_down`.
    #[schemars(example = &"1h")]
    config_retry: Option<Duration>,
    /// The pause after the provider said that the grant is gone, at least 1 s. Default 24 hours.
    /// While no valid token is held, an attempt is allowed sooner, at the pace of `cool_down`.
    #[schemars(example = &"6h")]
    reauthorise_retry: Option<Duration>,
    /// What a forced fetch (flush, report) sends instead or besides, by the member's name, exactly
    /// as written there, in the first request's query, headers, form or json. Values as they are,
    /// no templates; what stands in the URL itself is not replaced.
    #[schemars(example = json!({"force_refresh": true}))]
    force: Option<BTreeMap<String, Scalar>>,
}

/// The most calls in a period.
#[derive(JsonSchema, Serialize)]
#[schemars(deny_unknown_fields)]
pub(super) struct Quota {
    /// How many.
    #[schemars(example = 2000)]
    limit: u64,
    /// The period.
    #[schemars(example = &"1d")]
    per: Duration,
    /// `secret` (default) or `realm`: what is counted together.
    #[schemars(example = &"realm")]
    scope: Option<String>,
    /// `rolling` (default) or `calendar`.
    #[schemars(example = &"calendar")]
    window: Option<String>,
    /// With `calendar`: the time zone. Default UTC.
    #[schemars(example = &"Asia/Shanghai")]
    zone: Option<String>,
    /// Kept for missing, expired and reported tokens. Default 0.
    #[schemars(example = 200)]
    reserve: Option<u64>,
}
