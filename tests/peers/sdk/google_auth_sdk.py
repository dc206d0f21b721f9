"""google-auth, Google's own."""

from loopback import drive


def service_account(values):
    from google.auth.transport.requests import Request
    from google.oauth2 import service_account

    info = {
        "client_email": values["client_email"],
        "private_key": values["private_key"],
        "token_uri": "https://oauth2.googleapis.com/token",
    }
    scopes = [values.get("scope", "https://www.googleapis.com/auth/cloud-platform")]
    credentials = service_account.Credentials.from_service_account_info(info, scopes=scopes)
    credentials = credentials.with_subject(values.get("subject"))
    credentials.refresh(Request())
    return credentials.token


def refresh_token(values):
    from google.auth.transport.requests import Request
    from google.oauth2.credentials import Credentials

    credentials = Credentials(
        None,
        refresh_token=values["refresh_token"],
        token_uri="https://oauth2.googleapis.com/token",
        client_id=values["client_id"],
        client_secret=values["client_secret"],
    )
    credentials.refresh(Request())
    return credentials.token


drive(google_service_account=service_account, google_refresh_token=refresh_token)
