"""zoomus."""

from loopback import drive


def server_to_server(values):
    from zoomus.util import generate_token

    return generate_token(
        "https://zoom.us/oauth/token", values["client_id"], values["client_secret"], values["account_id"]
    )


drive(zoom_s2s=server_to_server)
