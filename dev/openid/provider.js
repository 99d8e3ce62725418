// An OpenID provider for tests, on the certified implementation of npm's `oidc-provider`.
//
//   node provider.js CLIENT_ID CLIENT_SECRET REDIRECT_URI...
//
// It prints its issuer once it listens, and ends when its standard input does. `POST /account` with a JSON object says
// who signs in from then on: nobody is shown a page, and everybody agrees to everything. Its tokens are real ones.

import { createServer } from "node:http";
import { Provider } from "oidc-provider";

const [clientId, clientSecret, ...redirectUris] = process.argv.slice(2);
const accounts = new Map();
let current = { sub: "nobody" };

const server = createServer();
server.listen(0, "127.0.0.1", () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: [{ client_id: clientId, client_secret: clientSecret, redirect_uris: redirectUris }],
    claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["name"] },
    pkce: { required: () => true },
    cookies: { keys: ["for tests only"] },
    features: { devInteractions: { enabled: false } },
    interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
    findAccount: (_, id) => ({ accountId: id, claims: () => accounts.get(id) }),
    async loadExistingGrant(ctx) {
      const grant = new ctx.oidc.provider.Grant({
        clientId: ctx.oidc.client.clientId,
        accountId: ctx.oidc.session.accountId,
      });
      grant.addOIDCScope("openid email profile");
      await grant.save();
      return grant;
    },
  });
  provider.use(async (ctx, next) => {
    if (ctx.path === "/account") {
      const parts = [];
      for await (const part of ctx.req) parts.push(part);
      current = JSON.parse(Buffer.concat(parts));
      accounts.set(current.sub, current);
      ctx.status = 204;
    } else if (ctx.path.startsWith("/interaction/")) {
      await provider.interactionFinished(ctx.req, ctx.res, { login: { accountId: current.sub } });
      ctx.respond = false;
    } else {
      await next();
    }
  });
  server.on("request", provider.callback());
  console.log(issuer);
});
process.stdin.resume();
process.stdin.on("end", () => process.exit(0));
