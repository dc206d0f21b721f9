"""PyGithub."""

from loopback import drive


def installation(values):
    import github

    app = github.Auth.AppAuth(values["app_id"], values["private_key"])
    integration = github.GithubIntegration(auth=app)
    return integration.get_access_token(int(values["installation_id"])).token


drive(github_app_installation=installation)
