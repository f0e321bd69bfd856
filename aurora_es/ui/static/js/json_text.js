// Shows JSON as it was stored, digit by digit: indented and coloured, but never decoded and encoded.

import { h } from "./dom.js";

const TOKEN = /\s*("(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*|true|false|null|[{}[\],:])/y;
const LINES_MAX = 5000;

// A block of lines; lines at a path in `changed` (paths as JSON texts) are marked.
export function shownBlock(shown, changed = new Set()) {
  const parts = [];
  if (shown.problem) parts.push(h("p", { class: "note warn" }, shown.problem));
  const isText = /(text|hexadecimal)$/.test(shown.coding);
  const block = h("pre", { class: "json", tabindex: "0" });
  if (isText) block.append(h("code", { class: "plain" }, shown.text));
  else block.append(h("code", {}, ...jsonLines(shown.text, changed)));
  parts.push(block);
  if (shown.is_cut) parts.push(h("p", { class: "note" }, "Cut here: it is longer than what is shown."));
  return h("div", { class: "shown" }, ...parts);
}

function jsonLines(text, changed) {
  const lines = [];
  let line = [];
  const path = [];
  const frames = [];
  let at = 0;
  let linePath = "[]";
  const end = () => {
    lines.push(h("span", { class: changed.has(linePath) ? "line changed" : "line" }, ...line, "\n"));
    line = ["  ".repeat(frames.length)];
    linePath = JSON.stringify(path);
  };
  for (;;) {
    TOKEN.lastIndex = at;
    const found = TOKEN.exec(text);
    if (found === null || lines.length > LINES_MAX) break;
    at = TOKEN.lastIndex;
    const token = found[1];
    const frame = frames.at(-1);
    if (token === "{" || token === "[") {
      line.push(token);
      const closing = /^\s*[}\]]/.exec(text.slice(at, at + 8));
      if (closing !== null) {
        line.push(closing[0].trim());
        at += closing[0].length;
        continue;
      }
      frames.push({ isList: token === "[", index: 0, expectsKey: token === "{" });
      path.push(token === "[" ? 0 : "");
      end();
    } else if (token === "}" || token === "]") {
      frames.pop();
      path.pop();
      end();
      linePath = "";
      line.push(token);
    } else if (token === ",") {
      line.push(",");
      if (frame?.isList) path[path.length - 1] = frame.index += 1;
      else if (frame) frame.expectsKey = true;
      end();
    } else if (token === ":") {
      line.push(": ");
    } else if (frame?.expectsKey) {
      frame.expectsKey = false;
      path[path.length - 1] = keyOf(token);
      linePath = JSON.stringify(path);
      line.push(h("span", { class: "key" }, token));
    } else {
      if (frame?.isList) linePath = JSON.stringify(path);
      line.push(h("span", { class: kindOf(token) }, token));
    }
  }
  const rest = text.slice(at);
  if (rest.trim()) line.push(rest);
  lines.push(h("span", { class: changed.has(linePath) ? "line changed" : "line" }, ...line));
  return lines;
}

function keyOf(token) {
  try {
    return JSON.parse(token);
  } catch {
    return token;
  }
}

function kindOf(token) {
  if (token[0] === '"') return "string";
  return /^[tfn]/.test(token) ? "literal" : "number";
}
