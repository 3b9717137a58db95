// @ts-check
// Attention Maps: the map of the word under the pointer, over the image, with sliders for steps and layers.

import { api } from "../../../scripts/api.js";
import { app } from "../../../scripts/app.js";
import { make, note, slider, tabs } from "./lib/dom.js";
import { addressOf, addView, GONE, loaded } from "./lib/view.js";

const SIDE = 512; // pixels of the canvas's longer side

app.registerExtension({
  name: "PromptToPrompt.AttentionMaps",
  /** @param {any} node */
  nodeCreated(node) {
    if ((node.constructor?.comfyClass ?? node.comfyClass) !== "P2PAttentionMaps") return;
    addView(node, {
      name: "p2p_maps",
      label: "Where the words attend",
      height: 260,
      empty: "Run the graph to see the maps here. Point at a word to show its map.",
      keys: ["p2p.maps"],
      show: (panel, output) => void showMaps(panel, output["p2p.maps"][0]),
    });
  },
});

/**
 * @param {HTMLElement} panel
 * @param {{ words: string[], rows: { name: string, has: boolean[] }[], steps: string[],
 *   layers: { label: string, file: any, size: number[] }[], pictures: any[], opacity: number,
 *   latent: number[] }} data
 */
async function showMaps(panel, data) {
  const canvas = make("canvas", { role: "img" });
  const at = { word: 0, row: 0, step: 0, layer: 0 };
  let pinned = 0;
  const words = data.words.map((text, i) =>
    make("button", {
      type: "button", class: "p2p-word", text, "aria-pressed": String(i === 0),
      onpointerenter: () => look(i), onfocus: () => look(i), onpointerleave: () => look(pinned),
      onclick: () => pin(i),
    })
  );
  panel.append(
    ...[
      make("div", { class: "p2p-line", role: "group", "aria-label": "Words" }, words),
      tabs("Image", data.rows.map((row) => row.name), (i) => change("row", i)),
      make("div", { class: "p2p-stage" }, [canvas]),
      slider("steps", data.steps, (i) => change("step", i)),
      slider("layers", data.layers.map((layer) => layer.label), (i) => change("layer", i)),
    ].filter((part) => part != null)
  );

  /** @type {Map<string, Promise<HTMLImageElement>>} */
  const images = new Map();
  const image = (/** @type {any} */ file) => {
    const address = addressOf(file, api);
    if (!images.has(address)) images.set(address, loaded(address));
    return /** @type {Promise<HTMLImageElement>} */ (images.get(address));
  };

  /** @param {number} i */
  function look(i) {
    change("word", i);
  }
  /** @param {number} i */
  function pin(i) {
    pinned = i;
    words.forEach((/** @type {HTMLElement} */ word, n) => word.setAttribute("aria-pressed", String(n === i)));
    look(i);
  }
  /** @param {"word" | "row" | "step" | "layer"} what @param {number} i */
  function change(what, i) {
    at[what] = i;
    void draw();
  }

  async function draw() {
    const wanted = JSON.stringify(at);
    const { size, file, label } = data.layers[at.layer];
    const row = data.rows[at.row];
    words.forEach((/** @type {HTMLElement} */ word, i) => word.classList.toggle("p2p-absent", !row.has[i]));
    const picture = data.pictures[data.pictures.length === 1 ? 0 : at.row];
    try {
      const [strip, under] = await Promise.all([image(file), picture ? image(picture) : null]);
      if (wanted !== JSON.stringify(at)) return; // the pointer has moved on
      const width = under?.naturalWidth ?? size[1], height = under?.naturalHeight ?? size[0];
      canvas.width = Math.round((SIDE * width) / Math.max(width, height));
      canvas.height = Math.round((SIDE * height) / Math.max(width, height));
      canvas.style.setProperty("--ratio", String(width / height));
      const context = canvas.getContext("2d");
      if (under) context.drawImage(under, 0, 0, canvas.width, canvas.height);
      context.globalAlpha = under ? data.opacity : 1;
      if (row.has[at.word]) {
        const top = (at.row * data.steps.length + at.step) * size[0];
        context.drawImage(strip, at.word * size[1], top, size[1], size[0], 0, 0, canvas.width, canvas.height);
      }
      canvas.setAttribute("aria-label", describe(row, label));
    } catch {
      panel.replaceChildren(note(GONE));
    }
  }
  /** @param {{ name: string, has: boolean[] }} row @param {string} layers */
  function describe(row, layers) {
    const word = data.words[at.word];
    if (!row.has[at.word]) return `${row.name} has no “${word}”`;
    return `Where “${word}” attends: ${row.name}, ${data.steps[at.step]}, ${layers}`;
  }
  await draw();
}
