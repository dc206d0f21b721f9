"""aliyun-python-sdk-core, Alibaba Cloud's own."""

import json
import os

from loopback import drive


def call(values, region, domain, version, action, more):
    from aliyunsdkcore.client import AcsClient
    from aliyunsdkcore.request import CommonRequest
    from aliyunsdkcore.utils import parameter_helper

    parameter_helper.get_uuid = lambda: values["nonce"]
    client = AcsClient(values["access_key_id"], values["access_key_secret"], region)
    # It brings certificates of its own.
    client.set_verify(os.environ["REQUESTS_CA_BUNDLE"])
    request = CommonRequest()
    request.set_method("POST")
    request.set_protocol_type("https")
    request.set_domain(domain)
    request.set_version(version)
    request.set_action_name(action)
    for name, value in more.items():
        request.add_query_param(name, value)
    return json.loads(client.do_action_with_exception(request))


def nls(values):
    region = values.get("region", "cn-shanghai")
    domain = values.get("host", "nls-meta.cn-shanghai.aliyuncs.com")
    version = values.get("version", "2019-02-28")
    return call(values, region, domain, version, "CreateToken", {})["Token"]["Id"]


def sts(values):
    more = {
        "RoleArn": values["role_arn"],
        "RoleSessionName": values.get("session_name", "token-service"),
        "DurationSeconds": "3600",
    }
    answer = call(values, "cn-hangzhou", "sts.aliyuncs.com", "2015-04-01", "AssumeRole", more)
    return answer["Credentials"]["SecurityToken"]


drive(aliyun_nls=nls, aliyun_sts=sts)
