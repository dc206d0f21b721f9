"""qiniu, Qiniu's own."""

from loopback import drive


def upload(values):
    from qiniu import Auth

    return Auth(values["access_key"], values["secret_key"]).upload_token(values["bucket"])


drive(qiniu_upload=upload)
