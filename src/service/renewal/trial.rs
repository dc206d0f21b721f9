//! Trying a definition once: nothing is stored, nothing is handed out, and all that happened is
//! told.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value as Json, json};

use super::ledger::{Admission, Ask};
use super::{Renewal, View};
use crate::clock::millis;
use crate::failure::{Failure, FailureKind, ProviderSays};
use crate::realm::{Definition, Expiry, Facts, Fetched, Recipe, Rehearsed, Reissue, Run};
use crate::secret::{Credentials, SecretId};
use crate::service::ServiceError;
use crate::service::cause::Cause;
use crate::service::hosts::demand_confirmed;
use crate::store::CallRow;
use crate::token::TokenText;

/// The most trials at once: each may cost as much as a whole fetch.
pub(super) const MOST_AT_ONCE: usize = 4;

/// What to try.
#[derive(Clone, Debug)]
pub struct Trial {
    /// By what.
    pub definition: Definition,
    /// With which values.
    pub with: TrialInputs,
    /// Tokens of `depends_on` that are given rather than obtained.
    pub tokens: BTreeMap<String, TokenText>,
    /// Whether to send what a forced refresh sends.
    pub forced: bool,
    /// Whether it is the definition of a saved realm.
    pub is_saved: bool,
    /// Hosts that what is stored may go to in this trial.
    pub confirm_hosts: Vec<String>,
}

/// The values of a trial.
#[derive(Clone, Debug)]
pub enum TrialInputs {
    /// Given with the request; `grant` are values that a provider replaced.
    Given {
        /// By name.
        inputs: Credentials,
        /// By name.
        grant: Credentials,
    },
    /// Those of a stored secret.
    Stored(SecretId),
}

/// What happened.
#[derive(Debug, Default)]
pub struct TrialReport {
    /// Each request with its response and how long it took.
    pub steps: Vec<Json>,
    /// The same without values.
    structures: Vec<Json>,
    /// Whether the failure's code is the provider's.
    has_provider_code: bool,
    /// What was looked for, where, and whether it was found.
    pub findings: Vec<Json>,
    /// A token came out; it is not handed out.
    pub token: Option<Json>,
    /// Why none did.
    pub failure: Option<Failure>,
    /// What the operator should know.
    pub warnings: Vec<String>,
}

/// What of a trial is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shows {
    /// No value at all: what was asked, what came, and of which kinds.
    Structure,
    /// Values too, secrets masked: only of trials in which nothing stored was used.
    Values,
}

impl TrialReport {
    /// The report without any value that was stored, rendered or answered.
    #[must_use]
    pub fn structure(mut self) -> Self {
        self.steps = std::mem::take(&mut self.structures);
        for finding in &mut self.findings {
            if let Some(finding) = finding.as_object_mut() {
                finding.remove("value");
            }
        }
        self.token = self
            .token
            .map(|token| json!({"outputs": token.get("outputs")}));
        let has_code = self.has_provider_code;
        self.failure = self.failure.map(|failure| Failure {
            provider: ProviderSays {
                code: failure.provider.code.filter(|_| has_code),
                message: None,
            },
            ..failure
        });
        self
    }
}

impl Renewal {
    /// Runs a definition once. Where anything stored is used, structure is all that is shown.
    ///
    /// # Errors
    /// `TooManyTrials`, `HostsChanged`; `Invalid`: a stored grant would be spent; `UnknownSecret`, `Store`; `Fetch` when a
    /// base token cannot be had.
    pub(in crate::service) async fn try_definition(
        &self,
        trial: Trial,
        shows: Shows,
    ) -> Result<TrialReport, ServiceError> {
        let _leave = self
            .trials
            .try_acquire()
            .map_err(|_| ServiceError::TooManyTrials(MOST_AT_ONCE))?;
        let Some(recipe) = trial.definition.recipe() else {
            return Err(ServiceError::invalid(
                "/config",
                "a fixed realm fetches nothing",
            ));
        };
        let (view, mut warnings) = match &trial.with {
            TrialInputs::Stored(id) => {
                let mut view = self.view(id).await?;
                view.inputs = self.inputs(recipe, &view.secret, view.row.as_ref()).await;
                (Some((id.clone(), view)), warnings_of(recipe))
            }
            TrialInputs::Given { .. } => (None, Vec::new()),
        };
        if view.is_some() && recipe.rotates() {
            let detail =
                "this realm spends a grant that works once: give inputs with one that may be spent";
            return Err(ServiceError::invalid("/inputs", detail));
        }
        warnings.extend(trial.definition.warnings());
        demand_hosts(&trial, recipe, view.as_ref().map(|(_, view)| view))?;
        let (facts, uses_stored) = self.trial_facts(&trial, recipe, view.as_ref()).await?;
        let call = match &view {
            Some((id, view)) if recipe.calls() => Some(self.admit_trial(id, view).await?),
            _ => None,
        };
        let began = tokio::time::Instant::now();
        let report = self.go_through(recipe, facts, warnings).await;
        if let Some(call) = call {
            self.record_trial(&call, began.elapsed(), report.failure.as_ref())
                .await;
        }
        Ok(if uses_stored || shows == Shows::Structure {
            report.structure()
        } else {
            report
        })
    }

