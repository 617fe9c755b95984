// The matrix, parsed once, lookup tables, and helpers that all scripts use.

const DATA = JSON.parse(document.getElementById("data").textContent);
const { facts: FACTS, builds: BUILDS, profiles: PROFILES, notifiers: NOTIFIERS, statements: STATEMENTS } = DATA.matrix;
const FACT = new Map(FACTS.map((fact) => [fact.name, fact]));
const BUILD = new Map(BUILDS.map((build) => [build.id, build]));
const POLICY = "on_panic."; // prefix of a policy's name where a fact's name is expected
const NOTIFIER = "notifier"; // where a fact's name is expected: which notifier the answers are about
const MODELS = [...new Set(NOTIFIERS.map((one) => one.model))];
const LIBVIRTS = DATA.libvirts; // a table: columns, and rows with a cell for each
const VALUES = DATA.values.map((value) => POLICY + value);

/** Return whether the answer to a question is about a machine type, not about the emulator. */
const isOfMachine = (name) => name === NOTIFIER || name.startsWith(POLICY) || FACT.get(name)?.scope !== "emulator";

/** Return whether each notifier of a machine type has an answer of its own to a question. */
const isOfNotifier = (name) => name.startsWith(POLICY) || FACT.get(name)?.scope === "notifier";

/** Return whether the matrix has answers to a question: the name of a fact, or `POLICY` and a value. */
const isQuestion = (name) => FACT.has(name) || (name.startsWith(POLICY) && DATA.policies.includes(policyOf(name)));

const policyOf = (name) => (name.startsWith(POLICY) ? name.slice(POLICY.length) : "");

/** Return a question's short name. */
const labelOf = (name) => policyOf(name) || name;

/** Return a question in words. */
function asksOf(name) {
  if (name === NOTIFIER) return "Which panic notifier are the answers about? It is the best one that works.";
  return FACT.get(name)?.asks ?? `Is <on_panic>${policyOf(name)}</on_panic> accepted?`;
}

/** Return the questions of a scope: facts of the machine type and its notifier, or of the emulator. */
const factsOf = (emulator) => FACTS.filter((fact) => (fact.scope === "emulator") === emulator).map((fact) => fact.name);

const byNumber = new Intl.Collator("en", { numeric: true }).compare;

/** Return a Map from each value to how often it occurs, in the order of first occurrence. */
function counted(values) {
  const counts = new Map();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return counts;
}

/** Return the most frequent value; the first one if there are several. */
function commonest(values) {
  let best = "";
  let most = 0;
  for (const [value, count] of counted(values)) {
    if (count > most) [best, most] = [value, count];
  }
  return best;
}

const byName = new WeakMap();

/** Return a build's machine types by name, without aliases. */
function machinesOf(build) {
  if (!byName.has(build)) byName.set(build, new Map(build.machines.map((one) => [one.name, one])));
  return byName.get(build);
}

const aliasesOf = (machine) => machine.aliases ?? [];

/**
 * Return a machine type of a build by name or alias; null if the build has no such machine type.
 * Without a name, return the default one, or `virt` if there is no default.
 */
function machineOf(build, name) {
  const hasName = (word) => (one) => one.name === word || aliasesOf(one).includes(word);
  if (name) return machinesOf(build).get(name) ?? build.machines.find(hasName(name)) ?? null;
  return build.machines.find((one) => one.default) ?? build.machines.find(hasName("virt")) ?? null;
}

/** Describe the machine type that `machineOf` returns for some builds if no name is given. */
function usualMachine(builds) {
  const found = builds.map((build) => machineOf(build, "")).filter(Boolean);
  const usual = found.some((one) => one.default);
  if (found.every((one) => one.default)) return "the default one";
  return usual ? "the default one, or virt" : "virt";
}

/** Return the names of some builds' machine types: aliases, which mean families, and other names. */
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

const searchTexts = new WeakMap();

/** Return whether all words of a query are in what identifies a build. */
function isAbout(build, query) {
  if (!searchTexts.has(build)) {
    const { id, version, package: from, emulator, source, target, line, era } = build;
    searchTexts.set(build, [id, version, from, emulator, source, target, line, era].join("\n").toLowerCase());
  }
  return matches(searchTexts.get(build), query);
}

/** Return whether all words of a query are in a text, which must be in lower case. */
function matches(text, query) {
  return query.toLowerCase().split(/\s+/).every((word) => text.includes(word));
}

const ARCHITECTURES = [...new Set(BUILDS.map((build) => build.target))];
const ALL = "all";

/** Return the architecture that is shown by default. */
function usualArchitecture() {
  return ARCHITECTURES.includes("x86_64") ? "x86_64" : commonest(BUILDS.map((build) => build.target));
}

/**
 * Create an element.  Attributes that start with "on" are event listeners; null and false omit one.
 * Content is an element or becomes text, never HTML, as some of it comes from emulators.
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
