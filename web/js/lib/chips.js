// @ts-check
// Two prompts as chips, one above the other, with kept, swapped, added and removed words.

import { make } from "./dom.js";

/**
 * @typedef {{ text: string, name: string, tokens: string[], columns: number }} Word
 * @typedef {{ kind: string, source: number[], edit: number[] }} Change
 * @typedef {{ text: string, words: Word[], changes?: Change[] }} Prompt
 * @typedef {{ source: Prompt, edits: Prompt[] }} Prompts
 * @typedef {(word: Word, side: "source" | "edit" | "all", button: HTMLElement) => void} Choose
 */

const MARKS = { kept: "▢", swapped: "⇄", added: "+", removed: "−" };

/**
 * @param {Prompts} prompts
 * @param {Choose} choose what a click on a word does
 * @returns {HTMLElement[]}
 */
export function chips(prompts, choose) {
  if (!prompts.edits.length) {
    const words = prompts.source.words.map((word) => chip(word, "all", choose));
    return [make("div", { class: "p2p-line" }, words), ...tokenNote(prompts)];
  }
  const several = prompts.edits.length > 1;
  const lines = prompts.edits.flatMap((edit, i) => [
    several ? make("div", { class: "p2p-name", text: `edit ${i + 1}` }) : null,
    aligned(prompts.source, edit, several ? `edit ${i + 1}` : "source and edit", choose),
  ]);
  return [legend(prompts.edits), ...lines.filter((line) => line != null), ...tokenNote(prompts)];
}

/** @param {Prompt[]} edits */
function legend(edits) {
  const kinds = new Set(edits.flatMap((edit) => (edit.changes ?? []).map((change) => change.kind)));
  const shown = Object.entries(MARKS).filter(([kind]) => kinds.has(kind));
  const entries = shown.map(([kind, mark]) =>
    make("span", { class: `p2p-key p2p-${kind}` }, [
      make("span", { class: "p2p-mark", text: mark, "aria-hidden": "true" }),
      make("span", { text: kind }),
    ])
  );
  return make("div", { class: "p2p-legend" }, entries);
}

/** @param {Prompt} source @param {Prompt} edit @param {string} label @param {Choose} choose */
function aligned(source, edit, label, choose) {
  const changes = (edit.changes ?? []).map((change) => {
    const left = source.words.slice(...change.source);
    const right = edit.words.slice(...change.edit);
    return changed(change.kind, left, right, choose);
  });
  return make("ol", { class: "p2p-line", "aria-label": label }, changes);
}

/** @param {string} kind @param {Word[]} left @param {Word[]} right @param {Choose} choose */
function changed(kind, left, right, choose) {
  const mark = /** @type {any} */ (MARKS)[kind];
  const sign = make("span", { class: "p2p-mark", text: mark, "aria-hidden": "true" });
  const hidden = make("span", { class: "p2p-unseen", text: `${kind}: ` });
  if (kind === "kept") return make("li", { class: "p2p-change p2p-kept" }, [hidden, ...cells(left, "all", choose)]);
  const above = left.length ? make("span", { class: "p2p-side p2p-source" }, cells(left, "source", choose)) : null;
  const below = right.length ? make("span", { class: "p2p-side p2p-edit" }, cells(right, "edit", choose)) : null;
  const becomes = above && below ? make("span", { class: "p2p-unseen", text: " becomes " }) : null;
  const sides = make("span", { class: "p2p-sides" }, [above, becomes, below]);
  return make("li", { class: `p2p-change p2p-${kind}` }, [sign, hidden, sides]);
}

/** @param {Word[]} words @param {"source" | "edit" | "all"} side @param {Choose} choose */
function cells(words, side, choose) {
  return words.map((word) => chip(word, side, choose));
}

/** @param {Word} word @param {"source" | "edit" | "all"} side @param {Choose} choose @returns {HTMLElement} */
function chip(word, side, choose) {
  const pieces = word.tokens.map((text) => make("span", { class: "p2p-token", text }));
  const count = word.columns === 1 ? "one token" : `${word.columns} tokens`;
  const title = `${word.name}: ${count}. Click to insert it into a field.`;
  const button = make("button", { type: "button", class: "p2p-word", title }, pieces);
  button.setAttribute("aria-label", word.text);
  button.addEventListener("click", () => choose(word, side, button));
  return button;
}

/** @param {Prompts} prompts */
function tokenNote(prompts) {
  const words = [prompts.source, ...prompts.edits].flatMap((prompt) => prompt.words);
  const split = words.some((word) => word.columns > 1);
  return split ? [make("p", { class: "p2p-hint", text: "A line inside a word separates its tokens." })] : [];
}
