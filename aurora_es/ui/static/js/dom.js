// Builds elements. What is shown is text, always: nothing here takes markup.

const SVG = "http://www.w3.org/2000/svg";
// Controls, and what changes the direction of text or has no width: a stranger's id must not look
// like another one.
const INVISIBLE =
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

export function visible(text) {
  return String(text).replace(INVISIBLE, (found) =>
    `\\u${found.codePointAt(0).toString(16).padStart(4, "0")}`);
}

export function h(tag, properties = {}, ...children) {
  return built(document.createElement(tag), properties, children);
}

export function svg(tag, properties = {}, ...children) {
  return built(document.createElementNS(SVG, tag), properties, children);
}

function built(element, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value" || name === "checked") element[name] = value;
    else element.setAttribute(name, value === true ? "" : visible(value));
  }
  return fill(element, ...children);
}

export function fill(element, ...children) {
  element.replaceChildren(...nodes(children));
  return element;
}

export function nodes(children) {
  return children.flat(Infinity)
    .filter((child) => child !== null && child !== undefined && child !== false)
    .map((child) => (child instanceof Node ? child : document.createTextNode(visible(child))));
}
