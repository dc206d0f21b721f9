"""Looks at what was signed and encrypted with other libraries than the one that made it.

check.py keys   reads {"rsa": PEM, "ec": PEM} (PKCS #8), prints the same keys in the older forms: {"pkcs1", "sec1",
                "rsa_public", "rsa_public_pkcs1"}
check.py        reads a list of cases, prints {name: null, or what differs}. Each case has a name and a kind, one of KINDS.
"""

import base64
import datetime
import hashlib
import json
import sys
import urllib.parse
from unittest import mock

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import botocore.session
import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding
from tencentcloud.common import abstract_client, common_client, credential
from tencentcloud.common.http.request import RequestInternal

SPKI = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


class Differs(Exception):
    """What is not as the library has it."""


def demand(what, wanted, made):
    if wanted != made:
        raise Differs(f"{what}: wanted {wanted!r}, made {made!r}")


def header(request, name):
    found = [value for other, value in request["headers"].items() if other.lower() == name]
    demand(f"header {name}, how many", 1, len(found))
    return found[0]


# ---------------------------------------------------------------- AWS

class Seen(Exception):
    """The request that botocore would send."""


def see(request, **_):
    raise Seen(request)


def aws(case):
    """The request is signed anew by botocore, and says the same as the one that its STS client makes."""
    made, at = case["request"], datetime.datetime.fromtimestamp(case["now"], datetime.timezone.utc)
    keys = botocore.credentials.Credentials(case["access_key_id"], case["secret_access_key"])
    unsigned = {name: value for name, value in made["headers"].items() if name.lower() != "authorization"}
    request = botocore.awsrequest.AWSRequest(
        method=made["method"], url=made["url"], headers=unsigned, data=made["body"].encode()
    )
    with mock.patch.object(botocore.auth, "get_current_datetime", lambda: at):
        botocore.auth.SigV4Auth(keys, "sts", case["region"]).add_auth(request)
    demand("x-amz-date", request.headers["X-Amz-Date"], header(made, "x-amz-date"))
    demand("authorization", request.headers["Authorization"], header(made, "authorization"))

    client = botocore.session.Session().create_client(
        "sts", case["region"], aws_access_key_id=keys.access_key, aws_secret_access_key=keys.secret_key
    )
    client.meta.events.register("before-send", see)
    try:
        client.assume_role(
            RoleArn=case["role_arn"], RoleSessionName=case["session_name"], DurationSeconds=case["duration_seconds"]
        )
    except Seen as seen:
        sent = seen.args[0]
    body = sent.body.decode() if isinstance(sent.body, bytes) else sent.body
    demand("method", sent.method, made["method"])
    demand("url", sent.url, made["url"])
    demand("body", dict(urllib.parse.parse_qsl(body)), dict(urllib.parse.parse_qsl(made["body"])))


# ---------------------------------------------------------------- Tencent Cloud

def tencent(case):
    """The body is signed anew by the SDK, and the SDK's own request for the same call has the same headers."""
    made = case["request"]
    keys = credential.Credential(case["secret_id"], case["secret_key"])
    client = common_client.CommonClient("sts", "2018-08-13", keys, case["region"])
    own = RequestInternal("sts.tencentcloudapi.com", "POST", "/")
    with mock.patch.object(abstract_client.time, "time", lambda: case["now"]):
        client._build_req_with_tc3_signature("GetFederationToken", case["parameters"], own)
    demand("url", f"https://{own.host}{own.uri}", made["url"])
    for name in ("X-TC-Action", "X-TC-Version", "X-TC-Region", "X-TC-Timestamp", "Content-Type"):
        demand(name, own.header[name], header(made, name.lower()))
    demand("parameters", json.loads(own.data), json.loads(made["body"]))

    # The signature is over the body as it was written; the SDK writes JSON with blanks in it.
    own.data = made["body"]
    date = datetime.datetime.fromtimestamp(case["now"], datetime.timezone.utc).strftime("%Y-%m-%d")
    signature = client._get_tc3_signature(case["parameters"], own, date, "sts", case["secret_key"])
    wanted, _, _ = own.header["Authorization"].rpartition("Signature=")
    demand("authorization", wanted + "Signature=" + signature, header(made, "authorization"))


