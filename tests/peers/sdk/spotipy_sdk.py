"""spotipy."""

from loopback import drive


def client_credentials(values):
    from spotipy.cache_handler import MemoryCacheHandler
    from spotipy.oauth2 import SpotifyClientCredentials

    manager = SpotifyClientCredentials(
        values["client_id"], values["client_secret"], cache_handler=MemoryCacheHandler()
    )
    return manager.get_access_token(as_dict=False)


drive(spotify=client_credentials)
