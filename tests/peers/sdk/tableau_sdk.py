"""tableauserverclient, Tableau's own."""

from loopback import drive


def personal_access_token(values):
    import tableauserverclient

    server = tableauserverclient.Server(f"https://{values['hostname']}")
    server.version = values.get("version", "3.24")
    auth = tableauserverclient.PersonalAccessTokenAuth(
        values["pat_name"], values["pat_secret"], site_id=values["site"]
    )
    server.auth.sign_in(auth)


drive(tableau_pat=personal_access_token)