# ---------------------------------------------------------------- keys

UNCHECKED = {f"verify_{name}": False for name in ("exp", "nbf", "iat", "aud", "iss", "sub", "jti")}


def signed_jwt(case):
    """PyJWT verifies the signature; the times are those of the example, not of today."""
    try:
        claims = jwt.decode(case["token"], case["key"], algorithms=[case["alg"]], options=UNCHECKED)
    except jwt.InvalidTokenError as error:
        raise Differs(f"{type(error).__name__}: {error}") from error
    demand("header", case["header"], jwt.get_unverified_header(case["token"]))
    demand("claims", case["claims"], claims)


def verified(case, *how):
    key = serialization.load_pem_public_key(case["public"].encode())
    key.verify(base64.b64decode(case["made"]), case["text"].encode(), *how)


def rsa_sha256(case):
    verified(case, padding.PKCS1v15(), hashes.SHA256())


def rsa_sha512(case):
    verified(case, padding.PKCS1v15(), hashes.SHA512())


def rsa_pss_sha256(case):
    verified(case, padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH), hashes.SHA256())


def ecdsa_sha256(case):
    verified(case, ec.ECDSA(hashes.SHA256()))


def ed25519(case):
    verified(case)


def decrypted(case, scheme):
    key = serialization.load_pem_private_key(case["private"].encode(), None)
    demand("text", case["text"].encode(), key.decrypt(base64.b64decode(case["made"]), scheme))


def rsa_encrypt(case):
    decrypted(case, padding.PKCS1v15())


def rsa_encrypt_oaep(case):
    decrypted(case, padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None))


def rsa_encrypt_oaep_sha1(case):
    decrypted(case, padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None))


def spki_sha256(case):
    pem = case["pem"].encode()
    if b"CERTIFICATE" in pem:
        key = x509.load_pem_x509_certificate(pem).public_key()
    elif b"PRIVATE" in pem:
        key = serialization.load_pem_private_key(pem, None).public_key()
    else:
        key = serialization.load_pem_public_key(pem)
    demand("fingerprint", hashlib.sha256(key.public_bytes(*SPKI)).hexdigest(), case["made"])


KINDS = {"aws": aws, "tencent": tencent, "jwt": signed_jwt, "rsa_sha256": rsa_sha256, "rsa_sha512": rsa_sha512,
         "rsa_pss_sha256": rsa_pss_sha256, "ecdsa_sha256": ecdsa_sha256, "ed25519": ed25519, "rsa_encrypt": rsa_encrypt,
         "rsa_encrypt_oaep": rsa_encrypt_oaep, "rsa_encrypt_oaep_sha1": rsa_encrypt_oaep_sha1,
         "spki_sha256": spki_sha256}


def checked(case):
    try:
        KINDS[case["kind"]](case)
    except Exception as error:  # whatever the library says: a refused signature has many names
        return f"{type(error).__name__}: {error}"
    return None


def older_forms(keys):
    """The same keys in the forms that vendors' consoles hand out."""
    rsa, ec = (serialization.load_pem_private_key(keys[name].encode(), None) for name in ("rsa", "ec"))
    private = (serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption())

    def public(form):
        return rsa.public_key().public_bytes(serialization.Encoding.PEM, form).decode()

    return {"pkcs1": rsa.private_bytes(*private).decode(), "sec1": ec.private_bytes(*private).decode(),
            "rsa_public": public(serialization.PublicFormat.SubjectPublicKeyInfo),
            "rsa_public_pkcs1": public(serialization.PublicFormat.PKCS1)}


def main(arguments):
    document = json.load(sys.stdin)
    if arguments == ["keys"]:
        print(json.dumps(older_forms(document)))
    elif not arguments:
        print(json.dumps({case["name"]: checked(case) for case in document}))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
