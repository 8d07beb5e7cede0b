/** How the window of the sign-in hands its answer to the page that opened it, whose memory has what belongs to it. */
export const answers = () => new BroadcastChannel('explorer-sign-in');

/** Says that an answer is in good hands, so that its window can close. */
export const taken = 'taken';
