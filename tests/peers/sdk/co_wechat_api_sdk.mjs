// co-wechat-api, the widely used SDK for WeChat in Node.js.

import { drive } from './loopback.mjs';

async function officialAccount({ appid, secret }) {
  const { default: WeChatAPI } = await import('co-wechat-api');
  return (await new WeChatAPI(appid, secret).getAccessToken()).accessToken;
}

function ticket(kind) {
  return async ({ tokens }) => {
    const { default: WeChatAPI } = await import('co-wechat-api');
    const held = { accessToken: tokens.base, expireTime: Date.now() + 60_000 };
    return (await new WeChatAPI('example-appid', '-', async () => held).getTicket(kind)).ticket;
  };
}

drive({
  'wechat-official-account': officialAccount,
  'wechat-jsapi-ticket': ticket('jsapi'),
  'wechat-card-ticket': ticket('wx_card'),
});
