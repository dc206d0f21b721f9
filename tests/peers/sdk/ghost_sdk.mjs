// @tryghost/admin-api, Ghost's own.

import { drive } from './loopback.mjs';

async function admin({ admin_api_key }) {
  const { default: GhostAdminAPI } = await import('@tryghost/admin-api');
  let authorization;
  const api = new GhostAdminAPI({
    url: 'https://blog.example.com',
    key: admin_api_key,
    version: 'v5.0',
    async makeRequest({ headers }) {
      authorization = headers.Authorization;
      return { data: { posts: [] } };
    },
  });
  await api.posts.browse();
  return authorization.replace(/^Ghost /, '');
}

drive({ 'ghost-admin': admin });
