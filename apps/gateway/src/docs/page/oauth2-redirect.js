// Hands what the authorization server answered to the tab that asked.
const channel = new BroadcastChannel('docs-oauth2');
channel.addEventListener('message', ({ data }) => {
  if (data === 'taken') window.close();
});
channel.postMessage(location.search);
history.replaceState(null, '', location.pathname);
