//! HTTP clients: one for all, and one for each client certificate or CA, since a connection is made
//! with it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::{Certificate, Client, Identity, Proxy};

use super::{Egress, SetupError, client_builder, setup};
use crate::failure::{Failure, FailureKind};
use crate::realm::TlsMaterial;

/// The clients in use; clones share them.
#[derive(Clone)]
pub(super) struct Clients {
    plain: Client,
    connect: Duration,
    egress: Egress,
    proxy: Option<String>,
    by_material: Arc<Mutex<HashMap<TlsMaterial, Client>>>,
}

/// So many are kept; beyond that all are made anew.
const MOST_KEPT: usize = 256;

impl std::fmt::Debug for Clients {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clients")
    }
}

impl Clients {
    pub(super) fn new(
        connect: Duration,
        egress: &Egress,
        proxy: Option<&str>,
    ) -> Result<Self, SetupError> {
        let proxy = proxy.map(str::to_owned);
        let plain = base(connect, egress, proxy.as_deref())?
            .build()
            .map_err(|error| setup(&error))?;
        Ok(Self {
            plain,
            connect,
            egress: egress.clone(),
            proxy,
            by_material: Arc::default(),
        })
    }

    /// The client for a certificate; the plain one without.
    ///
    /// # Errors
    /// `Config` when certificate, key or CA cannot be used.
    pub(super) fn of(&self, material: Option<&TlsMaterial>) -> Result<Client, Failure> {
        let Some(material) = material else {
            return Ok(self.plain.clone());
        };
        let mut kept = self
            .by_material
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = kept.get(material) {
            return Ok(client.clone());
        }
        let client = self.make(material)?;
        if kept.len() >= MOST_KEPT {
            kept.clear();
        }
        kept.insert(material.clone(), client.clone());
        Ok(client)
    }

    fn make(&self, material: &TlsMaterial) -> Result<Client, Failure> {
        let unusable = |what: &str| {
            Failure::new(
                FailureKind::Config,
                format!("/config/tls: the {what} is not usable: expected PEM"),
            )
        };
        let mut builder = base(self.connect, &self.egress, self.proxy.as_deref())
            .map_err(|_| unusable("HTTP client"))?;
        if let (Some(certificate), Some(key)) = (&material.certificate, &material.key) {
            let pem = format!("{certificate}\n{key}\n");
            let identity = Identity::from_pem(pem.as_bytes())
                .map_err(|_| unusable("certificate or its key"))?;
            builder = builder.identity(identity);
        }
        if let Some(ca) = &material.ca {
            let roots = Certificate::from_pem_bundle(ca.as_bytes()).map_err(|_| unusable("CA"))?;
            builder = builder.tls_certs_merge(roots);
        }
        builder
            .build()
            .map_err(|_| unusable("certificate or its key"))
    }
}

fn base(
    connect: Duration,
    egress: &Egress,
    proxy: Option<&str>,
) -> Result<reqwest::ClientBuilder, SetupError> {
    let builder = client_builder()?
        .connect_timeout(connect)
        .retry(reqwest::retry::never());
    match proxy {
        // The proxy resolves names, and may be anywhere.
        Some(proxy) => Ok(builder.proxy(Proxy::all(proxy).map_err(|error| setup(&error))?)),
        None => Ok(builder.dns_resolver(Arc::new(egress.clone()))),
    }
}
