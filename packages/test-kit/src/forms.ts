/** A form that posts, as all of ours do. */
export interface Form {
  action: string;
  fields: Readonly<Record<string, string>>;
  /** The submit buttons by their text, with what pressing one sends. */
  buttons: Readonly<Record<string, Button>>;
}

interface Button {
  action: string;
  fields: Readonly<Record<string, string>>;
}

interface Control {
  tag: string | undefined;
  attributes: Record<string, string>;
  label: string;
  at: number;
}

/** The forms of a page as a browser would send them, of the markup that we write ourselves. */
export function readForms(text: string, page: URL): Form[] {
  const controls: Control[] = [...text.matchAll(/<(input|button)\b([^>]*)>(?:([^<]*)<\/button>)?/g)].map(
    (found) => ({
      tag: found[1],
      attributes: readAttributes(found[2] ?? ''),
      label: decode(found[3]?.trim() ?? ''),
      at: found.index,
    }),
  );
  return [...text.matchAll(/<form\b([^>]*)>.*?<\/form>/gs)].map((found) => {
    const { id, action = page.href } = readAttributes(found[1] ?? '');
    const isInside = (at: number) => at > found.index && at < found.index + found[0].length;
    // A control may stand outside and name its form.
    const own = controls.filter((control) =>
      control.attributes.form === undefined ? isInside(control.at) : control.attributes.form === id,
    );
    return {
      action: new URL(action, page).href,
      fields: Object.assign({}, ...own.filter(({ tag }) => tag === 'input').map(sent)),
      buttons: Object.fromEntries(
        own
          .filter(({ tag }) => tag === 'button')
          .map((button) => {
            const target = new URL(button.attributes.formaction ?? action, page).href;
            return [button.label, { action: target, fields: sent(button) }];
          }),
      ),
    };
  });
}

function sent({ attributes: { name, value = '' } }: Control): Record<string, string> {
  return name === undefined ? {} : { [name]: value };
}

function readAttributes(tag: string): Record<string, string> {
  const found = tag.matchAll(/([\w-]+)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'))?/g);
  return Object.fromEntries(
    [...found].map(([, name = '', one, other]) => [name, decode(one ?? other ?? '')]),
  );
}

const entities: Record<string, string> = { amp: '&', lt: '<', gt: '>', quot: '"', '#39': "'" };

function decode(text: string): string {
  return text.replace(/&(\w+|#\d+);/g, (whole, name) => entities[name] ?? whole);
}
