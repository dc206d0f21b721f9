"""kwaixiaodian."""

from loopback import drive


def refresh(values):
    from kwaixiaodian.auth.oauth import SyncOAuthManager
    from kwaixiaodian.auth.types import AuthConfig

    config = AuthConfig(app_key=values["app_key"], app_secret=values["app_secret"], sign_secret="-")
    return SyncOAuthManager(config).refresh_access_token(values["refresh_token"]).access_token


drive(kuaishou_shop=refresh)
