"""intuit-oauth, Intuit's own."""

from loopback import Recorder, drive


def refresh(values):
    from intuitlib.client import AuthClient

    Recorder.aside["/.well-known/openid"] = {
        "issuer": "https://oauth.platform.intuit.com/op/v1",
        "authorization_endpoint": "https://appcenter.intuit.com/connect/oauth2",
        "token_endpoint": "https://oauth.platform.intuit.com/oauth2/v1/tokens/bearer",
        "revocation_endpoint": "https://developer.api.intuit.com/v2/oauth2/tokens/revoke",
        "userinfo_endpoint": "https://accounts.platform.intuit.com/v1/openid_connect/userinfo",
        "jwks_uri": "https://oauth.platform.intuit.com/op/v1/jwks",
    }
    client = AuthClient(values["client_id"], values["client_secret"], "https://app.example/", "production")
    client.refresh(values["refresh_token"])
    return client.access_token


drive(quickbooks=refresh)
