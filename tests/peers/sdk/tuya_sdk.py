"""tuya-connector-python, Tuya's own."""

from loopback import drive


def cloud(values):
    from tuya_connector import TuyaOpenAPI

    client = TuyaOpenAPI("https://openapi.tuyacn.com", values["client_id"], values["secret"])
    return client.connect()["result"]["access_token"]


drive(tuya=cloud)
