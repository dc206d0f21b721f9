"""aioapns, for Apple's push service."""

from loopback import drive


def provider_token(values):
    from aioapns.connection import JWTAuthorizationHeaderProvider

    provider = JWTAuthorizationHeaderProvider(
        key=values["private_key"], key_id=values["key_id"], team_id=values["team_id"]
    )
    return provider.get_header().removeprefix("bearer ")


drive(apns=provider_token)
