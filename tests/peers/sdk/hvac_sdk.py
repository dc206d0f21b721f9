"""hvac, for HashiCorp Vault."""

from loopback import drive


def approle(values):
    import hvac

    client = hvac.Client(url=values["base_url"], namespace=values.get("namespace"))
    answer = client.auth.approle.login(values["role_id"], values["secret_id"])
    return answer["auth"]["client_token"]


drive(vault_approle=approle)
