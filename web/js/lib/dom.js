// @ts-check
// Creates elements. Text is never markup: it is only set through textContent.

/**
 * @typedef {Record<string, unknown>} Properties
 * @param {string} tag
 * @param {Properties} [properties] `class`, `text`, listeners as `onclick`, everything else as attributes
 * @param {(HTMLElement | null)[]} [children]
 * @returns {any}
 */
export function make(tag, properties = {}, children = []) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value == null || value === false) continue;
    if (name === "class") element.className = String(value);
    else if (name === "text") element.textContent = String(value);
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), /** @type {any} */ (value));
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.filter((child) => child != null));
  return element;
}

/**
 * A choice by name: a row of buttons, or null if there is only one.
 * @param {string} label
 * @param {string[]} names
 * @param {(index: number) => void} choose
 */
export function tabs(label, names, choose) {
  if (names.length < 2) return null;
  const buttons = names.map((text, i) =>
    make("button", { type: "button", class: "p2p-tab", role: "tab", text, onclick: () => select(i) })
  );
  /** @param {number} chosen @param {boolean} [quiet] */
  function select(chosen, quiet) {
    buttons.forEach((button, i) => {
      button.setAttribute("aria-selected", String(i === chosen));
      button.tabIndex = i === chosen ? 0 : -1;
    });
    if (!quiet) choose(chosen);
  }
  select(0, true);
  /** @param {KeyboardEvent} event */
  function step(event) {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!by) return;
    event.preventDefault();
    const now = buttons.findIndex((button) => button === event.target);
    const next = (now + by + buttons.length) % buttons.length;
    select(next);
    buttons[next].focus();
  }
  return make("div", { class: "p2p-tabs", role: "tablist", "aria-label": label, onkeydown: step }, buttons);
}

/**
 * A labelled slider over named positions, or null if there is only one.
 * @param {string} label
 * @param {string[]} names
 * @param {(index: number) => void} choose
 * @param {number} [start]
 */
export function slider(label, names, choose, start = 0) {
  if (names.length < 2) return null;
  const shown = make("span", { class: "p2p-value", text: names[start] });
  const input = make("input", { type: "range", min: 0, max: names.length - 1, step: 1, value: start });
  input.setAttribute("aria-label", label);
  input.setAttribute("aria-valuetext", names[start]);
  input.addEventListener("input", () => {
    shown.textContent = names[Number(input.value)];
    input.setAttribute("aria-valuetext", names[Number(input.value)]);
    choose(Number(input.value));
  });
  return make("label", { class: "p2p-slider" }, [make("span", { text: label }), input, shown]);
}

/** @param {string} text */
export function note(text) {
  return make("p", { class: "p2p-note", role: "status", text });
}
