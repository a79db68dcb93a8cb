// A real OpenID Connect provider on loopback, for tests: `node identity_provider.mjs <port> <folder>`.
// <folder>/people.json says who signs on and what is said of them; <folder>/twist.json how its id tokens are spoilt,
// and with which key of <folder>/keys.json they are signed. Both are read for every sign-on, so a test changes them.
import { createHmac, createPrivateKey, createSign } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { Provider } from "oidc-provider";

const [port, folder] = [Number(process.argv[2]), process.argv[3]];
const read = (name) => JSON.parse(readFileSync(join(folder, name), "utf8"));
const issuer = `http://127.0.0.1:${port}`;
const setup = read("setup.json");
let provider;

function made() {
  const one = new Provider(issuer, {
    clients: setup.clients,
    jwks: { keys: read("keys.json") },
    claims: { openid: ["sub"], profile: ["name", "preferred_username", "groups"], email: ["email", "email_verified"] },
    conformIdTokenClaims: read("setup.json").conform,
    features: { devInteractions: { enabled: false }, backchannelLogout: { enabled: true } },
    cookies: { keys: ["only for tests"] },
    pkce: { required: () => true },
    findAccount: (context, sub) => ({
      accountId: sub,
      claims: async () => ({ sub, ...read("people.json")[sub] }),
    }),
    interactions: { url: (context, interaction) => `/sign-on/${interaction.uid}` },
    renderError: (context, out) => { context.body = out; },
  });
  one.proxy = false;
  return one;
}

const b64 = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");

function resigned(token, twist) {
  const [head, body] = token.split(".").slice(0, 2).map((part) => JSON.parse(Buffer.from(part, "base64url")));
  const claims = { ...body, ...twist.claims };
  const header = { ...head, ...twist.header };
  const signed = `${b64(header)}.${b64(claims)}`;
  if (header.alg === "none") return `${signed}.`;
  if (header.alg === "HS256") return `${signed}.${createHmac("sha256", twist.secret).update(signed).digest("base64url")}`;
  const key = createPrivateKey({ key: twist.key, format: "jwk" });
  return `${signed}.${createSign("sha256").update(signed).sign(key).toString("base64url")}`;
}

// Its answer at the token endpoint passes here, so that a test can spoil it as no provider would.
function spoilt(callback) {
  return (request, response) => {
    const twist = read("twist.json");
    if (request.url.startsWith("/sign-on/")) return interaction(request, response);
    if (request.url === "/token" && Object.keys(twist).length) {
      const chunks = [];
      response.write = (chunk) => (chunks.push(Buffer.from(chunk)), true);
      const end = response.end.bind(response);
      response.end = (chunk) => {
        if (chunk) chunks.push(Buffer.from(chunk));
        const answer = JSON.parse(Buffer.concat(chunks).toString());
        if (answer.id_token) answer.id_token = resigned(answer.id_token, twist);
        const text = JSON.stringify(answer);
        response.setHeader("content-length", Buffer.byteLength(text));
        return end(text);
      };
    }
    return callback(request, response);
  };
}

async function interaction(request, response) {
  const { prompt, params } = await provider.interactionDetails(request, response);
  if (read("people.json").nobody) {
    return provider.interactionFinished(request, response, { error: "access_denied" });
  }
  const sub = read("setup.json").signs_on;
  if (prompt.name === "login") {
    return provider.interactionFinished(request, response, { login: { accountId: sub } });
  }
  const grant = new provider.Grant({ accountId: sub, clientId: params.client_id });
  grant.addOIDCScope(params.scope);
  return provider.interactionFinished(request, response, { consent: { grantId: await grant.save() } });
}

function begun() {
  provider = made();
  return spoilt(provider.callback());
}

let handler = begun();
createServer((request, response) => {
  if (request.url === "/test/renew") {
    handler = begun(); // with the keys of now
    return response.end("{}");
  }
  return handler(request, response);
}).listen(port, "127.0.0.1", () => console.log("ready"));
