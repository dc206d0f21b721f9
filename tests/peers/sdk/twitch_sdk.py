"""twitchAPI."""

import asyncio

from loopback import drive


async def authenticate(values):
    from twitchAPI.twitch import Twitch

    client = await Twitch(values["client_id"], values["client_secret"])
    token = client.get_app_token()
    await client.close()
    return token


def client_credentials(values):
    return asyncio.run(authenticate(values))


drive(twitch=client_credentials)
