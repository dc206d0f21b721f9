"""azure-identity, Microsoft's own."""

from loopback import Recorder, drive


def workload(values):
    from azure.identity import WorkloadIdentityCredential

    with open("token", "w") as file:
        file.write(values["federated_token"])
    host = f"https://login.microsoftonline.com/{values['tenant_id']}"
    Recorder.aside["/.well-known/openid-configuration"] = {
        "issuer": f"{host}/v2.0",
        "authorization_endpoint": f"{host}/oauth2/v2.0/authorize",
        "token_endpoint": f"{host}/oauth2/v2.0/token",
    }
    credential = WorkloadIdentityCredential(
        tenant_id=values["tenant_id"],
        client_id=values["client_id"],
        token_file_path="token",
        disable_instance_discovery=True,
    )
    return credential.get_token("https://graph.microsoft.com/.default").token


drive(entra_federated=workload)
