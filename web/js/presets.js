// @ts-check
// The presets of an edit node: choosing one fills in its numbers, touching a number makes it custom.

import { app } from "../../../scripts/app.js";
import { setValue } from "./lib/insert.js";
import { CUSTOM, numbersOf } from "./lib/presets.js";
import { chain } from "./lib/view.js";

const NEW = "balanced"; // of a node that a user adds; a saved one without the field keeps its numbers
const WITH_PRESETS = new Set(["P2PPromptEdit", "P2PWordSwap", "P2PRefine"]);

app.registerExtension({
  name: "PromptToPrompt.Presets",
  /** @param {any} node */
  nodeCreated(node) {
    if (WITH_PRESETS.has(node.constructor?.comfyClass ?? node.comfyClass)) connect(node);
  },
});

/** @param {any} node */
function connect(node) {
  const find = (/** @type {string} */ name) => node.widgets?.find((/** @type {any} */ each) => each.name === name);
  const preset = find("preset");
  if (!preset) return;
  let filling = false;
  preset.value = NEW;
  chain(preset, "callback", () => {
    filling = true;
    for (const [name, value] of Object.entries(numbersOf(preset.value))) setValue(node, name, value);
    filling = false;
  });
  for (const name of Object.keys(numbersOf(NEW))) {
    const number = find(name);
    if (number) chain(number, "callback", () => void (filling || (preset.value = CUSTOM)));
  }
  chain(node, "onConfigure", (/** @type {any} */ saved) => {
    const place = node.widgets.indexOf(preset);
    if (!Array.isArray(saved?.widgets_values) || saved.widgets_values.length <= place) preset.value = CUSTOM;
  });
}
