// The parts of web/js/lib that touch no page. LIB names a copy of the folder; tests/web/test_scripts.py makes it.

import assert from "node:assert/strict";
import test from "node:test";

const { originOf, pairOf, textOf } = await import(`${process.env.LIB}/graph.js`);
const { drawn } = await import(`${process.env.LIB}/dynamic.js`);
const { CUSTOM, numbersOf } = await import(`${process.env.LIB}/presets.js`);
const { choices, completions, fieldsFor, LONGEST, unfinished, withWord, wordsIn } = await import(`${process.env.LIB}/words.js`);
const { difference, inWords, savedNodes } = await import(`${process.env.LIB}/versions.js`);

/** A graph of nodes as {id, type, inputs: {name: [node, output]}, widgets: {name: value}}. */
function graph(nodes, extra = {}) {
  const made = { links: new Map(), nodes: [], getNodeById: (id) => made.nodes.find((node) => node.id === id), ...extra };
  let count = 0;
  for (const { id, type, inputs = {}, widgets = {}, subgraph } of nodes) {
    const slots = Object.entries(inputs).map(([name, [from, output]]) => {
      made.links.set(++count, { origin_id: from, origin_slot: output });
      return { name, link: count };
    });
    const fields = Object.entries(widgets).map(([name, value]) => ({ name, value }));
    made.nodes.push({ id, type, title: type, graph: made, inputs: slots, widgets: fields, subgraph });
  }
  return made;
}

const PAIR = { id: 1, type: "P2PPromptPair", widgets: { source: "a Red cat, (fluffy:1.2)", edit: "a blue dog" } };
const BLEND = { id: 2, type: "P2PLocalBlend", widgets: { source_words: "", edit_words: "", subtract_words: "" } };

test("words of a text, without weights and doubles", () => {
  assert.deepEqual(wordsIn("A Red cat's hat, (fluffy:1.2) a embedding:foo.pt 2 猫"), [
    "a", "red", "cat's", "hat", "fluffy", "embedding:foo.pt", "2", "猫",
  ]);
});

test("the pair is found through other nodes and reroutes", () => {
  const g = graph([
    PAIR,
    { id: 5, type: "Reroute", inputs: { "": [1, 0] } },
    { id: 3, type: "P2PAttentionStore", inputs: { prompts: [5, 0] } },
    { id: 4, type: "P2PAttentionMaps", inputs: { store: [3, 1] }, widgets: { words: "" } },
  ]);
  assert.equal(pairOf(g.nodes[3]), g.nodes[0]);
  assert.deepEqual(choices(g.nodes[3], "words"), ["a", "red", "cat", "fluffy", "blue", "dog"]);
});

test("the pair is found into a subgraph and out of one", () => {
  const inner = graph([{ ...BLEND, inputs: { prompts: [-10, 0] } }]);
  const outer = graph([PAIR, { id: 7, type: "uuid", inputs: { prompts: [1, 0] }, subgraph: inner }]);
  inner.rootGraph = outer;
  assert.equal(pairOf(inner.nodes[0]), outer.nodes[0]);
  assert.deepEqual(fieldsFor(outer.nodes[0], "edit").map((field) => field.name), ["edit_words", "subtract_words"]);

  const holder = graph([PAIR], { outputs: [{ linkIds: [9] }] });
  holder.links.set(9, { origin_id: 1, origin_slot: 0 });
  const top = graph([
    { id: 8, type: "uuid", subgraph: holder },
    { ...BLEND, inputs: { prompts: [8, 0] } },
  ]);
  assert.equal(pairOf(top.nodes[1]), holder.nodes[0]);
});

test("an inserted word gets the number that its node would use", () => {
  const windows = { word_windows: "", cross_end: 0.35 };
  const g = graph([
    PAIR,
    { id: 3, type: "P2PPromptEdit", inputs: { prompts: [1, 0] }, widgets: windows },
    { id: 4, type: "P2PReweight", inputs: { prompts: [1, 0] }, widgets: { weights: "" } },
  ]);
  assert.deepEqual(fieldsFor(g.nodes[0], "edit").map((field) => field.after), [": 0.35", ": 1"]);
});

