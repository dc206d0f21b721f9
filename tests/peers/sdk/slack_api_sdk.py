"""slack-sdk, Slack's own."""

from loopback import drive


def rotate(values):
    from slack_sdk import WebClient

    answer = WebClient().oauth_v2_access(
        client_id=values["client_id"],
        client_secret=values["client_secret"],
        grant_type="refresh_token",
        refresh_token=values["refresh_token"],
    )
    return answer["access_token"]


drive(slack=rotate)
