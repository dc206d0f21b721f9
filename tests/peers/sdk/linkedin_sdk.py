"""linkedin-api-client, LinkedIn's own."""

from loopback import drive


def client_credentials(values):
    from linkedin_api.clients.auth.client import AuthClient

    client = AuthClient(values["client_id"], values["client_secret"])
    return client.get_two_legged_access_token().access_token


drive(linkedin=client_credentials)
