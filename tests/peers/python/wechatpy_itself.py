"""wechatpy_itself.py BASE_URL APPID SECRET CORPID CORPSECRET: wechatpy fetches its own tokens from BASE_URL and uses them.

Prints {"official_account": [IP, …], "wecom": {the user}}. Ends with an error when wechatpy sees one.
"""

import json
import sys

import wechatpy
import wechatpy.enterprise

from loopback import turn_round


def main(base_url, appid, secret, corpid, corpsecret):
    official_account = turn_round(wechatpy.WeChatClient(appid, secret, auto_retry=False), base_url)
    wecom = turn_round(wechatpy.enterprise.WeChatClient(corpid, corpsecret, auto_retry=False), base_url)
    answers = {
        "official_account": official_account.misc.get_wechat_ips(),
        "wecom": wecom.user.get("someone"),
    }
    print(json.dumps(answers))


if __name__ == "__main__":
    if len(sys.argv) != 6:
        sys.exit("usage: wechatpy_itself.py BASE_URL APPID SECRET CORPID CORPSECRET")
    main(*sys.argv[1:])
