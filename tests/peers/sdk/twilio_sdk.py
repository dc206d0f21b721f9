"""twilio, Twilio's own."""

from loopback import drive


def access_token(values):
    from twilio.jwt.access_token import AccessToken

    token = AccessToken(
        values["account_sid"],
        values["api_key_sid"],
        values["api_key_secret"],
        identity=values["identity"],
        nbf=values["now"],
    )
    return token.to_jwt()


drive(twilio_access_token=access_token)
