//! HTTP clients: one for all, and one for each client certificate or CA, since a connection is made
//! with it; and one for each port on which this process listens itself, whose resolver leaves this
//! machine's addresses out.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::{Certificate, Client, Identity, Proxy};

use super::authorities::Authorities;
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

/// What a client is for: a certificate or CA, and a port of a listener of this process.
type Purpose = (Option<TlsMaterial>, Option<u16>);

/// So many are kept; beyond that all are made anew.
const MOST_KEPT: usize = 256;

impl std::fmt::Debug for Clients {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clients")
    }
}

impl Clients {
    pub(super) fn new(parts: Parts) -> Result<Self, SetupError> {
        let plain = parts.builder(None)?.build();
        Ok(Self {
            plain: plain.map_err(|error| setup(&error))?,
            parts: Arc::new(parts),
            made: Arc::default(),
        })
    }

    /// The client for a request with this certificate, to a port that this process listens on
    /// itself; the plain one without either.
    ///
    /// # Errors
    /// `Config` when certificate, key or CA cannot be used.
    pub(super) fn of(
        &self,
        material: Option<&TlsMaterial>,
        own_port: Option<u16>,
    ) -> Result<Client, Failure> {
        if material.is_none() && own_port.is_none() {
            return Ok(self.plain.clone());
        }
        let purpose = (material.cloned(), own_port);
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = made.get(&purpose) {
            return Ok(client.clone());
        }
        let client = self.make(material, own_port)?;
        if made.len() >= MOST_KEPT {
            made.clear();
        }
        made.insert(purpose, client.clone());
        Ok(client)
    }

    fn make(
        &self,
        material: Option<&TlsMaterial>,
        own_port: Option<u16>,
    ) -> Result<Client, Failure> {
        let unusable = |what: &str| {
            Failure::new(
                FailureKind::Config,
                format!("/config/tls: the {what} is not usable: expected PEM"),
            )
        };
        let builder = self.parts.builder(own_port);
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
    fn builder(&self, own_port: Option<u16>) -> Result<reqwest::ClientBuilder, SetupError> {
        let builder = client_builder()?
            .connect_timeout(self.connect)
            .tls_certs_merge(self.authorities.certificates())
            .retry(reqwest::retry::never());
        match &self.proxy {
            // The proxy resolves names, and may be anywhere.
            Some(proxy) => Ok(builder.proxy(Proxy::all(proxy).map_err(|error| setup(&error))?)),
            None => Ok(builder.dns_resolver(Arc::new(self.egress.resolver(own_port)))),
        }
    }
}
