"""tls-sig-api-v2, Tencent's own."""

from loopback import drive


def usersig(values):
    from TLSSigAPIv2 import TLSSigAPIv2

    return TLSSigAPIv2(int(values["sdk_app_id"]), values["secret_key"]).gen_sig(values["user_id"], 86400)


drive(tencent_im_usersig=usersig)
