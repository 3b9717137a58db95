// @ts-check
// Inserts a word of a prompt into a word field of a connected node.

import { make, note } from "./dom.js";
import { pairOf } from "./graph.js";
import { fieldsFor, withWord } from "./words.js";

/**
 * A row below the chips that lists the fields for a word, or says that there are none.
 * @param {any} node the node with the chips
 * @returns {{ element: HTMLElement, choose: import("./chips.js").Choose }}
 */
export function inserter(node) {
  const element = make("div", { class: "p2p-insert", role: "status" });
  /** @type {import("./chips.js").Choose} */
  const choose = (word, side, button) => {
    const fields = fieldsFor(pairOf(node), side);
    element.replaceChildren(...(fields.length ? offers(word.name, fields, button) : [none()]));
    element.scrollIntoView({ block: "nearest" });
    element.querySelector("button")?.focus();
  };
  /** @param {string} name @param {ReturnType<typeof fieldsFor>} fields @param {HTMLElement} button */
  function offers(name, fields, button) {
    const heading = make("span", { text: `Insert “${name}” into` });
    const buttons = fields.map((field) =>
      make("button", { type: "button", class: "p2p-tab", text: field.label, onclick: () => put(name, field, button) })
    );
    return [heading, ...buttons];
  }
  /** @param {string} name @param {ReturnType<typeof fieldsFor>[number]} field @param {HTMLElement} button */
  function put(name, field, button) {
    setText(field.node, field.name, (text) => withWord(text, name, field.after));
    element.replaceChildren(note(`Inserted “${name}” into ${field.label}.`));
    button.focus();
  }
  return { element, choose };
}

function none() {
  return note("No connected node has a field for this word. Connect Local Blend, Reweight or Attention Store.");
}

/**
 * Changes a text widget as typing would.
 * @param {any} node
 * @param {string} name
 * @param {(text: string) => string} change
 */
export function setText(node, name, change) {
  const widget = node.widgets?.find((/** @type {any} */ each) => each.name === name);
  if (widget) setValue(node, name, change(String(widget.value ?? "")));
}

/** Sets a widget as its own control would. @param {any} node @param {string} name @param {any} value */
export function setValue(node, name, value) {
  const widget = node.widgets?.find((/** @type {any} */ each) => each.name === name);
  if (!widget) return;
  widget.value = value;
  widget.callback?.(value);
  node.graph?.setDirtyCanvas?.(true, true);
}
