"""doudian. It sends the local time, which the vendor wants to be that of China."""

import os
import time

from loopback import drive


def own(values):
    os.environ["TZ"] = "Asia/Shanghai"
    time.tzset()
    from doudian import DouDian

    client = DouDian(values["app_key"], values["app_secret"], shop_id=values["shop_id"])
    return client._token["access_token"]


drive(doudian_self=own)
