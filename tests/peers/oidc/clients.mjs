// The clients of the peer: one for each way to prove who it is, and one whose refresh tokens work once.
//
// Keys are made anew with each start; the private ones are printed for the test.

import { generateKeyPairSync } from 'node:crypto';

const CLIENT_CREDENTIALS = {
  grant_types: ['client_credentials'],
  redirect_uris: [],
  response_types: [],
};

// Every printable character that a form or a URL would take for something else.
const AWKWARD_SECRET = 'invented: +%2B/?&=#;,*~\'"(){}[]<>|\\^`$@! not-real';

const makeRsa = () => generateKeyPairSync('rsa', { modulusLength: 2048 });
const makeEc = () => generateKeyPairSync('ec', { namedCurve: 'P-256' });
const [rsa, ec] = [makeRsa(), makeEc()];

const registered = (pair, kid) => ({ ...pair.publicKey.export({ format: 'jwk' }), kid, use: 'sig' });
const pem = (pair, type) => pair.privateKey.export({ format: 'pem', type });

export const clients = [
  {
    ...CLIENT_CREDENTIALS,
    client_id: 'invented-client',
    client_secret: 'invented-client-secret-not-real-0123456789',
    token_endpoint_auth_method: 'client_secret_post',
  },
  {
    ...CLIENT_CREDENTIALS,
    client_id: 'invented client+basic:%/~',
    client_secret: AWKWARD_SECRET,
    token_endpoint_auth_method: 'client_secret_basic',
  },
  {
    ...CLIENT_CREDENTIALS,
    client_id: 'invented-post',
    client_secret: AWKWARD_SECRET,
    token_endpoint_auth_method: 'client_secret_post',
  },
  {
    ...CLIENT_CREDENTIALS,
    client_id: 'invented-secret-jwt',
    client_secret: AWKWARD_SECRET,
    token_endpoint_auth_method: 'client_secret_jwt',
  },
  {
    ...CLIENT_CREDENTIALS,
    client_id: 'invented-rs256',
    token_endpoint_auth_method: 'private_key_jwt',
    token_endpoint_auth_signing_alg: 'RS256',
    jwks: { keys: [registered(rsa, 'rsa-1')] },
  },
  {
    ...CLIENT_CREDENTIALS,
    client_id: 'invented-es256',
    token_endpoint_auth_method: 'private_key_jwt',
    token_endpoint_auth_signing_alg: 'ES256',
    jwks: { keys: [registered(ec, 'ec-1')] },
  },
  {
    client_id: 'invented-rotating',
    client_secret: 'invented-rotating-secret-not-real-0123456789',
    grant_types: ['authorization_code', 'refresh_token'],
    redirect_uris: ['https://app.invented.example/callback'],
    token_endpoint_auth_method: 'client_secret_basic',
  },
];

// What a test stores as the credentials of each, and with `wrong_key` what it must not be let in with.
export const credentials = Object.fromEntries(
  clients.map(({ client_id, client_secret }) => [client_id, { client_id, client_secret }]),
);
Object.assign(credentials['invented-rs256'], {
  private_key: pem(rsa, 'pkcs8'),
  key_id: 'rsa-1',
  wrong_key: pem(makeRsa(), 'pkcs8'),
});
// As `openssl ecparam -genkey` writes it.
Object.assign(credentials['invented-es256'], { private_key: pem(ec, 'sec1'), wrong_key: pem(makeEc(), 'sec1') });