    /// What it starts from, and whether anything of it was stored.
    async fn trial_facts(
        &self,
        trial: &Trial,
        recipe: &Recipe,
        view: Option<&(SecretId, View)>,
    ) -> Result<(Facts, bool), ServiceError> {
        let mut uses_stored = view.is_some();
        let (id, inputs, has_saved) = match (&trial.with, view) {
            (TrialInputs::Given { inputs, grant }, _) => {
                let mut values = inputs.clone();
                for (name, value) in grant.iter() {
                    values.set(name, value);
                }
                (SecretId::new("trial", "trial"), values, !grant.is_empty())
            }
            (TrialInputs::Stored(_), Some((id, view))) => {
                if let Some(failure) = &view.inputs.failure {
                    return Err(ServiceError::Fetch(failure.clone()));
                }
                (id.clone(), view.inputs.values.clone(), false)
            }
            (TrialInputs::Stored(id), None) => return Err(ServiceError::UnknownSecret(id.clone())),
        };
        let mut tokens = trial.tokens.clone();
        for base in recipe.bases(&inputs).map_err(ServiceError::Fetch)? {
            if let std::collections::btree_map::Entry::Vacant(e) = tokens.entry(base.alias.clone())
            {
                let answer = self.base(&id, &base, Cause::Miss).await?;
                uses_stored = true;
                e.insert(answer.token);
            }
        }
        let facts = Facts {
            secret: id,
            inputs,
            tokens,
            has_saved,
            forced: trial.forced,
            now: self.parts.clock.now(),
            uuid: uuid::Uuid::new_v4().to_string(),
            nonce: uuid::Uuid::new_v4().simple().to_string(),
        };
        Ok((facts, uses_stored))
    }

    /// A call with stored credentials counts like any other.
    async fn admit_trial(&self, id: &SecretId, view: &View) -> Result<String, ServiceError> {
        let ask = Ask {
            id,
            view,
            cause: Cause::Trial,
            by: None,
        };
        match self.admit(ask).await? {
            Admission::Go(call) => Ok(call),
            Admission::Withheld(until) => {
                let detail = "a quota of the provider, as the realm's policy tells it, is used up; no call was made";
                let retry_after = Some(until.since(self.parts.clock.now()));
                Err(ServiceError::Fetch(Failure {
                    retry_after,
                    ..Failure::new(FailureKind::Quota, detail)
                }))
            }
        }
    }

    async fn record_trial(&self, call: &str, took: Duration, failure: Option<&Failure>) {
        let outcome = crate::store::CallOutcome {
            outcome: failure
                .map_or(CallRow::OK, |failure| failure.kind.code())
                .to_owned(),
            provider_code: failure.and_then(|failure| failure.provider.code.clone()),
            provider_message: failure.and_then(|failure| failure.provider.message.clone()),
            duration_ms: Some(millis(took)),
        };
        if let Err(error) = self.parts.store.finish_call(call, &outcome).await {
            tracing::warn!(%error, "the outcome of a trial could not be logged");
        }
    }

