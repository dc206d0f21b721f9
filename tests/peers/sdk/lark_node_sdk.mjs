// @larksuiteoapi/node-sdk, Feishu's own SDK for Node.js.

import { aside, drive } from './loopback.mjs';

// A client of a store application begins by asking for its ticket once more.
aside['/app_ticket/resend'] = { code: 0 };

function tenant(domain) {
  return async ({ app_id, app_secret }) => {
    const { default: lark } = await import('@larksuiteoapi/node-sdk');
    const client = new lark.Client({ appId: app_id, appSecret: app_secret, domain: lark.Domain[domain] });
    return client.tokenManager.getTenantAccessToken();
  };
}

async function app({ app_id, app_secret }) {
  const { default: lark } = await import('@larksuiteoapi/node-sdk');
  const client = new lark.Client({ appId: app_id, appSecret: app_secret, disableTokenCache: true });
  return (await client.auth.appAccessToken.internal({ data: { app_id, app_secret } })).app_access_token;
}

async function storeApp({ app_id, app_secret, app_ticket }) {
  const { default: lark } = await import('@larksuiteoapi/node-sdk');
  const client = new lark.Client({ appId: app_id, appSecret: app_secret, appType: lark.AppType.ISV, disableTokenCache: true });
  const data = { app_id, app_secret, app_ticket };
  return (await client.auth.appAccessToken.create({ data })).app_access_token;
}

async function storeTenant({ tokens, tenant_key }) {
  const { default: lark } = await import('@larksuiteoapi/node-sdk');
  const client = new lark.Client({ appId: 'example-app', appSecret: '-', appType: lark.AppType.ISV, disableTokenCache: true });
  const data = { app_access_token: tokens.app, tenant_key };
  return (await client.auth.tenantAccessToken.create({ data })).tenant_access_token;
}

drive({
  'feishu-tenant': tenant('Feishu'),
  'lark-tenant': tenant('Lark'),
  'feishu-app': app,
  'feishu-store-app': storeApp,
  'feishu-store-tenant': storeTenant,
});
