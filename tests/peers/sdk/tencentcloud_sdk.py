"""tencentcloud-sdk-python-sts, Tencent Cloud's own."""

from loopback import drive


def federation_token(values):
    from urllib.parse import quote

    from tencentcloud.common.credential import Credential
    from tencentcloud.sts.v20180813 import models, sts_client

    client = sts_client.StsClient(Credential(values["secret_id"], values["secret_key"]), "ap-guangzhou")
    request = models.GetFederationTokenRequest()
    request.Name = values["session_name"]
    request.Policy = quote(values["access_policy"], safe="")
    request.DurationSeconds = 1800
    return client.GetFederationToken(request).Credentials.Token


drive(tencentcloud_sts=federation_token)
