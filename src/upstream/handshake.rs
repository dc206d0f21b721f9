//! What a TLS handshake failed of, in words that hold nothing of the request.

use std::error::Error;

use rustls::AlertDescription as Alert;

use super::cause::cause;
use crate::failure::{Failure, FailureKind};

/// A failed handshake as a failure; `None`: something else went wrong.
///
/// A client certificate that is refused is the operator's to mend, and says nothing of the provider
/// for other secrets.
pub(super) fn failure(error: &(dyn Error + 'static)) -> Option<Failure> {
    let error = cause::<rustls::Error>(error)?;
    // A server that ends the handshake has read no request.
    let of = |kind, detail| {
        Some(Failure {
            is_unsent: true,
            ..Failure::new(kind, detail)
        })
    };
    if let rustls::Error::InvalidCertificate(why) = error {
        // Its name alone: what follows lists all that stands in the certificate.
        let why = format!("{why:?}");
        let name = why
            .split(|c: char| !c.is_alphanumeric())
            .next()
            .unwrap_or_default();
        return of(
            FailureKind::Unreachable,
            format!("the provider's certificate is not trusted: {name}"),
        );
    }
    let rustls::Error::AlertReceived(alert) = error else {
        return None;
    };
    if is_about_client(*alert) {
        let detail =
            format!("the provider refused the client certificate, or wants one: {alert:?}");
        return of(FailureKind::Config, detail);
    }
    of(
        FailureKind::Unreachable,
        format!("the provider ended the TLS connection: {alert:?}"),
    )
}

/// The alerts of RFC 8446 §6.2 that answer a client's certificate.
fn is_about_client(alert: Alert) -> bool {
    [
        Alert::CertificateRequired,
        Alert::UnknownCA,
        Alert::BadCertificate,
        Alert::UnsupportedCertificate,
        Alert::CertificateRevoked,
        Alert::CertificateExpired,
        Alert::CertificateUnknown,
        Alert::AccessDenied,
    ]
    .contains(&alert)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::CertificateError;
    use std::io;

    fn told(error: rustls::Error) -> Option<(FailureKind, String)> {
        let wrapped = io::Error::other(io::Error::new(io::ErrorKind::InvalidData, error));
        failure(&wrapped).map(|failure| (failure.kind, failure.detail))
    }

    #[test]
    fn handshakes_fail_in_words() {
        let refused = |alert: &str| {
            let detail =
                format!("the provider refused the client certificate, or wants one: {alert}");
            Some((FailureKind::Config, detail))
        };
        assert_eq!(
            told(rustls::Error::AlertReceived(Alert::CertificateRequired)),
            refused("CertificateRequired")
        );
        assert_eq!(
            told(rustls::Error::AlertReceived(Alert::UnknownCA)),
            refused("UnknownCA")
        );
        let misnamed = CertificateError::NotValidForNameContext {
            expected: "invented.example".try_into().unwrap(),
            presented: vec!["a name of the certificate".to_owned()],
        };
        for (why, name) in [
            (CertificateError::UnknownIssuer, "UnknownIssuer"),
            (misnamed, "NotValidForNameContext"),
        ] {
            let detail = format!("the provider's certificate is not trusted: {name}");
            let told = told(rustls::Error::InvalidCertificate(why));
            assert_eq!(told, Some((FailureKind::Unreachable, detail)));
        }
        let other = told(rustls::Error::AlertReceived(Alert::HandshakeFailure));
        let detail = "the provider ended the TLS connection: HandshakeFailure".to_owned();
        assert_eq!(other, Some((FailureKind::Unreachable, detail)));
        assert_eq!(told(rustls::Error::DecryptError), None);
        assert!(failure(&io::Error::from(io::ErrorKind::ConnectionReset)).is_none());
    }
}
