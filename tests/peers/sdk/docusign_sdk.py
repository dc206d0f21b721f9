"""docusign-esign, Docusign's own."""

from loopback import drive


def jwt(values):
    from docusign_esign import ApiClient

    token = ApiClient().request_jwt_user_token(
        client_id=values["integration_key"],
        user_id=values["user_id"],
        oauth_host_name=values.get("auth_host", "account.docusign.com"),
        private_key_bytes=values["private_key"].encode(),
        expires_in=3600,
        scopes=["signature", "impersonation"],
    )
    return token.access_token


drive(docusign_jwt=jwt)
