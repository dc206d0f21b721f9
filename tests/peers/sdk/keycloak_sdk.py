"""python-keycloak."""

from loopback import drive


def client_credentials(values):
    from keycloak import KeycloakOpenID

    client = KeycloakOpenID(
        server_url=values["base_url"],
        realm_name=values["realm_name"],
        client_id=values["client_id"],
        client_secret_key=values["client_secret"],
    )
    return client.token(grant_type="client_credentials", scope=values["scope"])["access_token"]


drive(keycloak=client_credentials)
