"""marketorestpython."""

from loopback import drive


def client_credentials(values):
    from marketorestpython.client import MarketoClient

    account = values["identity_host"].removesuffix(".mktorest.com")
    client = MarketoClient(account, values["client_id"], values["client_secret"])
    client.authenticate()
    return client.token


drive(marketo=client_credentials)
