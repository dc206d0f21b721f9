// A certified OAuth 2.0 server on a free loopback port, for tests that need more than a scripted answer.
//
//   stdout  one line, {"url":"http://127.0.0.1:PORT","credentials":{CLIENT:{…}}}, once it listens
//   stdin   the server ends when it closes, so it never outlives the test that started it
//   env     TOKEN_TTL_SECONDS, the life of a token (5)
//
//   POST /token                 grant_type=client_credentials or refresh_token; a refresh token works once
//   POST /token/introspection   token=…, as invented-client
//   POST /__grant?ttl=N         {"refresh_token":…}: somebody has authorised; access tokens of this grant live N seconds
//   GET  /__calls               {"token":N,"introspection":M,"rotated":R,"reused":U,"revoked":V}: requests so far, refused
//                               ones included; refresh tokens spent, spent again, and grants revoked for it

import { createServer } from 'node:http';

import { clients, credentials } from './clients.mjs';

// The library prints its notices while it is loaded, some of them to stdout.
console.info = () => {};
console.warn = () => {};

// The library is made for Node.js 22 and later. This is all that Debian 12's 18 lacks for what is used here.
URL.parse ??= (url, base) => {
  try {
    return new URL(url, base);
  } catch {
    return null;
  }
};

const { Provider } = await import('oidc-provider');

const TTL_SECONDS = Number(process.env.TOKEN_TTL_SECONDS || 5);
if (!Number.isInteger(TTL_SECONDS) || TTL_SECONDS < 1) {
  throw new Error('TOKEN_TTL_SECONDS must be a whole number of seconds, at least 1');
}
const ROTATING = 'invented-rotating';
const SCOPE = 'offline_access';

// Grant → the life of its access tokens.
const lives = new Map();

const CONFIGURATION = {
  clients,
  clientAuthMethods: [
    'client_secret_basic', 'client_secret_post', 'client_secret_jwt', 'private_key_jwt',
  ],
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    introspection: {
      enabled: true,
      allowedPolicy: (ctx, client) => client.clientId === 'invented-client',
    },
  },
  findAccount: (ctx, accountId) => ({ accountId, claims: () => ({ sub: accountId }) }),
  rotateRefreshToken: true,
  ttl: {
    ClientCredentials: TTL_SECONDS,
    AccessToken: (ctx, token) => lives.get(token.grantId) ?? TTL_SECONDS,
    RefreshToken: 3600,
    Grant: 3600,
  },
};

const calls = { token: 0, introspection: 0, rotated: 0, reused: 0, revoked: 0 };
const COUNTED = { '/token': 'token', '/token/introspection': 'introspection' };

// What a person's login at a browser would leave behind.
async function authorise(provider, ttl) {
  const grant = new provider.Grant({ accountId: 'somebody', clientId: ROTATING });
  grant.addOIDCScope(SCOPE);
  const grantId = await grant.save();
  lives.set(grantId, ttl);
  const client = await provider.Client.find(ROTATING);
  const token = new provider.RefreshToken({
    accountId: 'somebody', client, grantId, gty: 'authorization_code', rotations: 0, scope: SCOPE,
  });
  return { refresh_token: await token.save() };
}

function countCalls(provider) {
  provider.on('refresh_token.consumed', () => { calls.rotated += 1; });
  provider.on('grant.revoked', () => { calls.revoked += 1; });
  provider.on('grant.error', (ctx, error) => {
    if (error.error_detail === 'refresh token already used') calls.reused += 1;
  });
  return async (ctx, next) => {
    if (ctx.path === '/__calls') {
      ctx.body = calls;
    } else if (ctx.path === '/__grant') {
      ctx.body = await authorise(provider, Number(ctx.query.ttl));
    } else {
      if (COUNTED[ctx.path]) calls[COUNTED[ctx.path]] += 1;
      await next();
    }
  };
}

// RFC 6749 §4.4.2 wants a form and the library refuses anything else ("only application/x-www-form-urlencoded
// content-type bodies are supported"). Many vendors take JSON, so a JSON body is handed on as if it had been a form:
// the library takes over a body that is already parsed.
async function acceptJson(ctx, next) {
  if (ctx.method === 'POST' && ctx.is('application/json')) {
    const chunks = [];
    for await (const chunk of ctx.req) chunks.push(chunk);
    try {
      ctx.req.body = JSON.parse(Buffer.concat(chunks).toString());
    } catch {
      ctx.status = 400;
      ctx.body = { error: 'invalid_request', error_description: 'the body is not JSON' };
      return;
    }
    ctx.req.headers['content-type'] = 'application/x-www-form-urlencoded';
  }
  await next();
}

// The issuer contains the port, so the port is taken before the provider is made.
const server = createServer();
server.listen(0, '127.0.0.1', () => {
  const url = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(url, CONFIGURATION);
  provider.use(countCalls(provider));
  provider.use(acceptJson);
  server.on('request', provider.callback());
  console.log(JSON.stringify({ url, credentials }));
});

process.stdin.on('close', () => process.exit(0));
process.stdin.on('error', () => process.exit(0));
process.stdin.resume();
