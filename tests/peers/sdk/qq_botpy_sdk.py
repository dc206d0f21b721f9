"""qq-botpy, QQ's own."""

import asyncio

from loopback import drive


def app(values):
    from botpy.robot import Token

    token = Token(values["app_id"], values["client_secret"])
    asyncio.run(token.check_token())
    return token.access_token


drive(qq_bot=app)
