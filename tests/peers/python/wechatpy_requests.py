"""wechatpy_requests.py BASE_URL: asks BASE_URL for tokens, as wechatpy asks Tencent.

Prints {"official_account": …, "wecom": …}, the two answers as wechatpy understood them. Ends with an error when one of
them is an error to wechatpy.
"""

import json
import sys

import wechatpy
import wechatpy.enterprise  # WeCom; called wechatpy.work from 2.0 on, which was never released as stable

from loopback import turn_round


def main(base_url):
    official_account = turn_round(
        wechatpy.WeChatClient(appid="wx-invented-appid", secret="invented-secret-01"), base_url
    )
    wecom = turn_round(
        wechatpy.enterprise.WeChatClient(corp_id="ww-invented-corp", secret="invented-secret-02"), base_url
    )
    answers = {
        "official_account": official_account.fetch_access_token(),
        "wecom": wecom.fetch_access_token(),
    }
    print(json.dumps(answers))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: wechatpy_requests.py BASE_URL")
    main(sys.argv[1])
