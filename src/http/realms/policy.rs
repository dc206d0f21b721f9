//! `config.policy` for OpenAPI; it is read by the realm language.

use serde_json::Value;

/// How a realm's tokens are renewed. Durations are seconds as a number, or texts like `5m`.
#[derive(utoipa::ToSchema)]
#[schema(title = "Policy")]
#[expect(dead_code, reason = "describes the body for OpenAPI; it is read member by member")]
pub(super) struct PolicyBody {
    /// How long before expiry to renew: a duration or a share like `10%`; the smaller of 5 minutes and 10 %.
    #[schema(value_type = Option<String>, example = "5m")]
    refresh_ahead: Option<Value>,
    /// What asking again does: `same` (the same token comes back), `replaces` (the old one dies after `overlap`),
    /// `coexists` (all work). Default `replaces`.
    #[schema(example = "replaces")]
    reissue: Option<String>,
    /// How long a replaced token works on. Default 5 s.
    #[schema(value_type = Option<String>, example = "5m")]
    overlap: Option<Value>,
    /// `same`: a new token comes when less than this is left. Default 0: at expiry.
    #[schema(value_type = Option<String>)]
    same_until: Option<Value>,
    /// `same`: asking lengthens the token's life. Default false.
    extends: Option<bool>,
    /// No second fetch before this, whoever asks. Default 0.
    #[schema(value_type = Option<String>)]
    min_interval: Option<Value>,
    /// What the provider allows.
    quota: Option<Vec<QuotaBody>>,
    /// Fetches at once, in each instance: 1 to 10000.
    max_concurrency: Option<u16>,
    /// For one fetch, 100 ms to 5 min. Default the server's setting, 10 s.
    #[schema(value_type = Option<String>)]
    timeout: Option<Value>,
    /// The first pause after a failure; doubles up to 5 minutes. Default 1 s.
    #[schema(value_type = Option<String>)]
    cool_down: Option<Value>,
    /// The pause after a failure that an operator must mend. Default 10 min.
    #[schema(value_type = Option<String>)]
    config_retry: Option<Value>,
    /// Arguments that a forced fetch sends instead or besides.
    #[schema(value_type = Option<Object>)]
    force: Option<Value>,
}

/// One limit of the provider on fetches.
#[derive(utoipa::ToSchema)]
#[schema(title = "Quota")]
#[expect(dead_code, reason = "describes the body for OpenAPI; it is read member by member")]
pub(super) struct QuotaBody {
    /// How many.
    #[schema(example = 2000)]
    limit: u64,
    /// In which time, up to 7 days; of a calendar window: `1m`, `1h`, `1d` or `7d`.
    #[schema(value_type = String, example = "1d")]
    per: Value,
    /// `secret` (default) or `realm`: whose fetches count.
    scope: Option<String>,
    /// `rolling` (default) or `calendar`.
    window: Option<String>,
    /// Of a calendar window: an IANA time zone. Default UTC.
    #[schema(example = "Asia/Shanghai")]
    zone: Option<String>,
    /// How many are kept for missing, expired and reported tokens. Default 0.
    reserve: Option<u64>,
}
