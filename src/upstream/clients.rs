//! HTTP clients: one for all, and one for each client certificate or CA, since a connection is made
//! with it; and one for each route, whose resolver leaves out what must not be called on it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::{Certificate, Client, Identity, Proxy};

use super::authorities::Authorities;
use super::egress::Route;
use super::{Egress, SetupError, client_builder, setup};
use crate::failure::{Failure, FailureKind};
use crate::realm::TlsMaterial;

/// The clients in use; clones share them.
#[derive(Clone)]
pub(super) struct Clients {
    plain: Client,
    parts: Arc<Parts>,
    made: Arc<Mutex<HashMap<Purpose, Client>>>,
}

/// What all clients are made of.
pub(super) struct Parts {
    /// Time to connect.
    pub(super) connect: Duration,
    /// Which addresses may be called.
    pub(super) egress: Egress,
    /// The proxy's URL.
    pub(super) proxy: Option<String>,
    /// Whom to trust beside the usual authorities.
    pub(super) authorities: Authorities,
}

/// What a client is for: a certificate or CA, and what addresses must be.
type Purpose = (Option<TlsMaterial>, Route);

/// So many are kept; beyond that all are made anew.
const MOST_KEPT: usize = 256;

impl std::fmt::Debug for Clients {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clients")
    }
}

impl Clients {
    pub(super) fn new(parts: Parts) -> Result<Self, SetupError> {
        let plain = parts.builder(Route::default())?.build();
        Ok(Self {
            plain: plain.map_err(|error| setup(&error))?,
            parts: Arc::new(parts),
            made: Arc::default(),
        })
    }

    /// The client for a request with this certificate on this route; the plain one where both are
    /// the usual.
    ///
    /// # Errors
    /// `Config` when certificate, key or CA cannot be used.
    pub(super) fn of(
        &self,
        material: Option<&TlsMaterial>,
        route: Route,
    ) -> Result<Client, Failure> {
        if material.is_none() && route == Route::default() {
            return Ok(self.plain.clone());
        }
        let purpose = (material.cloned(), route);
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = made.get(&purpose) {
            return Ok(client.clone());
        }
        let client = self.make(material, route)?;
        if made.len() >= MOST_KEPT {
            made.clear();
        }
        made.insert(purpose, client.clone());
        Ok(client)
    }

    fn make(&self, material: Option<&TlsMaterial>, route: Route) -> Result<Client, Failure> {
        let unusable = |what: &str| {
            Failure::new(
                FailureKind::Config,
                format!("/config/tls: the {what} is not usable: expected PEM"),
            )
        };
        let builder = self.parts.builder(route);
        let mut builder = builder.map_err(|_| unusable("HTTP client"))?;
        let identity =
            material.and_then(|material| material.certificate.as_ref().zip(material.key.as_ref()));
        if let Some((certificate, key)) = identity {
            let pem = format!("{certificate}\n{key}\n");
            let identity = Identity::from_pem(pem.as_bytes())
                .map_err(|_| unusable("certificate or its key"))?;
            builder = builder.identity(identity);
        }
        if let Some(ca) = material.and_then(|material| material.ca.as_ref()) {
            let roots = Certificate::from_pem_bundle(ca.as_bytes()).map_err(|_| unusable("CA"))?;
            builder = builder.tls_certs_merge(roots);
        }
        builder
            .build()
            .map_err(|_| unusable("certificate or its key"))
    }
}

impl Parts {
    fn builder(&self, route: Route) -> Result<reqwest::ClientBuilder, SetupError> {
        let builder = client_builder()?
            .connect_timeout(self.connect)
            .tls_certs_merge(self.authorities.certificates())
            .retry(reqwest::retry::never());
        match &self.proxy {
            // The proxy resolves names, and may be anywhere.
            Some(proxy) => Ok(builder.proxy(Proxy::all(proxy).map_err(|error| setup(&error))?)),
            None => Ok(builder.dns_resolver(Arc::new(self.egress.resolver(route)))),
        }
    }
}
