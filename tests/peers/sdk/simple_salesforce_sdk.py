"""simple-salesforce."""

from loopback import drive


def jwt(values):
    from simple_salesforce.login import SalesforceLogin

    token, _ = SalesforceLogin(
        username=values["username"], consumer_key=values["client_id"], privatekey=values["private_key"]
    )
    return token


def client_credentials(values):
    from simple_salesforce.login import SalesforceLogin

    token, _ = SalesforceLogin(
        consumer_key=values["client_id"],
        consumer_secret=values["client_secret"],
        domain=values["login_host"].removesuffix(".salesforce.com"),
    )
    return token


drive(salesforce_jwt=jwt, salesforce_client_credentials=client_credentials)
