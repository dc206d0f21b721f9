"""wechatpy_api_call.py BASE_URL TOKEN: calls one API of BASE_URL with a token obtained elsewhere.

This is how an application uses wechatpy beside token-server: it hands the token in and never fetches one. Prints the
answer, a list of addresses; ends with an error when the answer is one, for instance when the token is refused.
"""

import json
import sys

import wechatpy

from loopback import turn_round


def main(base_url, token):
    # With auto_retry, wechatpy would meet a refused token by fetching a new one itself.
    client = wechatpy.WeChatClient(
        appid="wx-invented-appid", secret=None, access_token=token, auto_retry=False
    )
    addresses = turn_round(client, base_url).misc.get_wechat_ips()
    if not isinstance(addresses, list):
        sys.exit(f"not an answer of this API: {addresses!r}")
    print(json.dumps(addresses))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: wechatpy_api_call.py BASE_URL TOKEN")
    main(sys.argv[1], sys.argv[2])
