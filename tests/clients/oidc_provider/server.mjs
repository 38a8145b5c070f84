// An OpenID Provider of others: `oidc-provider`, certified by the OpenID Foundation, with the accounts of these tests.
//
//   node server.mjs PORT KEYS.json     prints "ready URL"; port 0 for any that is free
//
// KEYS.json is the private key set. Access tokens for the resource `api://galerie` are JWTs. Whoever types a name at the
// sign-in page is that account; its groups are what is behind the name's plus signs: `ada+readers@example.com`.
import { createServer } from "node:http";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [port, keys] = process.argv.slice(2);
// The package is installed elsewhere than this file.
const installed = createRequire(`${process.env.OIDC_ISSUER_MODULES}/package.json`);
const { Provider } = await import(pathToFileURL(installed.resolve("oidc-provider")).href);

const algorithm = process.env.OIDC_ISSUER_ALGORITHM ?? "RS256";
const groupsOf = (account) => account.split("@")[0].split("+").slice(1);

const configuration = {
  jwks: JSON.parse(readFileSync(keys, "utf8")),
  clients: [
    {
      client_id: "web",
      token_endpoint_auth_method: "none",
      application_type: "native",
      grant_types: ["authorization_code"],
      redirect_uris: ["http://127.0.0.1/callback"],
      response_types: ["code"],
      id_token_signed_response_alg: algorithm,
    },
    {
      client_id: "nightly",
      client_secret: "nightly-secret-of-no-worth",
      id_token_signed_response_alg: algorithm,
      grant_types: ["client_credentials"],
      redirect_uris: [],
      response_types: [],
    },
  ],
  pkce: { required: () => true, methods: ["S256"] },
  claims: { openid: ["sub"], profile: ["preferred_username", "name"] },
  findAccount: (_, account) => ({ accountId: account, claims: () => ({ sub: account, name: account }) }),
  extraTokenClaims: (_, token) =>
    token.accountId ? { preferred_username: token.accountId, name: token.accountId, groups: groupsOf(token.accountId) } : {},
  features: {
    devInteractions: { enabled: true },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => "api://galerie",
      useGrantedResource: () => true,
      getResourceServerInfo: (_, resource) => ({
        audience: resource,
        scope: "use",
        accessTokenFormat: "jwt",
        accessTokenTTL: 600,
        jwt: { sign: { alg: algorithm } },
      }),
    },
  },
  ttl: { AccessToken: 600, AuthorizationCode: 60, IdToken: 600, Interaction: 600, Session: 600, Grant: 600 },
  cookies: { keys: ["of-no-worth"] },
};

const server = createServer();
server.listen(Number(port), "127.0.0.1", () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, configuration);
  server.on("request", provider.callback());
  console.log(`ready ${issuer}`);
});
