// @ts-check
// Words in text fields: their prompts, candidates and insertion. Does not touch the page.

import { allNodes, originOf, pairOf, textOf } from "./graph.js";

/**
 * The word fields of each node: the prompt their words come from, and the number after an inserted word: a
 * constant, or the value of another widget of the node.
 * @type {Record<string, Record<string, { of: "source" | "edit" | "all", number?: number | string }>>}
 */
export const FIELDS = {
  P2PLocalBlend: {
    source_words: { of: "source" },
    edit_words: { of: "edit" },
    subtract_words: { of: "all" },
  },
  P2PAttentionStore: { words: { of: "all" } },
  P2PAttentionMaps: { words: { of: "all" } },
  P2PReweight: { weights: { of: "edit", number: 1 } },
  P2PPromptEdit: { word_windows: { of: "edit", number: "cross_end" } },
  P2PWordSwap: { word_windows: { of: "edit", number: "cross_end" } },
  P2PRefine: { word_windows: { of: "edit", number: "cross_end" } },
};

/** Characters of a field that are read, as many as the nodes accept. */
export const LONGEST = 10000;

const WORD = /embedding:[\w./\\-]+|[\p{L}\p{N}]+(?:['’]\p{L}+)?/gu;
const WEIGHT = /:\s{0,8}[-+]?[\d.]{1,32}\s{0,8}\)/g;

/** The unique words of a text, in lower case. @param {string} text */
export function wordsIn(text) {
  const words = text.slice(0, LONGEST).replace(WEIGHT, " ").match(WORD) ?? [];
  return [...new Set(words.map((word) => word.toLowerCase()))];
}

/**
 * The words that a field of a node can name, from the current text of the prompts.
 * @param {any} node
 * @param {string} field
 */
export function choices(node, field) {
  const pair = pairOf(node);
  const wanted = FIELDS[node.type]?.[field];
  if (!pair || !wanted) return [];
  const source = wordsIn(textOf(pair, "source"));
  const edit = wordsIn(textOf(pair, "edit"));
  if (wanted.of === "source" || !edit.length) return source;
  return wanted.of === "edit" ? edit : [...new Set([...source, ...edit])];
}

/**
 * The fields that accept a word of a pair's prompts.
 * @param {any} pair
 * @param {"source" | "edit" | "all"} side the prompts that contain the word
 */
export function fieldsFor(pair, side) {
  const nodes = allNodes(pair?.graph?.rootGraph ?? pair?.graph);
  return nodes.flatMap((node) =>
    Object.entries(FIELDS[node.type] ?? {})
      .filter(([name, { of }]) => (of === "all" || side === "all" || of === side) && isFree(node, name))
      .filter(() => pairOf(node) === pair)
      .map(([name, { number }]) => ({ node, name, after: suffix(node, number), label: `${node.title}: ${name}` }))
  );
}

/** @param {any} node @param {number | string} [number] a constant, or the name of a widget */
function suffix(node, number) {
  if (number === undefined) return "";
  return `: ${typeof number === "number" ? number : valueOf(node, number)}`;
}

/** @param {any} node @param {string} name */
function valueOf(node, name) {
  return node.widgets?.find((/** @type {any} */ each) => each.name === name)?.value;
}

/** @param {any} node @param {string} name */
function isFree(node, name) {
  return !originOf(node, name) && node.widgets?.some((/** @type {any} */ each) => each.name === name);
}

/**
 * The text with the word appended as an entry, or unchanged if it already is an entry.
 * @param {string} text
 * @param {string} word
 * @param {string} after
 */
export function withWord(text, word, after) {
  const entries = text.split(/[\n,;]/).map((entry) => entry.split(":", 1)[0].trim().toLowerCase());
  if (entries.includes(word.toLowerCase())) return text;
  let end = text.length;
  while (end && /[\s,;]/.test(text[end - 1])) end--;
  const before = text.slice(0, end);
  return (before ? before + (after ? "\n" : ", ") : "") + word + after;
}

/**
 * The unfinished entry before the caret, and where it starts.
 * @param {string} text
 * @param {number} caret
 */
export function unfinished(text, caret) {
  const start = Math.max(...["\n", ",", ";"].map((mark) => text.lastIndexOf(mark, caret - 1))) + 1;
  const entry = text.slice(start, caret);
  const typed = entry.trimStart();
  return { typed, start: caret - typed.length };
}

/**
 * The words that start with the typed text; none if it is a complete word or already has a weight.
 * @param {string} typed
 * @param {string[]} words
 */
export function completions(typed, words) {
  if (typed.includes(":")) return [];
  const last = typed.split(/\s+/).pop()?.toLowerCase() ?? "";
  const found = words.filter((word) => word.startsWith(last));
  return found.length === 1 && found[0] === last ? [] : found;
}
