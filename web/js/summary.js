// @ts-check
// What the last run did with the prompts: as text on the edit nodes, as chips on Prompt Edit and Prompt Pair.

import { app } from "../../../scripts/app.js";
import { chips } from "./lib/chips.js";
import { make } from "./lib/dom.js";
import { textOf } from "./lib/graph.js";
import { inserter } from "./lib/insert.js";
import { addView, chain } from "./lib/view.js";

const WITH_SUMMARY = new Set(["P2PPromptEdit", "P2PWordSwap", "P2PRefine", "P2PReweight", "P2PRememberSource"]);
const PAIR = "P2PPromptPair";
const OLD = "These are the prompts of the last run. They have changed since then.";

app.registerExtension({
  name: "PromptToPrompt.Summary",
  /** @param {any} node */
  nodeCreated(node) {
    const type = node.constructor?.comfyClass ?? node.comfyClass;
    if (type === PAIR) addChips(node);
    else if (WITH_SUMMARY.has(type)) addSummary(node, type === "P2PPromptEdit");
  },
});

/** @param {any} node @param {boolean} withChips */
function addSummary(node, withChips) {
  addView(node, {
    name: "p2p_summary",
    label: "What the edit does",
    height: withChips ? 120 : 56,
    empty: "Run the graph to see what the edit does.",
    keys: ["p2p.summary", "p2p.prompts", "p2p.windows"],
    show(panel, output) {
      const text = output["p2p.summary"].join("\n");
      panel.append(make("div", { class: "p2p-summary", role: "status", text }));
      const held = output["p2p.windows"]; // comes after the sampling
      if (held) panel.append(make("div", { class: "p2p-summary p2p-hint", role: "status", text: held.join("\n") }));
      const prompts = output["p2p.prompts"]?.[0];
      if (prompts) showChips(node, panel, prompts);
    },
  });
}

/** @param {any} node */
function addChips(node) {
  /** @type {{ panel: any, prompts: any }} */
  let shown = { panel: null, prompts: null };
  addView(node, {
    name: "p2p_prompts",
    label: "The prompts, word by word",
    height: 110,
    empty: "Run the graph to see the prompts word by word.",
    keys: ["p2p.prompts"],
    show(panel, output) {
      const prompts = output["p2p.prompts"][0];
      shown = { panel, prompts };
      panel.append(make("p", { class: "p2p-note p2p-old", role: "status", hidden: true, text: OLD }));
      showChips(node, panel, prompts);
      markOld();
    },
  });
  for (const name of ["source", "edit"]) {
    const widget = node.widgets?.find((/** @type {any} */ each) => each.name === name);
    if (widget) chain(widget, "callback", markOld);
  }
  function markOld() {
    const line = shown.panel?.querySelector(".p2p-old");
    if (line) line.hidden = isCurrent(node, shown.prompts);
  }
}

/** @param {any} node @param {HTMLElement} panel @param {any} prompts */
function showChips(node, panel, prompts) {
  const { element, choose } = inserter(node);
  panel.append(...chips(prompts, choose), element);
}

/**
 * Whether these prompts match the fields. A dynamic prompt, {red|blue}, always counts as a match.
 * @param {any} pair
 * @param {import("./lib/chips.js").Prompts} prompts
 */
function isCurrent(pair, prompts) {
  const written = [textOf(pair, "source"), textOf(pair, "edit")];
  if (written.some((text) => /[{]|\/\/|\/\*/.test(text))) return true;
  const plain = (/** @type {string} */ text) => text.replace(/\s+/g, " ").trim();
  const edits = prompts.edits.map((edit) => edit.text).join(" --- ");
  return plain(written[0]) === plain(prompts.source.text) && plain(written[1]) === plain(edits);
}
