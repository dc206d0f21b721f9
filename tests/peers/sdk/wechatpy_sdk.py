"""wechatpy, the widely used SDK for WeChat; WeCom is called enterprise in its stable releases."""

from loopback import drive


def official_account(values):
    import wechatpy

    return wechatpy.WeChatClient(values["appid"], values["secret"]).fetch_access_token()["access_token"]


def wecom(values):
    import wechatpy.enterprise

    client = wechatpy.enterprise.WeChatClient(values["corpid"], values["corpsecret"])
    return client.fetch_access_token()["access_token"]


def component(values):
    from wechatpy.component import WeChatComponent

    name, secret = values["component_appid"], values["component_appsecret"]
    component = WeChatComponent(name, secret, component_token="t", encoding_aes_key="a" * 43)
    component.session.set("component_verify_ticket", values["component_verify_ticket"])
    return component.fetch_access_token()["component_access_token"]


def authorizer(values):
    from wechatpy.component import WeChatComponent

    name = values["component_appid"]
    component = WeChatComponent(name, "-", component_token="t", encoding_aes_key="a" * 43)
    component.session.set("component_access_token", values["tokens"]["component"])
    refreshed = component.refresh_authorizer_token(
        values["authorizer_appid"], values["authorizer_refresh_token"]
    )
    return refreshed["authorizer_access_token"]


def ticket(kind):
    def fetch(values):
        import wechatpy

        client = wechatpy.WeChatClient("example-appid", "-", access_token=values["tokens"]["base"])
        return client.jsapi.get_ticket(kind)["ticket"]

    return fetch


def wecom_ticket(values):
    import wechatpy.enterprise

    client = wechatpy.enterprise.WeChatClient("example-corpid", "-", access_token=values["tokens"]["base"])
    return client.jsapi.get_ticket()["ticket"]


drive(
    wechat_official_account=official_account,
    wecom_corp=wecom,
    wechat_open_component=component,
    wechat_open_authorizer=authorizer,
    wechat_jsapi_ticket=ticket("jsapi"),
    wechat_card_ticket=ticket("wx_card"),
    wecom_jsapi_ticket=wecom_ticket,
)
