"""tweepy."""

from loopback import drive


def app_only(values):
    import tweepy

    return tweepy.OAuth2AppHandler(values["client_id"], values["client_secret"])._bearer_token


drive(x_app_only=app_only)
