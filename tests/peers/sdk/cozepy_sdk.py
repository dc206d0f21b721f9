"""cozepy, Coze's own."""

from loopback import drive


def jwt(values):
    from cozepy import COZE_CN_BASE_URL, JWTOAuthApp

    app = JWTOAuthApp(values["app_id"], values["private_key"], values["key_id"], base_url=COZE_CN_BASE_URL)
    return app.get_access_token(ttl=86399).access_token


drive(coze_jwt=jwt)
