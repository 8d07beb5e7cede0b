/** One of a stream of server-sent events (HTML, 9.2). */
export interface StreamedEvent {
  event: string;
  data: unknown;
}

interface Follower {
  /** The access token, asked for each time; undefined ends it all. */
  token(): string | undefined;
  /** The token was not taken. */
  refused(): Promise<void>;
  /** The stream is there; when this fails, it is asked for again. */
  opened(): Promise<void>;
  event(event: StreamedEvent): void;
  /** There is no stream right now. */
  broken(): void;
}

/**
 * Follows a stream with an access token, which an EventSource could not send, and asks again when it ends.
 * @returns why it is over, when the answer was a no
 */
export async function followEvents(path: string, follower: Follower, leaving: AbortSignal): Promise<string> {
  let lastId = '';
  for (;;) {
    const token = follower.token();
    if (token === undefined || leaving.aborted) return '';
    try {
      const headers = { Authorization: `Bearer ${token}`, ...(lastId && { 'Last-Event-ID': lastId }) };
      const response = await fetch(path, { headers, credentials: 'omit', signal: leaving });
      if (response.status === 403) return `The answer was ${response.status}.`;
      if (response.status === 401) await follower.refused();
      if (!response.ok || !response.body) follower.broken();
      else {
        await follower.opened();
        for await (const block of blocksOf(response.body)) {
          const fields = fieldsOf(block);
          if (fields.data === undefined) continue;
          lastId = fields.id ?? lastId;
          follower.event({ event: fields.event ?? 'message', data: JSON.parse(fields.data) });
        }
      }
    } catch {
      // A stream that breaks off is gone on with, like one that ends.
      if (!leaving.aborted) follower.broken();
    }
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
}

async function* blocksOf(body: ReadableStream<BufferSource>): AsyncGenerator<string> {
  let rest = '';
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    const blocks = (rest + part.value).split('\n\n');
    rest = blocks.pop() ?? '';
    yield* blocks;
  }
}

function fieldsOf(block: string): Record<string, string> {
  const pairs = block
    .split('\n')
    .map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 2)]);
  return Object.fromEntries(pairs);
}
