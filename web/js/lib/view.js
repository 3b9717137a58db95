// @ts-check
// A panel on a node that shows the output of its last run. It is not part of the workflow or the prompt.

import { make, note } from "./dom.js";

const MARGIN = 10; // of the canvas, above and below an element
const KEY = "p2p.shown";
const AGAIN = "Still empty after a run? The result was cached: change a setting, such as the seed, and run again.";
export const GONE = `The images of that run are gone. Run the graph again. ${AGAIN}`;

/**
 * @typedef {{ [name: string]: any }} Output
 * @param {any} node
 * @param {{ name: string, label: string, height: number, empty: string, keys: string[],
 *   show: (panel: any, output: Output) => void }} options
 *   height: minimum, in pixels. empty: the text before a run. keys: of the output; the first is required.
 *   show: fills the panel; an error in it becomes a note.
 */
export function addView(node, { name, label, height, empty, keys, show }) {
  useStyle();
  const panel = make("div", { class: "p2p", role: "group", "aria-label": label, tabindex: 0 });
  panel.style.minHeight = `${height}px`;
  for (const event of ["pointerdown", "wheel"]) panel.addEventListener(event, keepFromCanvas);
  const widget = node.addDOMWidget(name, name, panel, {
    serialize: false, // not in the prompt
    getMinHeight: () => height + 2 * MARGIN,
  });
  widget.serialize = false; // nor in the workflow

  /** @param {Output | null} output */
  const fill = (output) => {
    panel.replaceChildren();
    if (!output) return panel.append(note(`${empty} ${AGAIN}`));
    try {
      show(panel, output);
    } catch (error) {
      console.warn("Prompt-to-Prompt: could not draw a panel", error);
      panel.replaceChildren(note("This output cannot be shown. Run the graph again."));
    }
  };
  fill(null);

  chain(node, "onExecuted", (/** @type {Output} */ output) => {
    if (!output?.[keys[0]]) return;
    const ours = Object.fromEntries(keys.map((key) => [key, output[key]]));
    remember(placeOf(node), ours);
    fill(ours);
  });
  chain(node, "onConfigure", () => fill(recall(placeOf(node), keys[0])));
  return panel;
}

/** Adds a callback after an existing one. @param {any} node @param {string} name @param {(...given: any[]) => void} more */
export function chain(node, name, more) {
  const before = node[name];
  node[name] = function (/** @type {any[]} */ ...given) {
    const result = before?.apply(this, given);
    more.apply(this, given);
    return result;
  };
}

/** @param {any} file a file that a node saved in the temp folder @param {any} api */
export function addressOf(file, api) {
  return api.apiURL(`/view?${new URLSearchParams(file)}`);
}

/** @param {string} address @returns {Promise<HTMLImageElement>} */
export function loaded(address) {
  return new Promise((resolve, reject) => {
    const image = new Image();
    image.onload = () => resolve(image);
    image.onerror = () => reject(new Error("the image is gone"));
    image.src = address;
  });
}

/** Keeps pan and zoom events from the canvas while a panel scrolls or drags. @param {Event} event */
function keepFromCanvas(event) {
  const panel = /** @type {HTMLElement} */ (event.currentTarget);
  const scrolls = panel.scrollHeight > panel.clientHeight;
  const zooms = event.type === "wheel" && (/** @type {WheelEvent} */ (event).ctrlKey || !scrolls);
  if (!zooms) event.stopPropagation();
}

export function useStyle() {
  if (document.getElementById("p2p-style")) return;
  const href = new URL("../../css/p2p.css", import.meta.url).href;
  document.head.append(make("link", { id: "p2p-style", rel: "stylesheet", href }));
}

// A page reload loses the outputs, and the server does not send cached results again.

/** The storage key; null in a graph without its own id, which would be ambiguous. @param {any} node */
function placeOf(node) {
  const graph = String(node.graph?.id ?? "");
  return /[1-9a-f]/.test(graph) ? `${KEY}/${graph}/${node.id}/${node.type}` : null;
}

/** @param {string | null} place @param {Output} output */
function remember(place, output) {
  if (!place) return;
  try {
    sessionStorage.setItem(place, JSON.stringify(output));
  } catch {
    forgetAll(); // the storage is full
  }
}

function forgetAll() {
  try {
    for (const place of Object.keys(sessionStorage)) {
      if (place.startsWith(KEY)) sessionStorage.removeItem(place);
    }
  } catch {
    // a browser may forbid its storage altogether
  }
}

/** @param {string | null} place @param {string} key @returns {Output | null} */
function recall(place, key) {
  if (!place) return null;
  try {
    const output = JSON.parse(sessionStorage.getItem(place) ?? "null");
    return output?.[key] ? output : null;
  } catch {
    return null;
  }
}
