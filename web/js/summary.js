// @ts-check
// Shows on the edit nodes, in words, what the last run did with the prompts. Decoration: the nodes work without it.

import { app } from "../../../scripts/app.js";

const NODES = new Set(["P2PPromptEdit", "P2PWordSwap", "P2PRefine", "P2PReweight"]);
const BEFORE_A_RUN = "Run the graph to see here what the edit does.";
const HEIGHT = 56;

app.registerExtension({
  name: "PromptToPrompt.Summary",
  /** @param {any} node */
  nodeCreated(node) {
    if (!NODES.has(node.constructor?.comfyClass ?? node.comfyClass)) return;
    const text = textElement();
    const widget = node.addDOMWidget("p2p_summary", "p2p_summary", text, {
      serialize: false, // not in the prompt
      getMinHeight: () => HEIGHT,
    });
    widget.serialize = false; // nor in the workflow
    const before = node.onExecuted;
    node.onExecuted = function (/** @type {any} */ output) {
      const result = before?.apply(this, arguments);
      if (output?.p2p_summary) text.textContent = output.p2p_summary.join("\n");
      return result;
    };
  },
});

function textElement() {
  const text = document.createElement("div");
  text.className = "p2p-summary";
  text.setAttribute("role", "status"); // read out when it changes
  text.textContent = BEFORE_A_RUN;
  Object.assign(text.style, {
    boxSizing: "border-box",
    padding: "4px 8px",
    font: "12px sans-serif",
    lineHeight: "1.35",
    whiteSpace: "pre-wrap",
    overflow: "auto",
    color: "var(--input-text, #ddd)",
    background: "var(--comfy-input-bg, #222)",
    borderRadius: "4px",
  });
  return text;
}
