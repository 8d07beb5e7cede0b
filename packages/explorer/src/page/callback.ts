import { answers, taken } from './channel.ts';

const channel = answers();
channel.addEventListener('message', ({ data }) => {
  if (data === taken) window.close();
});
channel.postMessage(location.search);
// A code is good once, and yet nobody should find it in the history.
history.replaceState(null, '', location.pathname);
