const isDark = matchMedia('(prefers-color-scheme: dark)');
const followScheme = () => document.documentElement.classList.toggle('dark-mode', isDark.matches);
followScheme();
isDark.addEventListener('change', followScheme);

const ui = window.SwaggerUIBundle({
  url: '/openapi.json',
  dom_id: '#swagger-ui',
  deepLinking: true,
  oauth2RedirectUrl: `${location.origin}/docs/oauth2-redirect.html`,
  // A token lives as long as the page.
  persistAuthorization: false,
  validatorUrl: null,
});
ui.initOAuth({
  clientId: 'docs',
  usePkceWithAuthorizationCodeGrant: true,
  scopes: 'profile:read items:read',
});

// The pages of the authorization server cut the tie between a window and the one that opened it, so Swagger UI's own
// redirect page would not find this one.
const channel = new BroadcastChannel('docs-oauth2');
channel.addEventListener('message', ({ data }) => {
  const answer = new URLSearchParams(data);
  const request = window.swaggerUIRedirectOauth2;
  // The answer may be for another tab, or forged.
  if (!request || answer.get('state') !== request.state || answer.get('iss') !== location.origin) return;
  delete window.swaggerUIRedirectOauth2;
  channel.postMessage('taken');
  const { auth, redirectUrl, callback, errCb } = request;
  const code = answer.get('code');
  if (code) callback({ auth: { ...auth, code }, redirectUrl });
  else {
    const message = answer.get('error_description') ?? answer.get('error');
    errCb({ authId: auth.name, source: 'auth', level: 'error', message });
  }
});
