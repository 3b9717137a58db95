// @ts-check
// Dynamic prompts, {red|blue}, as the front end reads them, but drawn alike wherever the same group stands.

import { LONGEST } from "./words.js";

const COMMENT = /\/\*[\s\S]*?\*\/|\/\/.*/g;
const ESCAPED = /\\([{}|])/g;
const BETWEEN_EDITS = /^([^\S\n]*---+[^\S\n]*)$/m;
const DEEPEST = 100; // groups in groups; further braces are characters

/**
 * The text with one option of every group. The n-th time that a group stands in a prompt it gets the option
 * that `picks` has for it, or a random one, which is then kept there. Prompts are separated by lines of dashes.
 * A text that is too long for a node is returned as it is.
 * @param {string} text
 * @param {Map<string, number>} picks
 * @param {() => number} [random] 0 ≤ number < 1
 */
export function drawn(text, picks, random = Math.random) {
  if (text.length > LONGEST) return text;
  const parts = text.replace(COMMENT, "").split(BETWEEN_EDITS);
  return parts.map((part) => new Drawing(part, picks, random).whole()).join("").replace(ESCAPED, "$1");
}

class Drawing {
  /** @param {string} text @param {Map<string, number>} picks @param {() => number} random */
  constructor(text, picks, random) {
    this.text = text;
    this.picks = picks;
    this.random = random;
    /** @type {Map<string, number>} */
    this.seen = new Map();
    this.at = 0;
    this.depth = 0;
  }

  whole() {
    return this.until("");
  }

  /** The text up to one of these characters, with its groups drawn. @param {string} ends */
  until(ends) {
    let result = "";
    while (this.at < this.text.length && !ends.includes(this.text[this.at])) {
      const character = this.text[this.at++];
      if (character === "\\") result += character + (this.text[this.at++] ?? "");
      else result += character === "{" && this.depth < DEEPEST ? this.group() : character;
    }
    return result;
  }

  /** The chosen option of the group that starts here. */
  group() {
    const start = this.at;
    this.depth++;
    const options = [this.until("|}")];
    while (this.text[this.at] === "|") {
      this.at++;
      options.push(this.until("|}"));
    }
    this.depth--;
    const group = this.text.slice(start, this.at++);
    return options[this.pick(group, options.length)];
  }

  /** @param {string} group @param {number} count */
  pick(group, count) {
    const times = (this.seen.get(group) ?? 0) + 1;
    this.seen.set(group, times);
    const name = `${times} ${group}`;
    const picked = this.picks.get(name) ?? Math.floor(this.random() * count);
    this.picks.set(name, picked);
    return picked;
  }
}
