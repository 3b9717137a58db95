// Pictures of nodes for their help pages: runs workflows in the front end and shoots nodes, each into a file.
//
//   node pictures.mjs ADDRESS CHROMIUM FOLDER PLAN.json
//
// The plan is a list of {workflow, set: [{node, name, value}], add: [{type, title, size, from: {input: [title,
// output]}}], shots: {file: title or type}, sizes: {title or type: [width, height]}}; tools/pictures/help_pictures.py has it.

import { readFile } from "node:fs/promises";
import { launch, load, newPage, openFrontEnd, run } from "./browser.mjs";
import * as inPage from "./in_page.mjs";

const SCALE = 1.25;
const [address, executablePath, folder, planFile] = process.argv.slice(2);
const browser = await launch(executablePath);
try {
  const page = await newPage(browser, address);
  await openFrontEnd(page, address);
  await page.evaluate(inPage.drawNodesWithVue, true);
  for (const { workflow, set = [], add = [], shots, sizes = {} } of JSON.parse(await readFile(planFile, "utf8"))) {
    await load(page, JSON.parse(await readFile(workflow, "utf8")));
    await page.evaluate(addNodes, add);
    for (const place of set) await page.evaluate(setValue, place);
    await page.evaluate(resize, sizes);
    const { end } = await run(page);
    if (end !== "execution_success") throw new Error(`${workflow}: ${end}`);
    for (const [file, name] of Object.entries(shots)) await shoot(page, `${folder}/${file}.png`, name);
  }
} finally {
  await browser.close();
}

async function shoot(page, path, name) {
  const place = { name, scale: SCALE };
  await page.evaluate(moveTo, place);
  await page.waitForTimeout(700);
  const [x, y, width, height] = await page.evaluate(moveTo, place);
  await page.screenshot({ path, clip: { x, y, width, height } });
}

// In the page

function addNodes(nodes) {
  const { app, LiteGraph } = window;
  const find = (name) => app.graph.nodes.find((node) => node.title === name || node.type === name);
  for (const { type, title, size, from } of nodes) {
    const node = LiteGraph.createNode(type);
    app.graph.add(node);
    node.title = title;
    node.pos = [Math.max(...app.graph.nodes.map((each) => each.pos[0] + each.size[0])) + 60, 90];
    node.setSize(size);
    for (const [input, [start, output]] of Object.entries(from)) find(start).connect(output, node, input);
  }
}

function setValue({ node: name, name: field, value }) {
  const node = window.app.graph.nodes.find((each) => each.title === name || each.type === name);
  const widget = node.widgets.find((each) => each.name === field);
  widget.value = value;
  widget.callback?.(value);
}

function resize(sizes) {
  for (const [name, size] of Object.entries(sizes)) {
    const node = window.app.graph.nodes.find((each) => each.title === name || each.type === name);
    node.pos = [node.pos[0], 3000]; // away from those that it would cover
    node.setSize(size);
  }
}

// Puts a node at the top left and says where it is: left, top, width, height.
function moveTo({ name, scale }) {
  const { app } = window;
  const node = app.graph.nodes.find((each) => each.title === name || each.type === name);
  const { ds } = app.canvas;
  ds.scale = scale;
  ds.offset[0] = 300 - node.pos[0];
  ds.offset[1] = 120 - node.pos[1];
  app.graph.setDirtyCanvas(true, true);
  const box = document.querySelector(`[data-node-id="${node.id}"]`)?.getBoundingClientRect();
  return box ? [box.left - 6, box.top - 6, box.width + 12, box.height + 12] : [0, 0, 10, 10];
}
