"""keystoneauth1, OpenStack's own."""

from loopback import drive


def token(auth):
    from keystoneauth1 import session

    return session.Session(auth=auth).get_token()


def password(values):
    from keystoneauth1.identity import v3

    return token(
        v3.Password(
            auth_url=f"{values['base_url']}/v3",
            username=values["username"],
            password=values["password"],
            user_domain_name="Default",
            project_name=values["project"],
            project_domain_name="Default",
            include_catalog=False,
        )
    )


def application_credential(values):
    from keystoneauth1.identity import v3

    return token(
        v3.ApplicationCredential(
            auth_url=f"{values['base_url']}/v3",
            application_credential_id=values["credential_id"],
            application_credential_secret=values["credential_secret"],
            include_catalog=False,
        )
    )


drive(openstack_keystone=password, openstack_application_credential=application_credential)
