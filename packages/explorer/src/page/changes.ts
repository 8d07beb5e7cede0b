let draw = () => {};
let isDue = false;

/** Has the page drawn now, and again whenever something has changed. */
export function onChange(drawPage: () => void): void {
  draw = drawPage;
  draw();
}

/** Says that something that the page shows has changed; it is drawn once, however much has. */
export function changed(): void {
  if (isDue) return;
  isDue = true;
  queueMicrotask(() => {
    isDue = false;
    draw();
  });
}

/** Gives the focus to what is there once the page is drawn. */
export function focusOn(selector: string): void {
  changed();
  queueMicrotask(() => document.querySelector<HTMLElement>(selector)?.focus());
}
