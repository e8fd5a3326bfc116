// A provider of OpenID Connect on loopback, with TLS, whose people are in a file that tests change.
//
// usage: node oidc_provider.mjs MODULE SETTINGS
//   SETTINGS   file with JSON, which tests/support/oidc.py writes

import { readFileSync } from 'node:fs';
import https from 'node:https';
import { pathToFileURL } from 'node:url';

const [module, file] = process.argv.slice(2);
const { default: Provider } = await import(pathToFileURL(module));
const settings = JSON.parse(readFileSync(file));

const provider = new Provider(settings.issuer, {
  clients: settings.clients,
  jwks: settings.jwks,
  cookies: { keys: ['for tests'] },
  claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['preferred_username'] },
  acrValues: ['urn:strong'],
  rotateRefreshToken: true,
  issueRefreshToken: async (_, client) => client.grantTypeAllowed('refresh_token'),
  features: { devInteractions: { enabled: true }, rpInitiatedLogout: { enabled: true } },
  findAccount: (_, id) => {
    const claims = JSON.parse(readFileSync(settings.people))[id];
    return claims && { accountId: id, claims: () => ({ sub: id, ...claims }) };
  },
});

provider.on('server_error', (_, error) => console.error(error));

const tls = { cert: readFileSync(settings.certificate), key: readFileSync(settings.key) };
https.createServer(tls, provider.callback()).listen(settings.port, '127.0.0.1', () => {
  console.log('ready');
});
