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

/** Gives the focus to what is there once the page is drawn, and scrolls where its beginning is out of sight. */
export function focusOn(selector: string): void {
  changed();
  queueMicrotask(() => {
    const element = document.querySelector<HTMLElement>(selector);
    // By itself the browser would also scroll to what is longer than the window, away from the links above it.
    element?.focus({ preventScroll: true });
    const { top = 0 } = element?.getBoundingClientRect() ?? {};
    if (top < 0 || top > innerHeight / 2) element?.scrollIntoView();
  });
}

/** Gives the focus to what is there once the page is drawn, if what had it is gone by then. */
export function keepFocus(selector: string): void {
  changed();
  queueMicrotask(() => {
    if (document.activeElement === document.body) focusOn(selector);
  });
}
