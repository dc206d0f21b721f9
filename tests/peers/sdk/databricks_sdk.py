"""databricks-sdk, Databricks' own."""

from loopback import Recorder, drive


def machine_to_machine(values):
    from databricks.sdk.core import Config

    host = f"https://{values['hostname']}"
    Recorder.aside["/.well-known/"] = {
        "authorization_endpoint": f"{host}/oidc/v1/authorize",
        "token_endpoint": f"{host}/oidc/v1/token",
        "oidc_endpoint": f"{host}/oidc",
    }
    config = Config(
        host=host,
        client_id=values["client_id"],
        client_secret=values["client_secret"],
        auth_type="oauth-m2m",
    )
    return config.oauth_token().access_token


drive(databricks=machine_to_machine)
