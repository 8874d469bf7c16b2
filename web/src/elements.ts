/** The page's elements by id, and new ones. */

/** @throws Error when the page has no such element, or another kind of it */
export function element<T extends HTMLElement>(id: string, type: new () => T): T {
  const found = document.getElementById(id);
  if (!(found instanceof type)) throw new Error(`the page has no ${type.name} #${id}`);
  return found;
}

export const button = (id: string) => element(id, HTMLButtonElement);
export const input = (id: string) => element(id, HTMLInputElement);
export const select = (id: string) => element(id, HTMLSelectElement);

export function text(id: string, words: string): HTMLElement {
  const found = element(id, HTMLElement);
  found.textContent = words;
  return found;
}

export function show(id: string, visible: boolean): void {
  element(id, HTMLElement).hidden = !visible;
}

/** Shows the words, or hides the element when there are none. */
export function note(id: string, words: string): void {
  text(id, words).hidden = words === '';
}

export function make<K extends keyof HTMLElementTagNameMap>(
  name: K,
  properties: Partial<HTMLElementTagNameMap[K]> = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

export function fill(id: string, children: Iterable<Node>): void {
  element(id, HTMLElement).replaceChildren(...children);
}
