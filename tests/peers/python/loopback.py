"""Sends what wechatpy would send to Tencent to a loopback server instead.

wechatpy writes the hosts of its token endpoints out in full, so they cannot be configured. The requests are turned round
below it, at the point where they leave: method, path, query, headers and body remain its own.
"""

from urllib.parse import urlsplit, urlunsplit

from requests.adapters import HTTPAdapter

TIMEOUT_SECONDS = 10


class LoopbackAdapter(HTTPAdapter):
    """Replaces scheme and host of every request by those of `base_url`."""

    def __init__(self, base_url):
        super().__init__()
        self._base = urlsplit(base_url)

    def send(self, request, **options):
        request.url = urlunsplit(
            urlsplit(request.url)._replace(scheme=self._base.scheme, netloc=self._base.netloc)
        )
        options["timeout"] = options.get("timeout") or TIMEOUT_SECONDS
        return super().send(request, **options)


def turn_round(client, base_url):
    """Returns the wechatpy client, all its requests now going to `base_url`."""
    session = client._http
    session.trust_env = False  # no proxy and no .netrc of the caller
    session.mount("https://", LoopbackAdapter(base_url))
    return client
