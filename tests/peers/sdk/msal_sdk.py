"""msal, Microsoft's own."""

from loopback import Recorder, drive

HOST = "https://login.microsoftonline.com"


def discover(tenant):
    """It asks where the endpoints are before it asks for a token."""
    Recorder.aside["/.well-known/openid-configuration"] = {
        "issuer": f"{HOST}/{tenant}/v2.0",
        "authorization_endpoint": f"{HOST}/{tenant}/oauth2/v2.0/authorize",
        "token_endpoint": f"{HOST}/{tenant}/oauth2/v2.0/token",
    }


def acquire(values, credential):
    import msal

    discover(values["tenant_id"])
    application = msal.ConfidentialClientApplication(
        values["client_id"],
        authority=f"{HOST}/{values['tenant_id']}",
        client_credential=credential,
        instance_discovery=False,
    )
    scope = values.get("scope", "https://graph.microsoft.com/.default")
    return application.acquire_token_for_client([scope])["access_token"]


def secret(values):
    return acquire(values, values["client_secret"])


def certificate(values):
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.x509 import load_pem_x509_certificate

    certificate = values["certificate"]
    found = load_pem_x509_certificate(certificate.encode()).fingerprint(SHA256()).hex()
    assert found == values["certificate_thumbprint"], found
    return acquire(values, {"private_key": values["private_key"], "public_certificate": certificate})


drive(entra_client_secret=secret, entra_client_certificate=certificate)
