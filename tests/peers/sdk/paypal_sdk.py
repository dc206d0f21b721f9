"""paypal-server-sdk, PayPal's own."""

from loopback import drive


def client_credentials(values):
    from paypalserversdk.configuration import Environment
    from paypalserversdk.http.auth.o_auth_2 import ClientCredentialsAuthCredentials
    from paypalserversdk.paypal_serversdk_client import PaypalServersdkClient

    client = PaypalServersdkClient(
        client_credentials_auth_credentials=ClientCredentialsAuthCredentials(
            o_auth_client_id=values["client_id"], o_auth_client_secret=values["client_secret"]
        ),
        environment=Environment.PRODUCTION,
    )
    return client.oauth_2.fetch_token().access_token


drive(paypal=client_credentials)
