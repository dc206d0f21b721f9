"""ibm-cloud-sdk-core, IBM's own."""

from loopback import drive


def iam(values):
    from ibm_cloud_sdk_core import IAMTokenManager

    return IAMTokenManager(values["api_key"]).request_token()["access_token"]


drive(ibm_cloud_iam=iam)
