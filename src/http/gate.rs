//! Who may come in: asked once for each request, before anything else is done for it.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::{Problem, guard};

/// What stands before every answer: of the hit path and of the router.
#[derive(Clone, Copy, Debug)]
pub struct Gate {
    loopback_only: bool,
}

/// The party that a request comes from: nobody in particular, while there is no authentication.
#[derive(Clone, Debug)]
pub struct Caller;

/// What the gate said of a request that goes on to the router.
#[derive(Clone, Debug)]
struct Admission(Result<Caller, Problem>);

impl Gate {
    /// `loopback_only`: only requests that are addressed to this machine come in, and none of a web
    /// page of another site; see `guard`.
    #[must_use]
    pub fn new(loopback_only: bool) -> Self {
        Self { loopback_only }
    }

    /// Who sent a request.
    ///
    /// # Errors
    /// The answer to a request that may not come in.
    pub fn admit<B>(&self, request: &http::Request<B>) -> Result<Caller, Problem> {
        match guard::refusal(request).filter(|_| self.loopback_only) {
            Some(why) => Err(Problem::forbidden(why)),
            None => Ok(Caller),
        }
    }
}

/// Lets the router know what the gate said.
pub(super) fn note<B>(request: &mut http::Request<B>, said: Result<Caller, Problem>) {
    request.extensions_mut().insert(Admission(said));
}

/// Before every route: answers who was refused; here, and not before the router, so that a refusal
/// is counted with its route.
pub(super) async fn enforce(mut request: Request, next: Next) -> Response {
    match request.extensions_mut().remove::<Admission>() {
        Some(Admission(Ok(caller))) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Some(Admission(Err(problem))) => problem.into_response(),
        None => Problem::forbidden("the request did not come by the door").into_response(),
    }
}
