//! Tokens that a token is made from (`depends_on`): obtained before the own lease is taken, renewed
//! once when the provider says that one died.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::{Renewal, View};
use crate::failure::{Failure, FailureKind};
use crate::realm::BaseName;
use crate::secret::SecretId;
use crate::service::cause::Cause;
use crate::service::{ServiceError, Stale, TokenAnswer};
use crate::token::TokenText;

/// The deepest chain of secrets that depend on each other.
const DEEPEST: usize = 5;

/// The tokens that a fetch is made with.
#[derive(Default)]
pub(super) struct Bases {
    names: Vec<BaseName>,
    answers: Vec<TokenAnswer>,
    /// Set when the provider says that one is dead.
    died: AtomicBool,
    /// Whether they were renewed for this fetch already.
    is_second: bool,
}

impl Bases {
    /// By alias.
    pub(super) fn tokens(&self) -> BTreeMap<String, TokenText> {
        let pairs = self.names.iter().zip(&self.answers);
        pairs
            .map(|(name, answer)| (name.alias.clone(), answer.token.clone()))
            .collect()
    }

    /// Whether they are what the rows name now.
    pub(super) fn fit(&self, view: &View) -> bool {
        view.bases().is_ok_and(|names| names == self.names)
    }

    /// Notes that the provider called one dead; `false`: they were renewed before, and it is a
    /// failure.
    pub(super) fn note_death(&self) -> bool {
        let first = !self.is_second && !self.names.is_empty();
        self.died.store(first, Ordering::Relaxed);
        first
    }

    pub(super) fn have_died(&self) -> bool {
        self.died.load(Ordering::Relaxed)
    }
}

impl View {
    fn bases(&self) -> Result<Vec<BaseName>, Failure> {
        self.definition
            .recipe()
            .map_or(Ok(Vec::new()), |recipe| recipe.bases(&self.inputs.values))
    }
}

/// When a token that it depends on is tried again, where that one's own pause is not known.
const BASE_PAUSE: Duration = Duration::from_secs(5);

impl Renewal {
    /// A token that it depends on cannot be had: the held one, while it is good.
    pub(super) fn without_bases(
        &self,
        id: &SecretId,
        view: &View,
        cause: Cause,
        failure: Failure,
    ) -> Result<TokenAnswer, ServiceError> {
        let now = self.parts.clock.now();
        let wait = failure.retry_after.unwrap_or(BASE_PAUSE);
        let until = now.plus(wait);
        if cause == Cause::Due {
            self.plan(id, until);
        }
        let Some(held) = view.usable(now) else {
            return Err(ServiceError::Fetch(failure));
        };
        let stale = Stale {
            since: now,
            is_of_base: failure.is_of_base,
            warning: format!("the last renewal failed: {failure}"),
        };
        let answer = self.hand_out(id, view, held, Some(until), Some(stale));
        Ok(TokenAnswer {
            renewed: false,
            retry_after: Some(wait),
            ..answer
        })
    }

    /// The tokens that a secret's token is made from.
    ///
    /// # Errors
    /// `Fetch` when one cannot be had, with its own class and retry time; `Config` when
    /// the chain is too long or closed.
    pub(super) async fn obtain_bases(
        &self,
        id: &SecretId,
        view: &View,
    ) -> Result<Bases, ServiceError> {
        let names = view.bases().map_err(ServiceError::Fetch)?;
        if names.is_empty() {
            return Ok(Bases::default());
        }
        self.demand_end(id, &names).await?;
        let mut answers = Vec::new();
        for name in &names {
            answers.push(self.base(id, name, Cause::Miss).await?);
        }
        Ok(Bases {
            names,
            answers,
            ..Bases::default()
        })
    }

    /// The same after the provider called one dead: each is renewed if it still is the one that was
    /// used.
    pub(super) async fn renew_bases(
        &self,
        id: &SecretId,
        dead: Bases,
    ) -> Result<Bases, ServiceError> {
        let mut answers = Vec::new();
        for (name, answer) in dead.names.iter().zip(&dead.answers) {
            answers.push(
                self.base(
                    id,
                    name,
                    Cause::Report {
                        version: answer.version,
                    },
                )
                .await?,
            );
        }
        Ok(Bases {
            names: dead.names,
            answers,
            is_second: true,
            died: AtomicBool::new(false),
        })
    }

    pub(super) async fn base(
        &self,
        id: &SecretId,
        name: &BaseName,
        cause: Cause,
    ) -> Result<TokenAnswer, ServiceError> {
        let base = &name.shown;
        match Box::pin(self.renew(&name.secret, cause)).await {
            Err(ServiceError::Fetch(failure)) => {
                let detail = format!(
                    "the token of secret {base}, on which that of {id} depends: {}",
                    failure.detail
                );
                Err(of_base(Failure { detail, ..failure }))
            }
            Err(ServiceError::UnknownSecret(_)) => Err(unknown(id, base)),
            Err(ServiceError::StoredRealm(_)) => Err(invalid(id, base)),
            other => other,
        }
    }

    /// Refuses a chain that comes back to where it began, or is too long.
    async fn demand_end(&self, id: &SecretId, names: &[BaseName]) -> Result<(), ServiceError> {
        let mut level: Vec<BaseName> = names.to_vec();
        for _ in 0..DEEPEST {
            let mut next = Vec::new();
            for base in level {
                if base.secret == *id {
                    let detail = format!(
                        "secret {id} depends on itself, by depends_on of its realm and others"
                    );
                    return Err(ServiceError::Fetch(Failure::new(
                        FailureKind::Config,
                        detail,
                    )));
                }
                let view = match self.view(&base.secret).await {
                    Err(ServiceError::UnknownSecret(_)) => return Err(unknown(id, &base.shown)),
                    Err(ServiceError::StoredRealm(_)) => return Err(invalid(id, &base.shown)),
                    other => other?,
                };
                next.extend(view.bases().map_err(of_base)?);
            }
            if next.is_empty() {
                return Ok(());
            }
            level = next;
        }
        let detail = format!("secret {id} depends on others deeper than {DEEPEST}");
        Err(ServiceError::Fetch(Failure::new(
            FailureKind::Config,
            detail,
        )))
    }
}

fn unknown(id: &SecretId, base: &str) -> ServiceError {
    let detail = format!("secret {id} depends on secret {base}, which does not exist");
    of_base(Failure::new(FailureKind::Config, detail))
}

fn invalid(id: &SecretId, base: &str) -> ServiceError {
    let detail = format!(
        "the stored definition of the realm of secret {base}, on which {id} depends, is not valid: save it again"
    );
    of_base(Failure::new(FailureKind::Config, detail))
}

fn of_base(failure: Failure) -> ServiceError {
    ServiceError::Fetch(Failure {
        is_of_base: true,
        ..failure
    })
}
