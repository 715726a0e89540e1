// A certified identity provider, for tests: people log in by any name, and apps get access tokens
// that are JSON Web Tokens for the audience "feed".
//
//   node provider.mjs PORT KEYS-FILE
//
// KEYS-FILE is a JSON Web Key Set with private keys; the provider signs with the first. It prints a
// line when it listens, and ends with its standard input.

import { readFileSync } from "node:fs";
import { Provider } from "oidc-provider";

const [port, keysFile] = process.argv.slice(2);
const issuer = `http://127.0.0.1:${port}`;
const audience = "feed";
// What an app asks a token for.
const resource = "urn:whimbrel:feed";

const provider = new Provider(issuer, {
  jwks: JSON.parse(readFileSync(keysFile, "utf8")),
  clients: [
    {
      client_id: "app",
      token_endpoint_auth_method: "none",
      redirect_uris: ["http://127.0.0.1/callback"],
      application_type: "native",
    },
    {
      client_id: "backend",
      client_secret: "a secret of the tests alone",
      grant_types: ["client_credentials"],
      redirect_uris: [],
      response_types: [],
    },
  ],
  // Lives as long as the tests of it.
  ttl: { AccessToken: 300, ClientCredentials: 300, Grant: 300, Interaction: 300, Session: 300 },
  features: {
    devInteractions: { enabled: true },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => resource,
      useGrantedResource: () => true,
      getResourceServerInfo: () => ({
        audience,
        scope: "feed:backend",
        accessTokenFormat: "jwt",
        accessTokenTTL: 300,
      }),
    },
  },
  pkce: { required: () => true },
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
});

provider.listen(Number(port), "127.0.0.1", () => console.log(`listens on ${issuer}`));
process.stdin.on("end", () => process.exit(0)).resume();
