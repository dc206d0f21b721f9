"""prawcore, the lower half of PRAW."""

from loopback import drive


def client_credentials(values):
    import prawcore

    requestor = prawcore.Requestor(user_agent=values["user_agent"])
    authenticator = prawcore.TrustedAuthenticator(
        requestor=requestor, client_id=values["client_id"], client_secret=values["client_secret"]
    )
    authorizer = prawcore.ReadOnlyAuthorizer(authenticator=authenticator)
    authorizer.refresh()
    return authorizer.access_token


drive(reddit=client_credentials)
