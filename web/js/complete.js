// @ts-check
// Completes words of the connected prompt in word fields: a list below the field, for keyboard and pointer.

import { app } from "../../../scripts/app.js";
import { make } from "./lib/dom.js";
import { useStyle } from "./lib/view.js";
import { choices, completions, FIELDS, unfinished } from "./lib/words.js";

const ID = "p2p-completions";

/** @type {{ field: HTMLTextAreaElement, list: HTMLElement, words: string[], active: number } | null} */
let open = null;

app.registerExtension({
  name: "PromptToPrompt.Complete",
  setup() {
    useStyle();
    document.addEventListener("focusin", (event) => offer(event.target));
    document.addEventListener("input", (event) => offer(event.target));
    document.addEventListener("click", (event) => offer(event.target));
    document.addEventListener("focusout", close);
    document.addEventListener("wheel", close, { capture: true, passive: true });
    document.addEventListener("keydown", onKey, { capture: true });
  },
});

/** @param {EventTarget | null} target */
function offer(target) {
  close();
  if (!(target instanceof HTMLTextAreaElement) || target !== document.activeElement) return;
  const place = placeOf(target);
  if (!place || !FIELDS[place.node.type]?.[place.name]) return;
  const { typed } = unfinished(target.value, target.selectionStart);
  const words = completions(typed, choices(place.node, place.name));
  if (words.length) show(target, words);
}

/**
 * The node and the name of a text field. The canvas renderer keeps a node's fields as elements of its
 * widgets. The Vue renderer creates its own, in the order of the widgets.
 * @param {HTMLTextAreaElement} field
 * @returns {{ node: any, name: string } | null}
 */
function placeOf(field) {
  const graph = app.canvas?.graph ?? app.graph;
  for (const node of graph?.nodes ?? []) {
    const widget = node.widgets?.find((/** @type {any} */ each) => (each.element ?? each.inputEl) === field);
    if (widget) return { node, name: widget.name };
  }
  const box = field.closest("[data-node-id]");
  const node = box && graph?.nodes?.find((/** @type {any} */ each) => String(each.id) === box.getAttribute("data-node-id"));
  if (!node) return null;
  const fields = [...box.querySelectorAll("textarea")];
  const texts = node.widgets?.filter((/** @type {any} */ each) => each.type === "customtext") ?? [];
  const name = texts.length === fields.length && texts[fields.indexOf(field)]?.name;
  return name ? { node, name } : null;
}

/** @param {HTMLTextAreaElement} field @param {string[]} words */
function show(field, words) {
  const options = words.map((text, i) =>
    make("div", {
      role: "option", id: `${ID}-${i}`, text,
      onpointerdown: (/** @type {Event} */ event) => {
        event.preventDefault(); // the field keeps the focus
        take(i);
      },
    })
  );
  const list = make("div", { class: "p2p p2p-list", id: ID, role: "listbox", "aria-label": "Words of the prompt" }, options);
  const box = field.getBoundingClientRect();
  list.style.left = `${box.left}px`;
  list.style.top = `${box.bottom + 2}px`;
  list.style.minWidth = `${Math.min(box.width, 160)}px`;
  document.body.append(list);
  const room = window.innerHeight - box.bottom;
  if (room < list.offsetHeight) list.style.top = `${box.top - list.offsetHeight - 2}px`;
  field.setAttribute("aria-controls", ID);
  field.setAttribute("aria-autocomplete", "list");
  open = { field, list, words, active: -1 };
}

function close() {
  open?.field.removeAttribute("aria-activedescendant");
  open?.field.removeAttribute("aria-controls");
  open?.list.remove();
  open = null;
}

/** @param {KeyboardEvent} event */
function onKey(event) {
  if (!open || event.target !== open.field || event.ctrlKey || event.metaKey || event.altKey) return;
  const { words, active } = open;
  if (event.key === "ArrowDown") point((active + 1) % words.length);
  else if (event.key === "ArrowUp" && active >= 0) point(active - 1);
  else if (event.key === "Enter" && active >= 0) take(active);
  else if (event.key === "Escape") close();
  else return;
  event.preventDefault();
  event.stopPropagation();
}

/** @param {number} to */
function point(to) {
  if (!open) return;
  open.active = to;
  [...open.list.children].forEach((option, i) => option.setAttribute("aria-selected", String(i === to)));
  open.list.children[to]?.scrollIntoView({ block: "nearest" });
  if (to >= 0) open.field.setAttribute("aria-activedescendant", `${ID}-${to}`);
  else open.field.removeAttribute("aria-activedescendant");
}

/** Replaces the typed part with the whole word, as typing would. @param {number} i */
function take(i) {
  if (!open) return;
  const { field, words } = open;
  const { typed } = unfinished(field.value, field.selectionStart);
  const last = typed.split(/\s+/).pop() ?? "";
  field.setRangeText(words[i], field.selectionStart - last.length, field.selectionStart, "end");
  close();
  field.dispatchEvent(new Event("input", { bubbles: true }));
  close(); // a whole word needs no completion
}
