// Prometheus text: a list of { name, labels, value }.
export function parse(text) {
  const samples = [];
  for (const line of text.split("\n")) {
    const found = /^(\w+)(?:\{(.*)\})? (\S+)/.exec(line);
    if (!found) continue;
    const labels = {};
    for (const [, name, value] of (found[2] ?? "").matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)) {
      labels[name] = value.replace(/\\(.)/g, (_, char) => (char === "n" ? "\n" : char));
    }
    samples.push({ name: found[1], labels, value: Number(found[3].replace("Inf", "Infinity")) });
  }
  return samples;
}

const fits = (sample, name, labels) => sample.name === name
  && Object.entries(labels).every(([label, value]) => sample.labels[label] === value);

// The sum of the samples that have these labels.
export const total = (samples, name, labels) =>
  samples.filter((each) => fits(each, name, labels)).reduce((sum, each) => sum + each.value, 0);

// How much a counter grew; a server that started anew began at 0.
export function growth(before, now, name, labels) {
  const grown = total(now, name, labels) - total(before, name, labels);
  return grown < 0 ? total(now, name, labels) : grown;
}

// The quantile, in seconds, of what a histogram counted between two readings, or null; linear within a bucket.
export function quantile(before, now, name, labels, share) {
  const bounds = [...new Set(now.filter((each) => fits(each, `${name}_bucket`, labels)).map((each) => each.labels.le))]
    .sort((one, other) => bound(one) - bound(other));
  const counts = bounds.map((le) => growth(before, now, `${name}_bucket`, { ...labels, le }));
  const all = counts.at(-1);
  if (!all) return null;
  const at = counts.findIndex((count) => count >= share * all);
  const [low, below] = at ? [bound(bounds[at - 1]), counts[at - 1]] : [0, 0];
  const high = bound(bounds[at]);
  return high === Infinity ? low : low + ((high - low) * (share * all - below)) / (counts[at] - below || 1);
}

const bound = (le) => (le === "+Inf" ? Infinity : Number(le));
