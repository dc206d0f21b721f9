//! Who a request comes from, and what its route lets it do.
//!
//! Every handler takes an [`Allowed`] that names the action, so none can forget to ask. Routes that
//! are open to everybody take [`Anybody`].

use std::marker::PhantomData;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::request::Parts;

use super::Problem;
use crate::api_key::{Action, Role, Scopes};
use crate::secret::SecretRef;
use crate::service::{HeldKey, Requester, ServiceError};

/// The party that a request comes from.
#[derive(Clone, Debug)]
pub enum Caller {
    /// It shows an API key that works.
    Key(Arc<HeldKey>),
    /// It shows none, and is in a network of `auth.anonymous`.
    Anonymous(Arc<Scopes>),
    /// It shows none, on this machine, in `dev`.
    Developer,
}

impl Caller {
    /// Its role.
    #[must_use]
    pub fn role(&self) -> Role {
        match self {
            Self::Key(key) => key.role,
            Self::Anonymous(_) => Role::App,
            Self::Developer => Role::Admin,
        }
    }

    /// Which secrets it reaches.
    #[must_use]
    pub fn scopes(&self) -> &Scopes {
        match self {
            Self::Key(key) => &key.scopes,
            Self::Anonymous(scopes) => scopes,
            Self::Developer => &Scopes::All,
        }
    }

    /// Whether its role lets it do this, inside its scopes.
    #[must_use]
    pub fn may(&self, action: Action) -> bool {
        self.role().may(action)
    }

    /// Whether it reaches a secret.
    #[must_use]
    pub fn reaches(&self, secret: SecretRef<'_>) -> bool {
        self.scopes().allow(secret)
    }

    /// Whether it is told about the secrets that a token is made from: an `operator` only where it
    /// reaches every secret.
    #[must_use]
    pub fn sees_bases(&self) -> bool {
        match self.role() {
            Role::Admin => true,
            Role::Operator => self.scopes().cover_all(),
            Role::App | Role::Push | Role::Edge | Role::Cron => false,
        }
    }

    /// An error as this caller may see it.
    #[must_use]
    pub fn shown(&self, error: ServiceError) -> ServiceError {
        if let ServiceError::Fetch(failure) = error {
            let shown = if self.sees_bases() {
                failure
            } else {
                failure.without_base()
            };
            return ServiceError::Fetch(shown);
        }
        error
    }

    /// Whom the fetches that it forces are counted against.
    #[must_use]
    pub fn requester(&self) -> Requester {
        match self {
            Self::Key(key) => Requester::new(key.id.as_str()),
            Self::Anonymous(_) => Requester::new("anonymous"),
            Self::Developer => Requester::new("dev"),
        }
    }
}

/// What the gate found of a request's party; in the request's extensions.
#[derive(Clone, Debug)]
pub(super) enum Standing {
    /// It is known.
    Known(Caller),
    /// It is not, and routes that are not open answer this.
    Unknown(Problem),
}

/// An action, as a type for [`Allowed`].
pub(super) trait Permission {
    /// Which.
    const ACTION: Action;
}

macro_rules! permissions {
    ($($name:ident)*) => {$(
        #[doc = concat!("[`Action::", stringify!($name), "`]")]
        pub(super) struct $name;

        impl Permission for $name {
            const ACTION: Action = Action::$name;
        }
    )*};
}

permissions! { Manage Observe ReadToken Renew Retry SeeStatus Push Cron }

/// A caller whose role allows an action. Extracting it is what protects a route.
pub(super) struct Allowed<P>(pub(super) Caller, pub(super) PhantomData<P>);

impl<S: Sync, P: Permission> FromRequestParts<S> for Allowed<P> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        match parts.extensions.get::<Standing>() {
            Some(Standing::Known(caller)) if caller.may(P::ACTION) => {
                Ok(Self(caller.clone(), PhantomData))
            }
            Some(Standing::Known(caller)) => Err(Problem::role_not_allowed(caller.role())),
            Some(Standing::Unknown(problem)) => Err(problem.clone()),
            None => Err(Problem::forbidden("the request did not come by the door")),
        }
    }
}
