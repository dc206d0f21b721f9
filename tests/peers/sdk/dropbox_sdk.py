"""dropbox, Dropbox's own."""

from loopback import drive


def refresh(values):
    import dropbox

    client = dropbox.Dropbox(
        oauth2_refresh_token=values["refresh_token"],
        app_key=values["client_id"],
        app_secret=values["client_secret"],
    )
    client.refresh_access_token()
    return client._oauth2_access_token


drive(dropbox=refresh)
