//! The one way in: gate, then the hit path, else the router; whoever brings the request.

use axum::body::{Body, Bytes, HttpBody};
use axum::response::Response;
use axum::{BoxError, Router};
use http::Request;
use tokio::time::Instant;

use super::caller::Standing;
use super::gate::{self, Admission, Gate};
use super::peer::Peer;
use super::{Api, hit, observe, router};

/// Answers requests: of a socket, or of a function's event.
#[derive(Clone)]
pub struct Door {
    gate: Gate,
    api: Api,
    router: Router,
}

impl Door {
    /// To this API, behind this gate.
    #[must_use]
    pub fn new(gate: Gate, api: Api) -> Self {
        let router = router(api.clone());
        Self { gate, api, router }
    }

    /// Answers a request, counts it, and gives the answer its request id.
    pub async fn answer<B>(&self, mut request: Request<B>, peer: &Peer) -> Response
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let began = Instant::now();
        let metrics = &self.api.metrics;
        let Admission { said, left } = self.gate.admit(&request, peer);
        let mut answer = if let Ok(Standing::Known(caller)) = &said
            && let Some((answer, asked)) = hit::answer(&self.api, caller, &request)
        {
            asked.count(metrics, began);
            observe::with_given_id(request.headers(), answer)
        } else {
            gate::note(&mut request, said);
            let request = request.map(Body::new);
            observe::routed(metrics, &self.router, request, began).await
        };
        if let Some(left) = left {
            gate::tell_rate(left, answer.headers_mut());
        }
        answer
    }
}
