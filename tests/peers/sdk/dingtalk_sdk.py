"""alibabacloud_dingtalk, DingTalk's own SDK."""

from loopback import drive


def client():
    from alibabacloud_dingtalk.oauth2_1_0.client import Client
    from alibabacloud_tea_openapi import models

    return Client(models.Config(protocol="https", region_id="central"))


def app(values):
    from alibabacloud_dingtalk.oauth2_1_0 import models

    request = models.GetAccessTokenRequest(app_key=values["app_key"], app_secret=values["app_secret"])
    return client().get_access_token(request).body.access_token


def corp(values):
    from alibabacloud_dingtalk.oauth2_1_0 import models

    request = models.GetCorpAccessTokenRequest(
        suite_key=values["suite_key"],
        suite_secret=values["suite_secret"],
        auth_corp_id=values["auth_corp_id"],
        suite_ticket=values["suite_ticket"],
    )
    return client().get_corp_access_token(request).body.access_token


def corp_oauth2(values):
    from alibabacloud_dingtalk.oauth2_1_0 import models

    request = models.GetTokenRequest(
        client_id=values["client_id"], client_secret=values["client_secret"], grant_type="client_credentials"
    )
    return client().get_token(values["corp_id"], request).body.access_token


def user(values):
    from alibabacloud_dingtalk.oauth2_1_0 import models

    request = models.GetUserTokenRequest(
        client_id=values["client_id"],
        client_secret=values["client_secret"],
        refresh_token=values["refresh_token"],
        grant_type="refresh_token",
    )
    return client().get_user_token(request).body.access_token


drive(dingtalk_app=app, dingtalk_corp=corp, dingtalk_corp_oauth2=corp_oauth2, dingtalk_user=user)
