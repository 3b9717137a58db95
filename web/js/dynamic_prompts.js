// @ts-check
// Prompt Pair draws a dynamic prompt, {red|blue}, once for its source and its edits: a pair differs in the
// words that were changed and in nothing else.

import { app } from "../../../scripts/app.js";
import { drawn } from "./lib/dynamic.js";

const FIELDS = ["source", "edit"]; // in the order in which the front end asks for them

app.registerExtension({
  name: "PromptToPrompt.DynamicPrompts",
  /** @param {any} node */
  nodeCreated(node) {
    if ((node.constructor?.comfyClass ?? node.comfyClass) !== "P2PPromptPair") return;
    /** @type {Map<string, number>} */
    let picks = new Map();
    for (const name of FIELDS) {
      const widget = node.widgets?.find((/** @type {any} */ each) => each.name === name);
      if (!widget) continue;
      widget.serializeValue = (/** @type {any} */ workflowNode, /** @type {number} */ index) => {
        if (name === FIELDS[0]) picks = new Map();
        const text = drawn(String(widget.value ?? ""), picks);
        if (workflowNode?.widgets_values) workflowNode.widgets_values[index] = text;
        return text;
      };
    }
  },
});
