// @ts-check
// Compare: source and edit under a divider, one tab per edit, their similarity below.

import { api } from "../../../scripts/api.js";
import { app } from "../../../scripts/app.js";
import { make, note, tabs } from "./lib/dom.js";
import { addressOf, addView, GONE, loaded } from "./lib/view.js";

const KEYS = { ArrowLeft: -2, ArrowDown: -2, ArrowRight: 2, ArrowUp: 2, PageDown: -10, PageUp: 10, Home: -100, End: 100 };

app.registerExtension({
  name: "PromptToPrompt.Compare",
  /** @param {any} node */
  nodeCreated(node) {
    if ((node.constructor?.comfyClass ?? node.comfyClass) !== "P2PCompare") return;
    addView(node, {
      name: "p2p_compare",
      label: "Source and edit",
      height: 260,
      empty: "Run the graph to compare source and edit here.",
      keys: ["p2p.pairs"],
      show: (panel, output) => void showPairs(panel, output["p2p.pairs"][0]),
    });
  },
});

/**
 * @param {HTMLElement} panel
 * @param {{ sources: any[], edits: any[], pairs: { name: string, sample: number, text: string, told: string }[] }} data
 */
async function showPairs(panel, data) {
  const stage = make("div", { class: "p2p-stage" });
  const report = make("p", { class: "p2p-told", role: "status" });
  const names = data.pairs.map((pair) => pair.name);
  panel.append(...[tabs("Edits", names, (i) => void show(i)), stage, report].filter((part) => part != null));

  /** @param {number} i */
  async function show(i) {
    const pair = data.pairs[i];
    try {
      const files = [data.sources[pair.sample], data.edits[i]];
      const [source, edit] = await Promise.all(files.map((file) => loaded(addressOf(file, api))));
      stage.replaceChildren(divided(source, edit, pair.name));
      report.replaceChildren(
        ...pair.told.split(", ").map((text) => make("span", { text })),
        pair.text ? make("span", { class: "p2p-hint", text: pair.text }) : ""
      );
    } catch {
      panel.replaceChildren(note(GONE));
    }
  }
  await show(0);
}

/**
 * The source to the left of a movable line, the edit to its right.
 * @param {HTMLImageElement} source
 * @param {HTMLImageElement} edit
 * @param {string} name
 */
function divided(source, edit, name) {
  source.alt = "source";
  edit.alt = name;
  edit.className = "p2p-right";
  const line = make("div", {
    class: "p2p-divider", role: "slider", tabindex: 0, "aria-label": `Divider: source left, ${name} right`,
    "aria-valuemin": 0, "aria-valuemax": 100, "aria-orientation": "horizontal",
  });
  const frame = make("div", { class: "p2p-frame" }, [
    source, edit, line,
    make("span", { class: "p2p-corner p2p-corner-left", text: "source" }),
    make("span", { class: "p2p-corner p2p-corner-right", text: name }),
  ]);
  frame.style.setProperty("--ratio", String(source.naturalWidth / source.naturalHeight));
  let position = 50;
  /** @param {number} to in percent */
  const move = (to) => {
    position = Math.min(100, Math.max(0, to));
    frame.style.setProperty("--place", `${position}%`);
    line.setAttribute("aria-valuenow", String(Math.round(position)));
    line.setAttribute("aria-valuetext", `${Math.round(position)} % source`);
  };
  move(position);
  line.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    const by = /** @type {any} */ (KEYS)[event.key];
    if (!by) return;
    event.preventDefault();
    event.stopPropagation();
    move(position + by);
  });
  const follow = (/** @type {PointerEvent} */ event) => {
    const box = frame.getBoundingClientRect();
    move((100 * (event.clientX - box.left)) / box.width);
  };
  frame.addEventListener("pointerdown", (/** @type {PointerEvent} */ event) => {
    if (event.button) return;
    event.stopPropagation();
    frame.setPointerCapture(event.pointerId);
    follow(event);
    line.focus({ preventScroll: true });
  });
  frame.addEventListener("pointermove", (/** @type {PointerEvent} */ event) => {
    if (frame.hasPointerCapture(event.pointerId)) follow(event);
  });
  for (const image of [source, edit]) image.draggable = false;
  return frame;
}
