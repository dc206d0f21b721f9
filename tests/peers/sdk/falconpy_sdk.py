"""crowdstrike-falconpy, CrowdStrike's own."""

from loopback import drive


def client_credentials(values):
    from falconpy import OAuth2

    answer = OAuth2(client_id=values["client_id"], client_secret=values["client_secret"]).token()
    return answer["body"]["access_token"]


drive(crowdstrike=client_credentials)