test("an unconnected node has no choices", () => {
  const g = graph([PAIR, BLEND]);
  assert.equal(originOf(g.nodes[1], "prompts"), null);
  assert.deepEqual(choices(g.nodes[1], "source_words"), []);
  assert.deepEqual(fieldsFor(g.nodes[0], "all"), []);
});

test("fields of the source have its words, fields of the edit the edit's or, without one, the source's", () => {
  const g = graph([PAIR, { ...BLEND, inputs: { prompts: [1, 0] } }]);
  assert.deepEqual(choices(g.nodes[1], "source_words"), ["a", "red", "cat", "fluffy"]);
  assert.deepEqual(choices(g.nodes[1], "edit_words"), ["a", "blue", "dog"]);
  g.nodes[0].widgets[1].value = "";
  assert.deepEqual(choices(g.nodes[1], "edit_words"), ["a", "red", "cat", "fluffy"]);
});

test("the text of a linked field is that of the node before it", () => {
  const g = graph([{ id: 9, type: "Text", widgets: { text: "a moon" } }, { ...PAIR, inputs: { source: [9, 0] } }]);
  assert.equal(textOf(g.nodes[1], "source"), "a moon");
  assert.equal(textOf(g.nodes[1], "edit"), "a blue dog");
});

test("a word is put in once, with its weight on a line of its own", () => {
  assert.equal(withWord("", "cat", ""), "cat");
  assert.equal(withWord("cat, ", "dog", ""), "cat, dog");
  assert.equal(withWord("Cat", "cat", ""), "Cat");
  assert.equal(withWord("cat: 2", "dog", ": 1"), "cat: 2\ndog: 1");
  assert.equal(withWord("cat: 2", "cat", ": 1"), "cat: 2");
});

test("what is typed is completed up to the whole word", () => {
  assert.deepEqual(unfinished("cat, re", 7), { typed: "re", start: 5 });
  assert.deepEqual(completions("re", ["red", "cat", "reef"]), ["red", "reef"]);
  assert.deepEqual(completions("red ca", ["red", "cat"]), ["cat"]);
  assert.deepEqual(completions("cat", ["red", "cat"]), []);
  assert.deepEqual(completions("cat: 1", ["cat"]), []);
  assert.deepEqual(completions("", ["red", "cat"]), ["red", "cat"]);
});

const NOW = { inputs: ["model", "words", "limit"], widgets: ["words", "limit"] };
const field = (name) => ({ name, widget: { name } });

test("a node as it is now differs in nothing", () => {
  assert.equal(difference({ inputs: [{ name: "model" }, field("words"), field("limit")], widgets_values: ["", 1] }, NOW), null);
  assert.equal(difference({ inputs: [{ name: "model" }], widgets_values: ["", 1] }, NOW), null);
});

test("fields that went and came are named", () => {
  const found = difference({ type: "P2PX", inputs: [{ name: "model" }, field("words"), field("old")] }, NOW);
  assert.deepEqual([found.gone, found.added, found.values], [["old"], ["limit"], 0]);
  assert.equal(
    inWords("P2P X", found),
    "P2P X no longer has old (their values and links are dropped); now also has limit (set to the default)."
  );
});

test("where a workflow names no fields their number is compared", () => {
  const found = difference({ type: "P2PX", inputs: [{ name: "model" }], widgets_values: [""] }, NOW);
  assert.deepEqual([found.gone, found.added, found.values], [[], [], -1]);
});

test("nodes in subgraphs are looked at too", () => {
  const workflow = { nodes: [{ id: 1 }], definitions: { subgraphs: [{ nodes: [{ id: 2 }] }] } };
  assert.deepEqual(savedNodes(workflow).map((node) => node.id), [1, 2]);
});

test("a group is drawn alike in source and edits", () => {
  const picks = new Map();
  const numbers = [0.9, 0.1, 0.4];
  const random = () => numbers.shift() ?? assert.fail("drawn again");
  assert.equal(drawn("a {red|blue} cat, a {red|blue} {big|small} hat", picks, random), "a blue cat, a red big hat");
  assert.equal(drawn("a {red|blue} dog\n---\na {big|small} {red|blue} cow", picks, random), "a blue dog\n---\na big blue cow");
});

