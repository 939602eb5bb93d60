/** Rules of artifact paths, as docs/protocol.md states them. */

const MAX_PATH_BYTES = 1_024;
const MAX_COMPONENTS = 32;
const MAX_COMPONENT_BYTES = 255;

// eslint-disable-next-line no-control-regex -- which are what is looked for
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/u;
// Characters that reorder text on screen, or look like '.', '/' or '\' and are folded to them by some file systems.
const FORBIDDEN = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\uff0e\uff0f\uff3c]/u;

/** What a path must not be, in the order in which the rules are told. */
const RULES: readonly (readonly [breaks: (path: string) => boolean, rule: string])[] = [
  [(path) => path === "", "it is empty"],
  [(path) => !isWellFormed(path), "it is not valid UTF-8"],
  [(path) => byteLength(path) > MAX_PATH_BYTES, `it is longer than ${MAX_PATH_BYTES} bytes of UTF-8`],
  [(path) => path.startsWith("/"), "it must be relative"],
  [(path) => path.includes("\\"), "it must not contain a backslash; separate components by '/'"],
  [(path) => /^[A-Za-z][A-Za-z0-9+.-]*:\//.test(path), "it looks like a URI"],
  [(path) => /^[A-Za-z]:/.test(path), "it must not begin with a drive letter"],
  [(path) => /%(2e|2f|5c)/i.test(path), "it must not contain %2e, %2f or %5c"],
  [(path) => CONTROL.test(path), "it must not contain control characters"],
  [(path) => FORBIDDEN.test(path), "it must not contain direction overrides or look-alikes of '.', '/' and '\\'"],
  [(path) => path.split("/").length > MAX_COMPONENTS, `it has more than ${MAX_COMPONENTS} components`],
];

/** The first rule of artifact paths that `path` breaks, in words; empty when it breaks none. */
export function brokenPathRule(path: string): string {
  for (const [breaks, rule] of RULES) {
    if (breaks(path)) return rule;
  }
  for (const component of path.split("/")) {
    const rule = brokenComponentRule(component);
    if (rule) return rule;
  }
  return "";
}

/** Whether a text can be UTF-8: it has no half of a surrogate pair. */
export function isWellFormed(text: string): boolean {
  return !/\p{Surrogate}/u.test(text);
}

/** `name` below `folder`; an empty folder is the root. */
export function joinPath(folder: string, name: string): string {
  return folder ? `${folder}/${name}` : name;
}

/** The last component of a path. */
export function lastName(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

function brokenComponentRule(component: string): string {
  if (component === "") return "it has an empty component";
  if (component === "." || component === "..") return "it has a component '.' or '..'";
  if (/^ |[ .]$/.test(component)) return "a component must not begin with a space, nor end with a space or a dot";
  if (byteLength(component) > MAX_COMPONENT_BYTES) {
    return `a component is longer than ${MAX_COMPONENT_BYTES} bytes of UTF-8`;
  }
  return "";
}

function byteLength(text: string): number {
  return Buffer.byteLength(text);
}
