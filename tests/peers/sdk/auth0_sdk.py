"""auth0-python, Auth0's own."""

from loopback import drive


def client_credentials(values):
    from auth0.authentication import GetToken

    client = GetToken(values["hostname"], values["client_id"], client_secret=values["client_secret"])
    return client.client_credentials(values["audience"])["access_token"]


drive(auth0=client_credentials)
