"""hubspot-api-client, HubSpot's own."""

from loopback import drive


def refresh(values):
    from hubspot.oauth import ApiClient, TokensApi

    answer = TokensApi(ApiClient()).create(
        grant_type="refresh_token",
        client_id=values["client_id"],
        client_secret=values["client_secret"],
        refresh_token=values["refresh_token"],
    )
    return answer.access_token


drive(hubspot=refresh)
