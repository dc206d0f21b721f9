"""lark-oapi, Feishu's own SDK."""

from loopback import drive


def config_of(values, domain="https://open.feishu.cn"):
    import lark_oapi as lark

    builder = lark.Client.builder().app_id(values["app_id"]).app_secret(values["app_secret"])
    return builder.domain(domain).build()._config


def tenant(domain):
    def fetch(values):
        from lark_oapi.core.token.manager import TokenManager

        return TokenManager.get_self_tenant_token(config_of(values, domain))

    return fetch


def app(values):
    from lark_oapi.core.token.manager import TokenManager

    return TokenManager.get_self_app_token(config_of(values))


def store_app(values):
    from lark_oapi.core.token.manager import TokenManager

    return TokenManager.get_isv_app_token(config_of(values), values["app_ticket"])


def store_tenant(values):
    from lark_oapi.core.token.manager import TokenManager

    config = config_of({"app_id": "example-app", "app_secret": "-"})
    TokenManager.cache.set("isv_app_token:example-app", values["tokens"]["app"], 2**40)
    return TokenManager.get_isv_tenant_token(config, values["tenant_key"], "-")


drive(
    feishu_tenant=tenant("https://open.feishu.cn"),
    lark_tenant=tenant("https://open.larksuite.com"),
    feishu_app=app,
    feishu_store_app=store_app,
    feishu_store_tenant=store_tenant,
)
