// @ts-check
// Reports what changed if a workflow was saved with an older (or newer) version of a node.

import { app } from "../../../scripts/app.js";
import { difference, inWords, savedNodes } from "./lib/versions.js";

const FIELD = new Set(["INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"]);
const TITLE = "This workflow was saved with another version of Prompt-to-Prompt";

/** @type {Map<string, { title: string, inputs: string[], widgets: string[] }>} */
const known = new Map();

app.registerExtension({
  name: "PromptToPrompt.Older",
  /** @param {any} _type @param {any} definition */
  beforeRegisterNodeDef(_type, definition) {
    if (!/^P2P/.test(definition.name) || !/prompt-to-prompt/i.test(definition.category ?? "")) return;
    const specs = Object.entries({ ...definition.input?.required, ...definition.input?.optional });
    const widgets = specs.filter(([, [type]]) => Array.isArray(type) || FIELD.has(type)).map(([name]) => name);
    const title = definition.display_name ?? definition.name;
    known.set(definition.name, { title, inputs: specs.map(([name]) => name), widgets });
  },
  /** @param {any} workflow */
  beforeConfigureGraph(workflow) {
    const lines = new Set();
    for (const saved of savedNodes(workflow)) {
      const now = known.get(saved.type);
      const found = now && difference(saved, now);
      if (now && found) lines.add(inWords(now.title, found));
    }
    if (lines.size) say([...lines]);
  },
});

/** @param {string[]} lines */
function say(lines) {
  console.info(`${TITLE}:\n${lines.join("\n")}`);
  app.extensionManager?.toast?.add({ severity: "info", summary: TITLE, detail: lines.join("\n"), life: 12000 });
}