test("groups are read as the front end reads them", () => {
  const first = () => 0;
  assert.equal(drawn("a {b{c|d}|e} f", new Map(), first), "a bc f");
  assert.equal(drawn(String.raw`\{a\|b\} {c|d}`, new Map(), first), "{a|b} c");
  assert.equal(drawn("a /* {x|y} */b // c", new Map(), first), "a b ");
  assert.equal(drawn("a {b|c", new Map(), first), "a b");
});

test("the numbers of a preset", () => {
  assert.deepEqual(numbersOf("balanced"), { cross_start: 0, cross_end: 0.4, self_start: 0, self_end: 0.6 });
  assert.deepEqual(numbersOf(CUSTOM), {});
});

test("a weight of any spelling is no word, and a longer number is one", () => {
  assert.deepEqual(wordsIn("(cat:1.2) ((dog : -.5 )) (owl:+1)"), ["cat", "dog", "owl"]);
  assert.deepEqual(wordsIn(`(cat:${"1".repeat(40)})`), ["cat", "1".repeat(40)]);
});

test("only as much of a field is read as a node accepts", () => {
  assert.deepEqual(wordsIn("a".repeat(LONGEST) + " b"), ["a".repeat(LONGEST)]);
});

/** CPU time of this process. */
function seconds(parse, text) {
  const start = process.cpuUsage();
  parse(text);
  const { user, system } = process.cpuUsage(start);
  return (user + system) / 1e6;
}

/** The slope of time over size, both as logarithms, by least squares; the least of a few runs at each size. */
function exponent(parse, make) {
  const sizes = [20000, 40000, 80000, 160000];
  const points = sizes.map((size) => {
    const text = make(size);
    const runs = [1, 2, 3, 4, 5].map(() => seconds(parse, text));
    return [Math.log(size), Math.log(Math.max(1e-3, Math.min(...runs)))];
  });
  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const [x, y] = [0, 1].map((i) => mean(points.map((point) => point[i])));
  return mean(points.map(([a, b]) => (a - x) * (b - y))) / mean(points.map(([a]) => (a - x) ** 2));
}

const TEXTS = {
  letters: (n) => "a".repeat(n),
  words: (n) => "a ".repeat(n / 2),
  "a weight": (n) => `:${"1".repeat(n)}`,
  weights: (n) => "(a:1.0)".repeat(n / 8),
  colons: (n) => ":".repeat(n),
  "colons with breaks": (n) => ":\u2028".repeat(n / 2),
  dots: (n) => `:${".".repeat(n)}`,
  spaces: (n) => `a${" ".repeat(n)}x`,
  "spaces after colons": (n) => `:${" ".repeat(n)}x`,
  commas: (n) => "a,".repeat(n / 2),
  apostrophes: (n) => "a'".repeat(n / 2),
  braces: (n) => "{".repeat(n / 2) + "}".repeat(n / 2),
  groups: (n) => "{a|b}".repeat(n / 5),
  comments: (n) => "/*".repeat(n / 2),
  breaks: (n) => "\n".repeat(n),
  dashes: (n) => "-".repeat(n) + "x",
  brackets: (n) => "(".repeat(n),
  embeddings: (n) => "embedding:a ".repeat(n / 12),
};
const SLOWEST = 1; // seconds for the longest field
const PARSERS = {
  wordsIn,
  withWord: (text) => withWord(text, "zebra", ": 1"),
  unfinished: (text) => unfinished(text, text.length),
  drawn: (text) => drawn(text, new Map()),
  completions: (text) => completions(text.replaceAll(":", ";"), ["zebra"]),
};

for (const [name, parse] of Object.entries(PARSERS)) {
  test(`${name} takes time in proportion to its text`, () => {
    for (const [kind, make] of Object.entries(TEXTS)) {
      const found = [1, 2, 3].map(() => () => exponent(parse, make)).find((measure) => measure() <= 1.2);
      assert.ok(found, `${name} of ${kind}`);
      assert.ok(seconds(parse, make(LONGEST)) < SLOWEST, `the longest field: ${name} of ${kind}`);
    }
  });
}
