// Numbers, sizes, times and topics as people read them.

const COUNT = new Intl.NumberFormat("en");
const SHORT = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const RELATIVE = new Intl.RelativeTimeFormat("en", { numeric: "auto", style: "narrow" });
const UNITS = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];

export const count = (number) => COUNT.format(number);
export const shortCount = (number) => SHORT.format(number);
export const some = (number, one, many) => `${count(number)} ${number === 1 ? one : many}`;

export function size(bytes) {
  const names = ["B", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  let value = bytes;
  while (value >= 1024 && at < names.length - 1) {
    value /= 1024;
    at += 1;
  }
  return `${at === 0 ? value : value.toFixed(value < 10 ? 1 : 0)} ${names[at]}`;
}

// A number that is known to about one percent.
export const nearly = (number) => `≈ ${count(Number(number.toPrecision(3)))}`;

export function rate(perSecond) {
  if (perSecond === null || perSecond === undefined) return "–";
  return perSecond >= 100 ? shortCount(perSecond) : perSecond.toFixed(perSecond >= 1 ? 1 : 3);
}

// Times are shown in UTC, as the command does, so that two people see the same.
export function time(text, { seconds = true } = {}) {
  if (!text) return "–";
  return `${text.slice(0, 10)} ${text.slice(11, seconds ? 23 : 16).replace(/Z$/, "")}`;
}

// Both ends of a stretch of time, as exactly as tells them apart.
export function ends(first, last) {
  const seconds = Date.parse(last) - Date.parse(first) < 3_600_000;
  return [time(first, { seconds }), time(last, { seconds })];
}

export const clock = (text) => text.slice(11, 23).replace(/Z$/, "");

export function ago(text) {
  const passed = (Date.parse(text) - Date.now()) / 1000;
  const [unit, seconds] = UNITS.find(([, length]) => Math.abs(passed) >= length) ?? UNITS[3];
  return RELATIVE.format(Math.round(passed / seconds), unit);
}

export function topicName(topic) {
  const name = topic.slice(topic.indexOf(":") + 1);
  return name || topic;
}

// One of eight colours for each name, the same every time.
export function colour(name) {
  let hash = 0x811c9dc5;
  for (const letter of name) hash = Math.imul(hash ^ letter.codePointAt(0), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d);
  return `c${(hash ^ (hash >>> 13)) >>> 29}`;
}
