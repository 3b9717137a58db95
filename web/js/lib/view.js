// @ts-check
// A panel on a node that shows what the node's last run handed over. It is no part of the workflow or the prompt.

import { make, note } from "./dom.js";

const MARGIN = 10; // that the canvas leaves above and below an element
const KEY = "p2p.shown";
const AGAIN = "Nothing after a run? Then nothing had changed: change a setting, such as the seed, and run again.";
export const GONE = `The pictures of that run are gone. Run the graph again. ${AGAIN}`;

/**
 * @typedef {{ [name: string]: any }} Output
 * @param {any} node
 * @param {{ name: string, label: string, height: number, empty: string, keys: string[],
 *   show: (panel: any, output: Output) => void }} options
 *   height: the least, in pixels. empty: what stands there before a run. keys: of the output, the first has
 *   to be there. show: fills the panel; an error in it becomes a note.
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
      console.warn("Prompt-to-Prompt: a panel could not be drawn", error);
      panel.replaceChildren(note("This could not be shown. Run the graph again."));
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

/** Lets a node do one thing more. @param {any} node @param {string} name @param {(...given: any[]) => void} more */
export function chain(node, name, more) {
  const before = node[name];
  node[name] = function (/** @type {any[]} */ ...given) {
    const result = before?.apply(this, given);
    more.apply(this, given);
    return result;
  };
}

/** @param {any} file what a node saved in the temp folder @param {any} api */
export function addressOf(file, api) {
  return api.apiURL(`/view?${new URLSearchParams(file)}`);
}

/** @param {string} address @returns {Promise<HTMLImageElement>} */
export function loaded(address) {
  return new Promise((resolve, reject) => {
    const image = new Image();
    image.onload = () => resolve(image);
    image.onerror = () => reject(new Error("the picture is gone"));
    image.src = address;
  });
}

/** The canvas below pans and zooms by these; a panel that scrolls or drags keeps them. @param {Event} event */
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

// A reload of the page forgets the outputs while the server goes on knowing them and sends none again.

/** Null in a graph without an id of its own, which could be any. @param {any} node */
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
    forgetAll(); // it is full
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
