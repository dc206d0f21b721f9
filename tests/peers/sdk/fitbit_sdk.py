"""fitbit."""

from loopback import drive


def refresh(values):
    from fitbit import Fitbit

    client = Fitbit(
        values["client_id"],
        values["client_secret"],
        access_token="-",
        refresh_token=values["refresh_token"],
        refresh_cb=lambda token: None,
    )
    return client.client.refresh_token()["access_token"]


drive(fitbit=refresh)
