import { answers, taken } from './channel.ts';

const channel = answers();
channel.addEventListener('message', ({ data }) => {
  if (data !== taken) return;
  clearTimeout(unanswered);
  window.close();
});
channel.postMessage(location.search);
// The explorer was loaded again or closed, or the sign-in was given up.
const unanswered = setTimeout(() => {
  const [title, text] = document.querySelectorAll('main > *');
  title?.replaceChildren('Nobody waits for this answer');
  text?.replaceChildren(
    'The sign-in was given up, or the explorer was loaded again. Close this window and sign in once more.',
  );
}, 3000);
// A code is good once, and yet nobody should find it in the history.
history.replaceState(null, '', location.pathname);