    async fn go_through(
        &self,
        recipe: &Recipe,
        facts: Facts,
        warnings: Vec<String>,
    ) -> TrialReport {
        let mut report = TrialReport {
            has_provider_code: recipe.codes_come_from_answers(),
            warnings,
            ..TrialReport::default()
        };
        let end = tokio::time::Instant::now()
            + recipe
                .policy()
                .timeout
                .unwrap_or(self.settings.fetch_timeout);
        let mut run = match recipe.begin(facts) {
            Ok(run) => run.within(self.exchange.limits(end)),
            Err(failure) => {
                return TrialReport {
                    failure: Some(failure),
                    ..report
                };
            }
        };
        let outcome = self.send_all(&mut run, end, &mut report).await;
        self.exchange
            .compute(&mut run, |run| {
                report.findings = run.findings(outcome.as_ref().ok());
                match outcome {
                    Ok(fetched) => report.token = Some(described(&fetched)),
                    Err(failure) => report.failure = Some(run.masked(failure)),
                }
                report
            })
            .await
    }

    async fn send_all(
        &self,
        run: &mut Run<'_>,
        end: tokio::time::Instant,
        report: &mut TrialReport,
    ) -> Result<Fetched, Failure> {
        let exchange = &self.exchange;
        while let Some(request) = exchange.compute(run, Run::next_request).await? {
            let began = tokio::time::Instant::now();
            let shown = Rehearsed::of(&request, false);
            let written = run.request_structure();
            let sent = self
                .parts
                .upstream
                .send(&request, end.saturating_duration_since(began))
                .await;
            let duration_ms = millis(began.elapsed());
            let came = sent.is_ok();
            let taken = exchange.take(run, sent).await;
            let (response, shape) = exchange
                .compute(run, |run| (run.shown_response(), run.response_structure()))
                .await;
            let (response, shape) = (response.filter(|_| came), shape.filter(|_| came));
            report
                .steps
                .push(json!({"request": shown, "answer": response, "duration_ms": duration_ms}));
            report
                .structures
                .push(json!({"request": written, "answer": shape, "duration_ms": duration_ms}));
            taken?;
        }
        exchange.compute(run, Run::finish).await
    }
}

/// A trial of a definition that is not saved sends what is stored only where the saved one does, or
/// where it is confirmed.
fn demand_hosts(trial: &Trial, recipe: &Recipe, view: Option<&View>) -> Result<(), ServiceError> {
    let saved = view.and_then(|view| view.definition.recipe());
    let is_given = |alias: &str| trial.tokens.contains_key(alias);
    let borrows =
        !recipe.aliases().all(is_given) && saved.is_none_or(|saved| !saved.depends_like(recipe));
    if trial.is_saved {
        return demand_given(trial, recipe);
    }
    if view.is_none() && !borrows {
        return Ok(());
    }
    let before = saved.filter(|_| !borrows).map(Recipe::origins);
    demand_confirmed(
        &before.unwrap_or_default(),
        &recipe.origins(),
        &trial.confirm_hosts,
    )
}

/// In a trial of a saved definition, which confirms no hosts, given inputs do not say where tokens
/// of others go, nor which are taken.
fn demand_given(trial: &Trial, recipe: &Recipe) -> Result<(), ServiceError> {
    let TrialInputs::Given { inputs, grant } = &trial.with else {
        return Ok(());
    };
    let Some(taken) = recipe
        .aliases()
        .find(|alias| !trial.tokens.contains_key(*alias))
    else {
        return Ok(());
    };
    let mut issues = crate::json::Issues::default();
    for name in recipe.deciding_inputs() {
        if inputs.get(name).or_else(|| grant.get(name)).is_some() {
            let told = format!(
                "says where requests go or whose token is used, and must not be given together with a token that is stored: give \
                 tokens.{taken} too, try a secret by its key, or try the definition with confirm_hosts"
            );
            issues.add(crate::json::pointer("/inputs", name), told);
        }
    }
    Ok(issues.into_result(Some(()))?)
}

/// What is told of a token that came out.
fn described(fetched: &Fetched) -> Json {
    let expires_in = match fetched.expiry {
        Expiry::In(life) => Some(millis(life)),
        Expiry::Untold | Expiry::Never => None,
    };
    json!({"length": fetched.token.expose().chars().count(), "fingerprint": fetched.token.fingerprint(),
        "expires_in": expires_in, "never_expires": fetched.expiry == Expiry::Never,
        "outputs": fetched.outputs.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>()})
}

fn warnings_of(recipe: &Recipe) -> Vec<String> {
    match recipe.policy().reissue {
        Reissue::Replaces { .. } if recipe.calls() => vec![
            "by its policy this provider replaces its token: the token that is handed out may have died by this trial"
                .to_owned(),
        ],
        Reissue::Replaces { .. } | Reissue::Same { .. } | Reissue::Coexists => Vec::new(),
    }
}
