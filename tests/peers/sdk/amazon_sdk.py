"""python-amazon-sp-api and python-amazon-ad-api."""

from loopback import drive


def selling_partner(values):
    from types import SimpleNamespace

    from sp_api.auth import AccessTokenClient

    credentials = SimpleNamespace(
        lwa_app_id=values["client_id"],
        lwa_client_secret=values["client_secret"],
        refresh_token=None,
    )
    return AccessTokenClient(refresh_token=values.get("refresh_token"), credentials=credentials)


def sp_api(values):
    return selling_partner(values).get_auth().access_token


def grantless(values):
    return selling_partner(values).get_grantless_auth().access_token


def ads(values):
    import ad_api.api
    from ad_api.auth import AccessTokenClient

    credentials = {name: values[name] for name in ("client_id", "client_secret", "refresh_token")}
    return AccessTokenClient(credentials=credentials | {"profile_id": None}).get_auth().access_token


drive(amazon_sp_api=sp_api, amazon_sp_api_grantless=grantless, amazon_ads=ads)
