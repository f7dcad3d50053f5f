// A web application that signs people in with openid-client, written as the
// library's quick start says, so that the tests know that a stranger's code
// works. It is driven by a test through lines of JSON:
//
//   out {"listening": "http://127.0.0.1:PORT"}
//   in  {"issuer", "client_id", "client_secret", "scope"}
//   out {"authorize": URL}          the test opens it in a browser
//   out {"claims", "userinfo", "tokens", "refreshed"}   after the callback
//   out {"logout": URL}             the test opens it in the same browser
//   out {"loggedOut": {"state"}}    after the browser came back
//
// Anything that goes wrong ends the program with a message and code 1.
import * as client from 'openid-client'
import { createServer } from 'node:http'
import { once } from 'node:events'
import { createInterface } from 'node:readline'

const say = (line) => console.log(JSON.stringify(line))

const server = createServer()
server.listen(0, '127.0.0.1')
await once(server, 'listening')
const origin = `http://127.0.0.1:${server.address().port}`
say({ listening: origin })

const [line] = await once(createInterface({ input: process.stdin }), 'line')
const { issuer, client_id, client_secret, scope } = JSON.parse(line)

// visit resolves with the address of the next request for a path and answers it
// with a page.
function visit(path, title) {
  return new Promise((resolve, reject) => {
    server.on('request', function answer(request, response) {
      const url = new URL(request.url, origin)
      if (url.pathname !== path) {
        response.writeHead(404).end()
        return
      }
      server.off('request', answer)
      response.setHeader('Content-Type', 'text/html; charset=utf-8')
      response.end(`<!doctype html><html lang="en"><title>${title}</title><h1 id="app">${title}</h1>`, () => resolve(url))
    })
    server.on('error', reject)
  })
}

// The quick start: discovery, then the code flow. Plain http is for this
// machine only, and the library wants to be told so.
const config = await client.discovery(new URL(issuer), client_id, client_secret, undefined, {
  execute: [client.allowInsecureRequests],
})
const redirect_uri = `${origin}/callback`
const code_verifier = client.randomPKCECodeVerifier()
const code_challenge = await client.calculatePKCECodeChallenge(code_verifier)
const nonce = client.randomNonce()
const parameters = { redirect_uri, scope, code_challenge, code_challenge_method: 'S256', nonce }
let state
if (!config.serverMetadata().supportsPKCE()) {
  state = client.randomState()
  parameters.state = state
}
const callback = visit('/callback', 'Signed in')
say({ authorize: client.buildAuthorizationUrl(config, parameters).href })

const tokens = await client.authorizationCodeGrant(config, await callback, {
  pkceCodeVerifier: code_verifier,
  expectedState: state,
  expectedNonce: nonce,
  idTokenExpected: true,
})
const { sub } = tokens.claims()
const userinfo = await client.fetchUserInfo(config, tokens.access_token, sub)
const refreshed = await client.refreshTokenGrant(config, tokens.refresh_token)
const again = await client.fetchUserInfo(config, refreshed.access_token, sub)
say({ usedState: state !== undefined, claims: tokens.claims(), userinfo, again, tokens, refreshed })

const logoutState = client.randomState()
const back = visit('/bye', 'Signed out')
say({
  logout: client.buildEndSessionUrl(config, {
    id_token_hint: refreshed.id_token ?? tokens.id_token,
    post_logout_redirect_uri: `${origin}/bye`,
    state: logoutState,
  }).href,
})
const bye = await back
if (bye.searchParams.get('state') !== logoutState) {
  throw new Error(`came back from logout with state ${bye.searchParams.get('state')}`)
}
say({ loggedOut: true })
server.close()
server.closeAllConnections()
process.exit(0)
