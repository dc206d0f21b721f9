// A certified OAuth 2.0 server on a free loopback port, for tests that need more than a scripted answer.
//
//   stdout  one line, {"url":"http://127.0.0.1:PORT"}, once it listens
//   stdin   the server ends when it closes, so it never outlives the test that started it
//   env     TOKEN_TTL_SECONDS, the life of a token (5)
//
//   POST /token                 grant_type=client_credentials
//   POST /token/introspection   token=…
//   GET  /__calls               {"token":N,"introspection":M}, requests so far, refused ones included

import { createServer } from 'node:http';

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

const CONFIGURATION = {
  clients: [
    {
      client_id: 'invented-client',
      client_secret: 'invented-client-secret-not-real-0123456789',
      grant_types: ['client_credentials'],
      token_endpoint_auth_method: 'client_secret_post',
      redirect_uris: [],
      response_types: [],
    },
  ],
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    introspection: {
      enabled: true,
      allowedPolicy: (ctx, client, token) => token.clientId === client.clientId,
    },
  },
  ttl: { ClientCredentials: TTL_SECONDS },
};

const calls = { token: 0, introspection: 0 };
const COUNTED = { '/token': 'token', '/token/introspection': 'introspection' };

async function countCalls(ctx, next) {
  if (ctx.path === '/__calls') {
    ctx.body = calls;
    return;
  }
  const name = COUNTED[ctx.path];
  if (name) calls[name] += 1;
  await next();
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
  provider.use(countCalls);
  provider.use(acceptJson);
  server.on('request', provider.callback());
  console.log(JSON.stringify({ url }));
});

process.stdin.on('close', () => process.exit(0));
process.stdin.on('error', () => process.exit(0));
process.stdin.resume();
