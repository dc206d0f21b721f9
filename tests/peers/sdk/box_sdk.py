"""box-sdk-gen, Box's own."""

from loopback import drive


def jwt(values):
    from box_sdk_gen import BoxJWTAuth, JWTConfig
    from box_sdk_gen.internal.utils import PrivateKeyDecryptor
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    class Plain(PrivateKeyDecryptor):
        """Box hands out encrypted keys; ours is stored decrypted."""

        def decrypt_private_key(self, encryptedPrivateKey, passphrase):
            return load_pem_private_key(encryptedPrivateKey.encode(), password=None)

    config = JWTConfig(
        client_id=values["client_id"],
        client_secret=values["client_secret"],
        jwt_key_id=values["public_key_id"],
        private_key=values["private_key"],
        private_key_passphrase="",
        private_key_decryptor=Plain(),
        enterprise_id=values["enterprise_id"],
    )
    return BoxJWTAuth(config=config).refresh_token().access_token


def client_credentials(values):
    from box_sdk_gen import BoxCCGAuth, CCGConfig

    config = CCGConfig(
        client_id=values["client_id"],
        client_secret=values["client_secret"],
        enterprise_id=values["enterprise_id"],
    )
    return BoxCCGAuth(config=config).refresh_token().access_token


drive(box_jwt=jwt, box_client_credentials=client_credentials)
