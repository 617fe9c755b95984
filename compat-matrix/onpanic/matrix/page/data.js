// The matrix, read once, and what is looked up in it again and again.

const DATA = JSON.parse(document.getElementById("data").textContent);
const { facts: FACTS, builds: BUILDS, profiles: PROFILES, statements: STATEMENTS } = DATA.matrix;
const FACT = new Map(FACTS.map((fact) => [fact.name, fact]));
const BUILD = new Map(BUILDS.map((build) => [build.id, build]));
const POLICY = "on_panic."; // before the policy's name, where a fact's name could stand

const byNumber = new Intl.Collator("en", { numeric: true }).compare;

/** Count how often each value is there: a Map, in the order of their first appearance. */
function counted(values) {
  const counts = new Map();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return counts;
}

/** Return the value that is there most often; of several the first. */
function commonest(values) {
  let best = "";
  let most = 0;
  for (const [value, count] of counted(values)) {
    if (count > most) [best, most] = [value, count];
  }
  return best;
}

const byName = new WeakMap();

/** Return a build's machine types by name, aliases not among them. */
function machinesOf(build) {
  if (!byName.has(build)) byName.set(build, new Map(build.machines.map((one) => [one.name, one])));
  return byName.get(build);
}

const aliasesOf = (machine) => machine.aliases ?? [];

/**
 * Return a machine type of a build by name or alias, null if it has none such.
 * Without a name: the default one, or `virt` where there is no default.
 */
function machineOf(build, name) {
  const called = (word) => (one) => one.name === word || aliasesOf(one).includes(word);
  if (name) return machinesOf(build).get(name) ?? build.machines.find(called(name)) ?? null;
  return build.machines.find((one) => one.default) ?? build.machines.find(called("virt")) ?? null;
}

/** Say which machine type `machineOf` returns for some builds if none is named. */
function usualMachine(builds) {
  const found = builds.map((build) => machineOf(build, "")).filter(Boolean);
  const usual = found.some((one) => one.default);
  if (found.every((one) => one.default)) return "the default one";
  return usual ? "the default one, or virt" : "virt";
}

/** Return the names that machine types of some builds go by: families, and each one's own. */
function machineNames(builds) {
  const aliases = new Set();
  const names = new Set();
  for (const build of builds) {
    for (const machine of build.machines) {
      names.add(machine.name);
      for (const alias of aliasesOf(machine)) aliases.add(alias);
      if (machine.name === "virt") aliases.add("virt");
    }
  }
  return {
    families: [...aliases].sort(byNumber),
    names: [...names].filter((name) => !aliases.has(name)).sort(byNumber),
  };
}

const words = new WeakMap();

/** Return if all words of a query are in what a build is called. */
function isAbout(build, query) {
  if (!words.has(build)) {
    const { id, version, package: from, emulator, source, target, line, era } = build;
    words.set(build, [id, version, from, emulator, source, target, line, era].join("\n").toLowerCase());
  }
  return matches(words.get(build), query);
}

/** Return if all words of a query are in a text, which is in lower case. */
function matches(text, query) {
  return query.toLowerCase().split(/\s+/).every((word) => text.includes(word));
}

const ARCHITECTURES = [...new Set(BUILDS.map((build) => build.target))];
const ALL = "all";

/** Return the architecture that is shown if none is named. */
function usualArchitecture() {
  return ARCHITECTURES.includes("x86_64") ? "x86_64" : commonest(BUILDS.map((build) => build.target));
}

/**
 * Make an element.  Attributes that start with "on" are listeners; null and false leave one out.
 * What is inside is an element or becomes text, never HTML: emulators have a say in it.
 */
function el(tag, attributes, ...inside) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...inside.flat().filter((one) => one !== null && one !== undefined && one !== ""));
  return element;
}

const $ = (id) => document.getElementById(id);
const many = (count, one, more = `${one}s`) => `${count.toLocaleString("en")} ${count === 1 ? one : more}`;
